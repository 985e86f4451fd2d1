package lint

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// A deferred call with an error variable made truncated backups look whole, for years.
func TestDeferredErrorsAreRefused(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), child.Tool(t, "lint", "golangci-lint"), "run", "--allow-parallel-runners", "testdata/deferred/deferred.go")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("golangci-lint found nothing wrong:\n%s", out)
	}
	if n := strings.Count(string(out), "evaluated at the defer"); n != 2 {
		t.Errorf("golangci-lint named %d deferred errors, want 2:\n%s", n, out)
	}
}

// imports.sh must fail on an edge that the layout forbids, each kind of it.
func TestForbiddenImportsAreRefused(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for file, imported := range map[string]string{
		"storage/archive/zz.go": "net/http",
		"storage/bucket/zz.go":  "github.com/etcdsafe/etcdsafe/storage/catalog",
		"storage/catalog/zz.go": "github.com/etcdsafe/etcdsafe/jobs",
		"jobs/verify/zz.go":     "github.com/etcdsafe/etcdsafe/jobs/restore",
		"jobs/snapshot/zz.go":   "go.etcd.io/etcd/client/v3",
		"jobs/etcd/zz.go":       "go.etcd.io/bbolt",
		"jobs/restore/zz.go":    "github.com/spf13/cobra",
		"cmd/etcdsafe/zz.go":    "filippo.io/age",
		"jobs/copy/zz.go":       "github.com/etcdsafe/etcdsafe/test/child",
		"jobs/demo/zz.go":       "github.com/etcdsafe/etcdsafe/test/doomed",
		"test/data/zz.go":       "github.com/etcdsafe/etcdsafe/test/child",
		"test/child/zz.go":      "github.com/etcdsafe/etcdsafe/storage/bucket",
	} {
		t.Run(file, func(t *testing.T) {
			out, err := imports(t, root, file, imported)
			if err == nil || !strings.Contains(out, imported) && !strings.Contains(out, strings.TrimPrefix(imported, "github.com/etcdsafe/etcdsafe/")) {
				t.Errorf("imports.sh with %s importing %s: %v\n%s", file, imported, err, out)
			}
		})
	}
	if out, err := imports(t, root, "storage/archive/zz.go", "bytes"); err != nil {
		t.Errorf("imports.sh with a harmless edge: %v\n%s", err, out)
	}
}

// imports runs imports.sh as if file were in the tree.
func imports(t *testing.T, root, file, imported string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Base(filepath.Dir(file))
	if name == "etcdsafe" {
		name = "main"
	}
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "zz.go"), "package "+name+"\n\nimport _ \""+imported+"\"\n")
	write(filepath.Join(dir, "overlay.json"), `{"Replace": {"`+filepath.Join(root, file)+`": "`+filepath.Join(dir, "zz.go")+`"}}`)
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "scripts", "imports.sh"))
	cmd.Env = append(os.Environ(), "GOFLAGS=-overlay="+filepath.Join(dir, "overlay.json"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}
