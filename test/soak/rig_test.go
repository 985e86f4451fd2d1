package soak

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// version is the etcd that is backed up.
const version = "3.6"

// runWait ends a run that hangs. It is killed by SIGQUIT, so that it says where.
const runWait = 5 * time.Minute

// A rig is an etcd with something in it, and the folders of a user who backs it up.
type rig struct {
	t       *testing.T
	cluster *etcdtest.Cluster
	canary  []byte // lies in etcd, and nowhere else but under a seal

	dir, store, spool, tmp, cwd string
	identity, recipients        string
}

// newRig starts and fills an etcd and makes keys and folders.
func newRig(t *testing.T, fill ...string) *rig {
	t.Helper()
	r := newUser(t)
	r.cluster = etcdtest.Start(t, etcdtest.Options{Version: version, QuotaBytes: 8 << 30})
	r.putCanary("/registry/canary/before")
	began := time.Now()
	cmd := exec.CommandContext(t.Context(), programs.fill, append([]string{"-endpoint", r.cluster.Endpoints()[0]}, fill...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("fill %q: %v", fill, err)
	}
	r.putCanary("/registry/canary/after")
	t.Logf("filled in %v: %s", time.Since(began).Round(time.Second), bytes.TrimSpace(out))
	return r
}

// newUser makes keys and folders, of a user without an etcd.
func newUser(t *testing.T) *rig {
	t.Helper()
	if err := noteSources(); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: diskFolder(t), canary: []byte("etcdsafe-canary-" + rand.Text() + rand.Text())}
	for name, path := range map[string]*string{"store": &r.store, "spool": &r.spool, "tmp": &r.tmp, "cwd": &r.cwd} {
		*path = filepath.Join(r.dir, name)
		if err := os.Mkdir(*path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.keygen()
	return r
}

// diskFolder is a folder of the test's own that is not in memory.
func diskFolder(t *testing.T) string {
	t.Helper()
	for _, parent := range []string{os.TempDir(), "/var/tmp"} {
		var fs unix.Statfs_t
		if err := unix.Statfs(parent, &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
			continue
		}
		dir, err := os.MkdirTemp(parent, "etcdsafe-soak-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		})
		return dir
	}
	t.Fatalf("neither %s nor /var/tmp is on a disk: set TMPDIR to a folder that is", os.TempDir())
	return ""
}

func (r *rig) keygen() {
	r.t.Helper()
	r.identity, r.recipients = filepath.Join(r.dir, "identity.txt"), filepath.Join(r.dir, "recipients.txt")
	out := r.must(0, "keygen", r.identity)
	if err := os.WriteFile(r.recipients, []byte(out.stdout), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) putCanary(key string) {
	r.t.Helper()
	r.cluster.Put(r.t, func(yield func(string, []byte) bool) { yield(key, r.canary) })
}

// output is how a run ended.
type output struct {
	code           int
	stdout, stderr string
}

// command is a run that was not started yet. Its environment is what the test says and nothing
// else: no GOMEMLIMIT, no ETCDSAFE_*.
func (r *rig) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, programs.etcdsafe, args...)
	// What is killed leaves its lock for a minute, and jobs work at once here on purpose.
	cmd.Env = []string{"PATH=/usr/bin:/bin", "TMPDIR=" + r.tmp, "ETCDSAFE_LOCK=none"}
	cmd.Dir = r.cwd
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

func (r *rig) run(args ...string) output {
	r.t.Helper()
	ctx, stop := context.WithTimeout(r.t.Context(), runWait)
	defer stop()
	return r.finish(r.command(ctx, args...))
}

func (r *rig) finish(cmd *exec.Cmd) output {
	r.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatalf("run %q: %v\n%s", cmd.Args, err, stderr.String())
	}
	return output{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// must fails the test unless the run ends with code.
func (r *rig) must(code int, args ...string) output {
	r.t.Helper()
	out := r.run(args...)
	if out.code != code {
		r.t.Fatalf("etcdsafe %q exits with %d, want %d\nstdout: %s\nstderr: %s", args, out.code, code, out.stdout, out.stderr)
	}
	return out
}

// want is must, and the test goes on.
func (r *rig) want(code int, args ...string) output {
	r.t.Helper()
	out := r.run(args...)
	if out.code != code {
		r.t.Errorf("etcdsafe %q exits with %d, want %d\nstdout: %s\nstderr: %s", args, out.code, code, out.stdout, out.stderr)
	}
	return out
}

const clusterName = "soak"

func (r *rig) stored(args ...string) []string {
	return append(args, "--cluster", clusterName, "--stores", "file://"+r.store)
}

func (r *rig) sealing() []string {
	return r.stored("snapshot", "--endpoints", r.cluster.Endpoints()[0], "--recipients-file", r.recipients,
		"--spool-dir", r.spool, "--output", "json", "--log-level", "debug", "--log-format", "json")
}

func (r *rig) opening(args ...string) []string {
	return r.stored(append(args, "--identities-file", r.identity, "--spool-dir", r.spool, "--output", "json",
		"--log-level", "debug", "--log-format", "json")...)
}

// snapshot takes one, and returns its id.
func (r *rig) snapshot() catalog.ID {
	r.t.Helper()
	var report struct {
		Archive struct {
			ID catalog.ID `json:"id"`
		} `json:"archive"`
	}
	r.decode(r.must(0, r.sealing()...), &report)
	return report.Archive.ID
}

// listed is what list says of an archive.
type listed struct {
	ID       catalog.ID      `json:"id"`
	HashKV   catalog.Outcome `json:"hashKV"`
	Verified catalog.Level   `json:"verified"`
	Flags    []string        `json:"flags"`
	Error    string          `json:"error"`
}

func (r *rig) list() []listed {
	r.t.Helper()
	var all []listed
	r.decode(r.must(0, r.stored("list", "--long", "--output", "json")...), &all)
	return all
}

func (r *rig) manifest(id catalog.ID) catalog.Manifest {
	r.t.Helper()
	var shown struct {
		Manifest catalog.Manifest `json:"manifest"`
	}
	r.decode(r.must(0, r.stored("show", string(id), "--output", "json")...), &shown)
	return shown.Manifest
}

func (r *rig) decode(out output, into any) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(out.stdout), into); err != nil {
		r.t.Fatalf("read %q: %v", out.stdout, err)
	}
}

// inStore is a path below the cluster's folder in the store.
func (r *rig) inStore(parts ...string) string {
	return filepath.Join(append([]string{r.store, clusterName}, parts...)...)
}

func (r *rig) archivePath(id catalog.ID) string {
	return r.inStore("archives", string(id)+".db.zst.age")
}

func (r *rig) manifestPath(id catalog.ID) string { return r.inStore("manifests", string(id)+".json") }
