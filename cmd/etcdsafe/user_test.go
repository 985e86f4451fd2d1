package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// patience is how long a process may take that nobody stops.
const patience = 60 * time.Second

// user is somebody at a shell: a folder, and an environment of their own.
type user struct {
	dir   string
	env   []string
	heard *transcript
	lease time.Duration // of locks that inProcess takes or waits for; 0: the usual
	stdin *os.File      // nil: nothing
}

// transcript is all that programs printed.
type transcript struct {
	mu   sync.Mutex
	said []string
}

// newUser has PATH, HOME and an empty TMPDIR, and nothing of whoever runs the tests.
func newUser(t *testing.T, env ...string) *user {
	t.Helper()
	u := &user{dir: t.TempDir(), heard: &transcript{}}
	u.mkdir(t, "tmp")
	u.env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/no-home", inHurry, "TMPDIR=" + u.path("tmp"),
		"ETCDSAFE_TERMINATION_LOG=" + u.path("termination-log"), "ETCDSAFE_XCOM_FILE=" + u.path("xcom/return.json")}, env...)
	return u
}

func (u *user) path(name string) string { return filepath.Join(u.dir, name) }

func (u *user) mkdir(t *testing.T, name string) string {
	t.Helper()
	if err := os.MkdirAll(u.path(name), 0o755); err != nil {
		t.Fatal(err)
	}
	return u.path(name)
}

// write makes a file and returns its path.
func (u *user) write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(u.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return u.path(name)
}

func (u *user) read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(u.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// files are all at or below a name, by their path.
func (u *user) files(t *testing.T, name string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(u.path(name), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		out[path] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// glob lists names below the user's folder.
func (u *user) glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(u.path(pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// result is how a program ended, and what it printed.
type result struct {
	args           []string
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("etcdsafe %s\nexit code %d\n%s", strings.Join(r.args, " "), r.code, r.printed())
}

func (r result) printed() string { return "stdout:\n" + r.stdout + "\nstderr:\n" + r.stderr }

// field is a value of the JSON report on stdout, as the script command json has it.
func (r result) field(t *testing.T, path string) string {
	t.Helper()
	v, err := at(r.stdout, path)
	if err != nil {
		t.Fatalf("%v\n%v", err, r)
	}
	return v
}

// run runs etcdsafe to its end.
func (u *user) run(t *testing.T, args ...string) result {
	t.Helper()
	return u.start(t, args...).wait(t)
}

// ok is run where nothing else than 0 will do.
func (u *user) ok(t *testing.T, args ...string) result {
	t.Helper()
	return u.exits(t, 0, args...)
}

func (u *user) exits(t *testing.T, want int, args ...string) result {
	t.Helper()
	r := u.run(t, args...)
	if r.code != want {
		t.Fatalf("exit code %d, want %d\n%v", r.code, want, r)
	}
	return r
}

// shell runs a script in a mount namespace of its own, where it may mount things.
func (u *user) shell(t *testing.T, script string) result {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	cmd := exec.CommandContext(ctx, "unshare", "--map-root-user", "--mount", "sh", "-euc", script)
	cmd.Env, cmd.Dir = u.env, u.dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	return u.ended(t, []string{script}, cmd.Run(), stdout.String(), stderr.String())
}

func (u *user) ended(t *testing.T, args []string, err error, stdout, stderr string) result {
	t.Helper()
	r := result{args: args, stdout: stdout, stderr: stderr}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		t.Fatalf("run %q: %v", args, err)
	}
	u.heard.mu.Lock()
	defer u.heard.mu.Unlock()
	u.heard.said = append(u.heard.said, r.printed())
	return r
}

// running is an etcdsafe that has not ended.
type running struct {
	u     *user
	args  []string
	cmd   *exec.Cmd
	lines chan string // of stdout and stderr, as they come; closed at the end
	out   [2]strings.Builder
	read  sync.WaitGroup
}

// start runs this test binary under the name of etcdsafe.
func (u *user) start(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{u: u, args: args, lines: make(chan string, 1<<16)}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r.cmd = &exec.Cmd{Path: self, Args: append([]string{"etcdsafe"}, args...), Env: u.env, Dir: u.dir}
	if u.stdin != nil {
		r.cmd.Stdin = u.stdin
	}
	stdout, errOut := r.cmd.StdoutPipe()
	stderr, errErr := r.cmd.StderrPipe()
	if err := errors.Join(errOut, errErr, r.cmd.Start()); err != nil {
		t.Fatalf("start etcdsafe %q: %v", args, err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill() }) // it has ended, unless the test failed
	for i, pipe := range []io.Reader{stdout, stderr} {
		r.read.Go(func() { r.collect(pipe, &r.out[i]) })
	}
	go func() { r.read.Wait(); close(r.lines) }()
	return r
}

func (r *running) collect(pipe io.Reader, into *strings.Builder) {
	text := bufio.NewReader(pipe)
	for {
		line, err := text.ReadString('\n')
		into.WriteString(line)
		if err != nil {
			return
		}
		r.lines <- strings.TrimSuffix(line, "\n")
	}
}

// until waits for the n-th line that holds text, and says whether it came.
func (r *running) until(t *testing.T, text string, n int) bool {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, more := <-r.lines:
			if !more {
				return false
			}
			if strings.Contains(line, text) {
				n--
			}
			if n <= 0 {
				return true
			}
		case <-timeout:
			t.Fatalf("etcdsafe %q: no line with %q within %v", r.args, text, patience)
		}
	}
}

// signal sends s, and does not mind that the process has just ended.
func (r *running) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("send %v: %v", s, err)
	}
}

func (r *running) wait(t *testing.T) result {
	t.Helper()
	done := make(chan error, 1)
	go func() { r.read.Wait(); done <- r.cmd.Wait() }()
	select {
	case err := <-done:
		return r.u.ended(t, r.args, err, r.out[0].String(), r.out[1].String())
	case <-time.After(patience):
		t.Fatalf("etcdsafe %q still runs after %v", r.args, patience)
		return result{}
	}
}

// tool runs one of the pinned tools, or of the system's, and returns its stdout.
func (u *user) tool(t *testing.T, stdin io.Reader, name string, args ...string) string {
	t.Helper()
	path := name
	if name != "zstd" {
		path = etcdtest.Tool(t, name)
	}
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	cmd := exec.CommandContext(ctx, path, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = u.dir, stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, stderr.String())
	}
	return stdout.String()
}

// operator is a user with a key, a store and a cluster, all named in the environment.
func newOperator(t *testing.T, endpoints []string) *user {
	t.Helper()
	u := newUser(t)
	u.write(t, "recipients.txt", u.ok(t, "keygen", "identity.txt").stdout)
	u.mkdir(t, "store")
	u.env = append(u.env, "ETCDSAFE_CLUSTER=prod", "ETCDSAFE_STORES=file://"+u.path("store"), "ETCDSAFE_RECIPIENTS_FILE="+u.path("recipients.txt"),
		"ETCDSAFE_IDENTITIES_FILE="+u.path("identity.txt"), "ETCDSAFE_OUTPUT=json")
	if endpoints != nil {
		u.env = append(u.env, "ETCDSAFE_ENDPOINTS="+strings.Join(endpoints, ","))
	}
	return u
}

// with is the same user with more in the environment.
func (u *user) with(env ...string) *user {
	return &user{dir: u.dir, env: append(append([]string{}, u.env...), env...), heard: u.heard}
}
