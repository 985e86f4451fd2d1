package storetest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/etcdsafe/etcdsafe/test/doomed"
)

// children are the names of the processes that this one started and that still run.
func children(t *testing.T) (names []string) {
	t.Helper()
	threads, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(threads) == 0 {
		t.Fatalf("no children in /proc: %v", err)
	}
	for _, thread := range threads {
		pids, err := os.ReadFile(thread)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the thread has ended meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range strings.Fields(string(pids)) {
			name, _ := os.ReadFile("/proc/" + pid + "/comm") // none of a child that is just gone
			names = append(names, strings.TrimSpace(string(name)))
		}
	}
	return names
}

func TestNothingOutlivesATest(t *testing.T) {
	before := goleak.IgnoreCurrent()
	var dir string
	t.Run("inner", func(t *testing.T) {
		s := Versitygw(t)
		dir = s.Dir
		for _, endpoint := range []string{s.Endpoint, MinIO(t).Endpoint, FakeGCS(t).Endpoint, Azurite(t).Endpoint} {
			Toxi(t, endpoint)
			l := Liar(t, endpoint)
			l.Lie(Ask{}, 0, Stall())
			ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer stop()
			if err := answers(ctx, l.Endpoint); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("ask a liar that stalls: %v", err)
			}
		}
		if got := children(t); len(got) != 8 {
			t.Errorf("there are %q, want 4 servers and as many proxies", got)
		}
	})
	if got := children(t); got != nil {
		t.Errorf("%q are still there", got)
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder of the objects is still there: %v", err)
	}
}

func TestAServerThatEndsByItselfIsShown(t *testing.T) {
	said := doomed.Said(t, func(t testing.TB) {
		start(t, "false", freeAddr(t), "/", []string{"/bin/sh", "-c", "echo no such flag; exit 1"}, nil)
	})
	if !strings.Contains(said, "no such flag") {
		t.Errorf("the test failed with %q", said)
	}
}

func TestAMissingToolSaysWhatToRun(t *testing.T) {
	t.Setenv("ETCDSAFE_TOOLS", t.TempDir())
	for group, open := range map[string]func(testing.TB){
		"versitygw": func(t testing.TB) { Versitygw(t) },
		"minio":     func(t testing.TB) { MinIO(t) },
		"fakegcs":   func(t testing.TB) { FakeGCS(t) },
		"azurite":   func(t testing.TB) { Azurite(t) },
		"toxiproxy": func(t testing.TB) { Toxi(t, "http://127.0.0.1:1") },
	} {
		if said := doomed.Said(t, open); !strings.HasSuffix(said, "run scripts/tools.sh "+group) {
			t.Errorf("without %s the test failed with %q", group, said)
		}
	}
}
