// Package verify looks at archives again, long after they were taken, and writes down what it
// found.
//
//	manifest ─▶ object: length, SHA-256                                  level stored
//	            └▶ open ─▶ unlinked spool ─▶ walk: revision, keys, HashKV   level content
//
// Every archive is tried: one that is damaged does not hide the others. What a verification
// finds is a receipt beside the archive, where the store lets us write one. The job never
// changes or removes an archive.
package verify
