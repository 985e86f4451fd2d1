// Package child runs what tests need beside them: processes that end with the test binary at the
// latest, whatever becomes of it, and finds the binaries that scripts/tools.sh built.
//
//	etcdtest, storetest ─▶ child ─▶ etcd, versitygw, MinIO, ...
//
// It signals only processes that it started, knows nothing of what they serve, and is never
// imported by what ships.
package child
