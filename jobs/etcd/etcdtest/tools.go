package etcdtest

import (
	"strings"
	"testing"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// Tool is the path of a binary that scripts/tools.sh built, such as "etcdutl-3.6" or "age".
// A missing one fails the test.
func Tool(t testing.TB, name string) string {
	t.Helper()
	group := name
	if strings.HasPrefix(name, "etcd") {
		_, version, _ := strings.Cut(name, "-")
		group = "etcd" + strings.NewReplacer(".", "", "-", "").Replace(version)
	}
	return child.Tool(t, group, name)
}
