// Package dbfile works on etcd's database file offline: what is inside, its HashKV, restore
// into a data folder, and a server started on one.
//
//	job ─ Inspect, Restore, Boot ─▶ child process of the same binary ─ Serve ─▶ bbolt, etcd
//	                                descriptors in, JSON out
//
// bbolt and etcd's library panic, exit the process and fault on mapped pages in ways that no
// recover catches, so nothing here maps a file in the caller's own process: a crash becomes
// ErrCrashed with what the child said last. The package is the only importer of bbolt and of
// etcd's server. It never writes to a file that it was given.
package dbfile
