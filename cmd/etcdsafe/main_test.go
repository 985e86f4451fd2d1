package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// TestMain is three programs in one binary: the tests; etcdsafe, under which name testscript
// puts a copy of it into PATH; and the child in which etcdsafe opens database files. That one
// is started as /proc/self/exe, a name that says nothing, so its argument decides.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == dbfile.Command {
		hurry()
		main()
	}
	testscript.Main(m, map[string]func(){"etcdsafe": func() {
		testLease = os.Getenv("TEST_LEASE")
		main()
	}})
}

// inHurry keeps the race detector from sleeping a second at the end of each process.
const inHurry = "GORACE=atexit_sleep_ms=0"

// hurry starts this process anew where the race detector would sleep: a child's environment is
// etcdsafe's to make, and has no GORACE.
func hurry() {
	info, ok := debug.ReadBuildInfo()
	if !ok || !slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) || os.Getenv("GORACE") != "" {
		return
	}
	err := syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), inHurry))
	panic(err) // Exec does not come back otherwise
}

// TestScript runs the command line as a user sees it. scriptcmd_test.go has the commands that
// testscript itself lacks.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", Setup: setUpScript, Cmds: scriptCommands(), RequireUniqueNames: true,
		WorkdirRoot: t.TempDir(), // testscript's own stays when -run leaves scripts out
	})
}

// setUpScript gives a script the pinned tools (etcdctl-3.6, etcdutl-3.6, age) and a place for
// what its commands share.
func setUpScript(e *testscript.Env) error {
	tb := e.T().(testing.TB)
	tools := filepath.Dir(etcdtest.Tool(tb, "age"))
	e.Setenv("PATH", e.Getenv("PATH")+string(os.PathListSeparator)+tools)
	e.Vars = append(e.Vars, inHurry)
	e.Values[scriptKey{}] = &script{tb: tb}
	return nil
}

func TestEverySubcommandHasAScript(t *testing.T) {
	c := &cli{process: process{}, set: settings.New()}
	root := c.root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	seen := 0
	for _, cmd := range root.Commands() {
		name := cmd.Name()
		if cmd.Hidden || strings.HasPrefix(name, "__") {
			continue
		}
		seen++
		text, err := os.ReadFile(filepath.Join("testdata", "script", name+".txtar"))
		if err != nil {
			t.Errorf("subcommand %s: %v", name, err)
			continue
		}
		if !strings.Contains(string(text), "etcdsafe "+name) {
			t.Errorf("script %s.txtar never runs etcdsafe %s", name, name)
		}
	}
	if seen < 10 {
		t.Errorf("root has %d subcommands, want at least the ten of this release", seen)
	}
}
