package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

const canary = "CANARY-that-lies-in-etcd-alone"

// Invariant 6: while a snapshot is taken, what lies in etcd lies in no file that has a name,
// and in one without a name that vanishes with the process.
func TestPlaintextHasNoNameOnDisk(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	client := c.Client(t)
	for i := range 400 {
		if _, err := client.Put(t.Context(), fmt.Sprintf("/registry/secrets/s%d", i), canary+strings.Repeat(fmt.Sprint(i), 8000)); err != nil {
			t.Fatal(err)
		}
	}
	proxy := etcdtest.NewProxy(t, c.Members[0].ClientURL)
	proxy.Rate(4 << 20) // so that the stream lasts
	u := newUser(t)
	cmd := exec.CommandContext(t.Context(), binary, "snapshot", "--endpoints", proxy.Addr)
	cmd.Env = u.settings
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	unnamed := false
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("snapshot: %v", err)
			}
			running = false
		case <-tick.C:
			unnamed = unnamed || spoolHolds(cmd.Process.Pid, canary)
		}
		if path := fileHolding(t, u.dir, canary); path != "" {
			t.Fatalf("%s holds plaintext", path)
		}
	}
	if !unnamed {
		t.Error("no spool without a name was seen to hold the plaintext: this test would see nothing")
	}
}

// spoolHolds looks into the files without a name that a process has open.
func spoolHolds(pid int, text string) bool {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !strings.HasSuffix(target, "(deleted)") {
			continue
		}
		if raw, err := os.ReadFile(link); err == nil && bytes.Contains(raw, []byte(text)) {
			return true
		}
	}
	return false
}

// fileHolding is a file below dir that holds text, or "".
func fileHolding(t *testing.T, dir, text string) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // it vanished meanwhile
		}
		if raw, err := os.ReadFile(path); err == nil && bytes.Contains(raw, []byte(text)) {
			found = path
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
