// Package snapshot takes one snapshot of a cluster and makes it an archive.
//
//	member ─stream→ spool ─prove→ seal ─→ sealed spool ─→ every store ─read back→ commit
//
// The stream goes to an unlinked local file as fast as the member gives it, since a member that
// streams holds a read transaction and its file grows for good. Sealing follows the growing
// file where cores are to be had, else begins at its end; what it makes counts only once the
// stream's digest fits. Meanwhile the file is walked in a child process and its HashKV compared
// with the live member's.
//
// The job holds no identity and no right to delete. It never touches a store before the bytes
// are proven, never takes a second snapshot because a store failed, and commits a snapshot that
// does not fit its member only as suspect: a diverged cluster is when bytes are wanted most.
package snapshot
