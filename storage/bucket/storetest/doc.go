// Package storetest runs real object stores for tests: each a process of its own on loopback,
// with buckets made for the test, and two kinds of bad road to it.
//
//	code under test ── Endpoint ──▶ [Toxi | Liar] ──▶ Versitygw, MinIO, FakeGCS, Azurite ──▶ Dir
//	                                                     ▲
//	                      Client: the test's own look ───┘
//
// Toxi breaks connections, Liar changes answers. Both stand before a store by its endpoint,
// and the store's Through gives what a client then needs to know.
//
// Everything that a test starts ends with it: processes are killed and folders removed at
// t.Cleanup, and the kernel kills the servers should the test binary itself be killed. A start
// takes some 0.3 s, Azurite's 1.5 s: start a store once for the tests of a table, and give each a bucket.
//
// The package signals only processes that it started, needs no network but loopback, and is
// never imported by what ships. The binaries come from scripts/tools.sh.
package storetest
