package child

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/etcdsafe/etcdsafe/test/doomed"
)

func TestAMissingToolSaysWhatToRun(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("ETCDSAFE_TOOLS", dir)
	if said := doomed.Said(t, func(t testing.TB) { Tool(t, "lint", "golangci-lint") }); !strings.HasSuffix(said, "run scripts/tools.sh lint") {
		t.Errorf("Tool said %q", said)
	}
	path := filepath.Join(dir, "golangci-lint")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Tool(t, "lint", "golangci-lint"); got != path {
		t.Errorf("Tool is %q, want %q", got, path)
	}
}

func TestToolsAreWhereTheScriptPutsThem(t *testing.T) {
	t.Setenv("HOME", "/h")
	t.Setenv("ETCDSAFE_TOOLS", "")
	for _, c := range []struct{ tools, xdg, want string }{
		{"", "", "/h/.cache/etcdsafe/tools"},
		{"", "/x", "/x/etcdsafe/tools"},
		{"/t", "/x", "/t"},
	} {
		t.Setenv("ETCDSAFE_TOOLS", c.tools)
		t.Setenv("XDG_CACHE_HOME", c.xdg)
		if got, err := toolsDir(); err != nil || got != c.want {
			t.Errorf("toolsDir with %+v is %q, %v", c, got, err)
		}
	}
}
