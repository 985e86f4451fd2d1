// Package soak holds the built binary to what must hold after hundreds of runs: it is killed at
// every stage, its archives, manifests and receipts lose single bits, several of its jobs work at once
// on stores that come and go, it defragments clusters under writers, it keeps time beside another of its kind
// and beside CronJobs, and it works on a database that is larger than the memory that it is given.
//
//	test/data/fill ─▶ real etcd ─▶ etcdsafe as a process, killed or confined ─▶ what it left
//
// `go test` runs a short form, with a lease of 10 s instead of 60; scripts/soak.sh runs the whole and keeps the figures in
// SUMMARY.md. The package never calls the product's jobs: it sees what a user sees, and the
// store's folder.
package soak

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// programs are the binaries under test; TestMain sets them and nobody else.
var programs = struct {
	etcdsafe, fill string        // their paths
	lease          time.Duration // how long a claim outlives its holder
	watch          time.Duration // for how long, beyond its pause, a run without a lock watches members
}{lease: time.Minute, watch: 30 * time.Second}

// sideBySide is how many of the tests that mostly wait run at once, unless told. All others run alone.
const sideBySide = "8"

// TestMain builds the binaries once, and makes this process the parent of orphans: the children
// of what it kills, whose end it wants to see.
func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "etcdsafe-soak-bin-")
	if err == nil {
		err = errors.Join(waitTogether(), build(dir), unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}

// asUsersHaveIt says whether a script runs the long form, or a measurement.
func asUsersHaveIt() bool {
	_, soak := os.LookupEnv("ETCDSAFE_SOAK")
	_, bench := os.LookupEnv("ETCDSAFE_BENCH")
	return soak || bench
}

// waitTogether lets the tests of a short form run side by side; the scripts say by themselves.
func waitTogether() error {
	told := asUsersHaveIt()
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "test.parallel" })
	if told {
		return nil
	}
	return flag.Set("test.parallel", sideBySide)
}

// build makes the binary that users have, and for a short form one that waits for less.
func build(dir string) error {
	const module = "github.com/etcdsafe/etcdsafe/"
	link := "-s -w"
	if !asUsersHaveIt() {
		programs.lease, programs.watch = 10*time.Second, 4*time.Second
		link += fmt.Sprintf(" -X main.testLease=%s -X main.testWatch=%s", programs.lease, programs.watch)
	}
	cmd := exec.Command("go", "build", "-ldflags="+link, "-o", dir+"/", module+"cmd/etcdsafe", module+"test/data/fill")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the binaries: %w\n%s", err, out)
	}
	programs.etcdsafe, programs.fill = filepath.Join(dir, "etcdsafe"), filepath.Join(dir, "fill")
	return nil
}

// noteSources looks at every file that the binaries are made of. A test calls it: `go test` takes
// a result from its cache unless a file that a test looked at has changed, it notes none that
// TestMain looks at before the first test, and it sees no compiler.
func noteSources() error {
	for _, dir := range []string{"cmd", "jobs", "storage", "test/data"} {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			_, err = os.Stat(path)
			return err
		})
		if err != nil {
			return fmt.Errorf("look at the sources: %w", err)
		}
	}
	_, err := os.Stat(filepath.Join("..", "..", "go.sum"))
	return err
}
