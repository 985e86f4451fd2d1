// Package etcdtest runs real etcd servers for tests: separate processes of the pinned
// versions 3.5, 3.6 and 3.7 on loopback, alone or as a cluster, with TLS, with auth, behind
// a proxy that fails on purpose, or with failpoints that stall the server itself.
//
//	c := etcdtest.Start(t, etcdtest.Options{Version: "3.6", Members: 3})
//	code under test ── c.Endpoints() ──▶ [Proxy] ──▶ member ◀── c.Client(t) ── the test's own look
//
// Everything that a test starts ends with it: processes are killed and folders removed at
// t.Cleanup, and the kernel kills the servers should the test binary itself be killed.
//
// The package signals only processes that it started, needs no network but loopback, and is
// never imported by what ships. The binaries come from scripts/tools.sh.
package etcdtest
