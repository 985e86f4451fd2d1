package storetest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// Versitygw runs a gateway that keeps objects as plain files, so that a test may flip a byte
// on the disk itself. It stores checksums and holds conditions, versions and locks.
func Versitygw(t testing.TB) S3 {
	t.Helper()
	addr, dir := freeAddr(t), t.TempDir()
	s := S3{
		Endpoint: "http://" + addr, Region: region, Dir: filepath.Join(dir, "objects"),
		AccessKey: "storetest", SecretKey: "storetest-versitygw-secret",
	}
	versions := filepath.Join(dir, "versions")
	for _, folder := range []string{s.Dir, versions} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	start(t, "versitygw", addr, "/healthz", []string{
		child.Tool(t, "versitygw", "versitygw"), "--port", addr, "--region", region, "--health", "/healthz",
		"posix", "--versioning-dir", versions, s.Dir,
	}, []string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey})
	return s
}
