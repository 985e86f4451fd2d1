// Package e2e drives the binary as its users do, against real etcd servers and stock tools.
package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// binary is built once, without cgo as in a release.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "etcdsafe-e2e-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "etcdsafe")
		build := exec.Command("go", "build", "-trimpath", "-o", binary, "github.com/etcdsafe/etcdsafe/cmd/etcdsafe")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			panic(string(out))
		}
		return m.Run()
	}())
}

// user is somebody with a folder, a key pair and the settings to reach a cluster.
type user struct {
	t        *testing.T
	dir      string
	settings []string // NAME=value
	etcd     []string // those of a cluster
}

func newUser(t *testing.T, settings ...string) *user {
	t.Helper()
	u := &user{t: t, dir: t.TempDir()}
	for _, name := range []string{"store", "spool"} {
		if err := os.Mkdir(u.path(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	u.settings = append([]string{"ETCDSAFE_CLUSTER=prod", "ETCDSAFE_STORES=file://" + u.path("store"), "ETCDSAFE_SPOOL_DIR=" + u.path("spool"),
		"ETCDSAFE_TERMINATION_LOG=" + u.path("none"), "ETCDSAFE_OUTPUT=json"}, settings...)
	recipient, _ := u.run(0, "keygen", u.path("identity.txt"))
	u.write("recipients.txt", recipient)
	u.settings = append(u.settings, "ETCDSAFE_RECIPIENTS_FILE="+u.path("recipients.txt"), "ETCDSAFE_IDENTITIES_FILE="+u.path("identity.txt"))
	return u
}

// of adds how to reach a cluster.
func (u *user) of(c *etcdtest.Cluster) *user {
	u.etcd = []string{"ETCDSAFE_ENDPOINTS=" + strings.Join(c.Endpoints(), ","),
		"ETCDSAFE_CACERT=" + c.CA, "ETCDSAFE_CERT=" + c.ClientCert, "ETCDSAFE_KEY=" + c.ClientKey, "ETCDSAFE_USER=" + c.User, "ETCDSAFE_PASSWORD=" + c.Password}
	return u
}

func (u *user) path(name string) string { return filepath.Join(u.dir, name) }

func (u *user) write(name, text string) {
	u.t.Helper()
	if err := os.WriteFile(u.path(name), []byte(text), 0o600); err != nil {
		u.t.Fatal(err)
	}
}

// run runs one command line and expects its exit code.
func (u *user) run(want int, args ...string) (stdout, stderr string) {
	u.t.Helper()
	cmd := exec.CommandContext(u.t.Context(), binary, args...)
	var out, story bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = slices.Concat(u.settings, u.etcd), &out, &story
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		u.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		u.t.Fatalf("etcdsafe %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, want, out.String(), story.String())
	}
	return out.String(), story.String()
}

// manifest is the newest archive's.
func (u *user) manifest() catalog.Manifest {
	u.t.Helper()
	out, _ := u.run(0, "show", "latest")
	var shown struct{ Manifest catalog.Manifest }
	if err := json.Unmarshal([]byte(out), &shown); err != nil {
		u.t.Fatalf("show: %v: %s", err, out)
	}
	return shown.Manifest
}

// shell runs a line as RECOVERY.md has it.
func (u *user) shell(line string) {
	u.t.Helper()
	cmd := exec.CommandContext(u.t.Context(), "bash", "-euo", "pipefail", "-c", line)
	cmd.Dir = u.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		u.t.Fatalf("%s: %v\n%s", line, err, out)
	}
}
