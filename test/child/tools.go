package child

import (
	"os"
	"path/filepath"
	"testing"
)

// Tool is the path of what scripts/tools.sh built or installed, such as "etcdutl-3.6", in that
// script's group of tools. A missing one fails the test: a skipped test would look like a passed one.
func Tool(t testing.TB, group, name string) string {
	t.Helper()
	dir, err := toolsDir()
	if err != nil {
		t.Fatalf("folder of the tools: %v", err)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no %s in %s: run scripts/tools.sh %s", name, dir, group)
	}
	return path
}

// toolsDir is the folder that scripts/tools.sh fills.
func toolsDir() (string, error) {
	if dir := os.Getenv("ETCDSAFE_TOOLS"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "etcdsafe", "tools"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".cache", "etcdsafe", "tools"), nil
}
