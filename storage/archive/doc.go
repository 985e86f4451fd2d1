// Package archive turns a snapshot into an archive and back, bytes to bytes.
//
//	snapshot ─ Digest ─ zstd ─ age ─▶ archive        Seal
//	snapshot ◀ Digest ─ zstd ─ age ── archive        Open
//
// A snapshot is etcd's own stream: a bbolt file followed by the SHA-256 of all that came
// before (etcd server/etcdserver/api/v3rpc/maintenance.go, Snapshot). Digest is the check of
// that ending; etcd's own client compares only the length. FORMAT.md tells every byte.
//
// The package knows no network, no clock and no folder. It never writes plaintext anywhere
// but to the writer it was given, never holds more than a few windows of it in memory, and
// never reports a clean end of a stream that was cut: what Seal leaves after an error does
// not open, and Open says ErrCorrupt at the end of bytes that are not those promised.
package archive
