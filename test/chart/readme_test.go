package chart

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReadmeIsMadeOfTheValues(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(chartDir)); err != nil {
		t.Fatal(err)
	}
	tool(t, "helm-docs", "--chart-search-root", dir, "--sort-values-order", "file", "--log-level", "warning")
	want, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(filepath.Join(chartDir, "README.md"), want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(filepath.Join(chartDir, "README.md")); err != nil || string(got) != string(want) {
		t.Errorf("README.md is not what helm-docs makes: go test ./test/chart -run Readme -update (%v)", err)
	}
}
