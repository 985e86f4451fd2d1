package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/bucket/storetest"
)

// soon is how long a stopped run may take to end.
const soon = 10 * time.Second

// stops are the two ways to stop a run from outside.
var stops = []struct {
	signal syscall.Signal
	code   int
	said   string
}{
	{syscall.SIGTERM, exitTerminated, "stopped by SIGTERM"},
	{syscall.SIGINT, exitInterrupted, "stopped by SIGINT"},
}

// ends waits for a run that was told to stop, and looks at what it left in TMPDIR.
func (r *running) ends(t *testing.T) result {
	t.Helper()
	began := time.Now()
	out := r.wait(t)
	if took := time.Since(began); took > soon {
		t.Errorf("it took %v to stop\n%v", took, out)
	}
	if left := r.u.glob(t, "tmp/*"); left != nil {
		t.Errorf("left in TMPDIR: %q", left)
	}
	return out
}

// TestStoppedWhileEtcdDoesNotAnswer: the longest wait there is.
func TestStoppedWhileEtcdDoesNotAnswer(t *testing.T) {
	addr, _ := silent(t)
	u := newOperator(t, []string{addr})
	for _, s := range stops {
		r := u.start(t, "snapshot", "--dial-timeout", "50s")
		r.until(t, "msg=started", 1)
		r.signal(t, s.signal)
		checkStopped(t, r.ends(t), s.code, s.said)
	}
}

func checkStopped(t *testing.T, r result, code int, said string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.stderr, "etcdsafe: "+said) {
		t.Fatalf("exit code %d, want %d and %q\n%v", r.code, code, said, r)
	}
	checkHead(t, r, r.args[0])
	if got := r.field(t, "error"); !strings.HasPrefix(got, said) {
		t.Errorf("report's error is %q, want %q first", got, said)
	}
}

// TestStoppedInMidStream has a member that sends slowly; nothing is stored, and the member's
// stream ends with the run.
func TestStoppedInMidStream(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	fill(t, c, 200, 20_000)
	u := newOperator(t, c.Endpoints())
	proxy := c.Members[0].Proxy
	inMidStream := func(args ...string) *running {
		proxy.Rate(200_000) // 4 MB take 20 s
		from := proxy.Bytes()
		r := u.start(t, append([]string{"snapshot", "--stream-floor", "0"}, args...)...)
		r.until(t, "snapshot stream opened", 1)
		for deadline := time.Now().Add(patience); proxy.Bytes() < from+80_000 && time.Now().Before(deadline); {
			wait(t, 10*time.Millisecond)
		}
		return r
	}
	for _, s := range stops {
		r := inMidStream()
		r.signal(t, s.signal)
		checkStopped(t, r.ends(t), s.code, s.said)
	}
	t.Run("deadline", func(t *testing.T) {
		r := inMidStream("--deadline", "1500ms")
		checkStopped(t, r.ends(t), exitDeadline, "deadline of the job passed")
	})
	if left := u.glob(t, "store/*"); left != nil {
		t.Errorf("left in the store: %q", left)
	}
	proxy.Heal(t)
	u.ok(t, "snapshot")
}

// TestStoppedInMidDefragmentation: the member goes on in the server, and the report says so.
func TestStoppedInMidDefragmentation(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3, Failpoints: true})
	fill(t, c, 50, 20_000)
	for _, m := range c.Members {
		m.Failpoint(t, "defragBeforeCopy", "sleep(4000)")
	}
	u := newOperator(t, c.Endpoints())
	r := u.start(t, "defrag", "--sustain", "0", "--rule", "dbSize > 0", "--dial-timeout", "1s")
	r.until(t, "defragmentation begins", 1)
	r.signal(t, syscall.SIGTERM)
	out := r.ends(t)
	checkStopped(t, out, exitTerminated, "stopped by SIGTERM")
	verdicts := map[string]int{}
	for i := range c.Members {
		verdicts[out.field(t, fmt.Sprintf("members.%d.verdict", i))]++
	}
	if verdicts["running"] != 1 || verdicts["defragment"] != 2 {
		t.Errorf("verdicts: %v, want one running and two still planned\n%v", verdicts, out)
	}
	if r := u.ok(t, "lock", "show"); r.field(t, "held") != "false" {
		t.Errorf("the lock is held still\n%v", r)
	}
}

// fill writes n values of so many bytes that do not compress.
func fill(t *testing.T, c *etcdtest.Cluster, n, size int) {
	t.Helper()
	c.Put(t, func(yield func(string, []byte) bool) {
		for i := range n {
			value := make([]byte, size)
			_, _ = rand.Read(value) // never fails
			if !yield(fmt.Sprintf("/app/%d", i), value) {
				return
			}
		}
	})
}

func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(context.Cause(t.Context()))
	}
}

// TestStoppedAtEveryLogLine sends SIGTERM after each line of the story: the run ends as stopped,
// or it was done already; what is listed opens, and nothing half-made has a name.
func TestStoppedAtEveryLogLine(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	fill(t, c, 50, 20_000)
	u := newOperator(t, nil)
	u.ok(t, "snapshot", "--endpoints", c.Endpoints()[0])
	for _, job := range [][]string{{"snapshot", "--endpoints", c.Endpoints()[0]}, {"verify"}, {"restore", "latest"}} {
		t.Run(job[0], func(t *testing.T) {
			stoppedRuns := 0
			for line := 1; ; line++ {
				if line > 30 {
					t.Fatalf("%s logs more than 30 lines", job[0])
				}
				target := filepath.Join("targets", fmt.Sprint(line))
				u.mkdir(t, "targets")
				args := append([]string{}, job...)
				if job[0] == "restore" {
					args = append(args, "--data-dir", target)
				}
				before := len(u.glob(t, "store/prod/manifests/*"))
				r := u.start(t, append(args, "--log-level", "debug")...)
				if !r.until(t, "msg=", line) {
					r.ends(t)
					break
				}
				r.signal(t, syscall.SIGTERM)
				out := r.ends(t)
				switch out.code {
				case exitTerminated:
					stoppedRuns++
					checkStopped(t, out, exitTerminated, "stopped by SIGTERM")
					if job[0] == "restore" {
						checkNothingAt(t, u, target)
					}
				case exitOK:
					if after := len(u.glob(t, "store/prod/manifests/*")); job[0] == "snapshot" && after != before+1 {
						t.Errorf("exit code 0 and %d manifests more", after-before)
					}
				default:
					t.Errorf("after line %d: exit code %d\n%v", line, out.code, out)
				}
				if half := u.glob(t, "targets/.*"); half != nil {
					t.Errorf("after line %d: half-made beside the target: %q", line, half)
				}
			}
			if stoppedRuns == 0 {
				t.Errorf("no run of %s was stopped: this test proves nothing", job[0])
			}
			u.ok(t, "verify", "all")
		})
	}
}

func checkNothingAt(t *testing.T, u *user, target string) {
	t.Helper()
	if _, err := os.Lstat(u.path(target)); err == nil {
		t.Errorf("%s is there", target)
	}
}

// TestDemoStoppedLeavesNothing: neither files nor the etcd that it runs.
func TestDemoStoppedLeavesNothing(t *testing.T) {
	moments := []string{"# An etcd of its own", "$ etcdsafe snapshot", "$ etcdsafe restore"}
	if testing.Short() {
		moments = moments[:1] // to fill an etcd takes long under the race detector
	}
	for i, line := range moments {
		u := newUser(t)
		r := u.start(t, "demo")
		if !r.until(t, line, 1) {
			t.Fatalf("no line %q\n%v", line, r.wait(t))
		}
		if childrenIn(t, u.dir) == nil {
			t.Errorf("at %q: no process in %s: this test proves nothing", line, u.dir)
		}
		s := stops[i%2]
		r.signal(t, s.signal)
		if out := r.ends(t); out.code != s.code || !strings.Contains(out.stderr, s.said) {
			t.Errorf("after %q: exit code %d, want %d\n%v", line, out.code, s.code, out)
		}
		if left := childrenIn(t, u.dir); left != nil {
			t.Errorf("after %q: still running: %q", line, left)
		}
	}
}

// childrenIn lists processes that work in a folder.
func childrenIn(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(all) == 0 {
		t.Fatalf("no processes: %v", err)
	}
	var out []string
	for _, p := range all {
		if cwd, err := os.Readlink(filepath.Join(p, "cwd")); err == nil && cwd == dir {
			line, _ := os.ReadFile(filepath.Join(p, "cmdline")) // it may have ended
			out = append(out, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return out
}

// TestListAndShowStopped: what is no job ends by the same codes.
func TestListAndShowStopped(t *testing.T) {
	u := newOperator(t, nil)
	for _, args := range [][]string{{"list"}, {"list", "--long"}, {"show", "latest"}} {
		for cause, want := range map[error]int{errTerminated: exitTerminated, errInterrupted: exitInterrupted} {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(cause)
			if r := u.inProcess(ctx, 0, args...); r.code != want {
				t.Errorf("exit code %d, want %d\n%v", r.code, want, r)
			}
		}
	}
}

// TestStoppedBetweenTheCommitsOfTwoStores: what stopped it is the exit code, and the report tells which
// store has the archive.
func TestStoppedBetweenTheCommitsOfTwoStores(t *testing.T) {
	gateway := storetest.Versitygw(t)
	for _, pair := range gateway.Env() {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	liar := storetest.Liar(t, gateway.Endpoint)
	liar.Lie(storetest.Ask{Method: "PUT"}, 0, storetest.Stall())
	u := operatorOf(t)
	both := s3URL(gateway.Through(liar.Endpoint), gateway.Bucket(t, storetest.Plain)) + ",file://" + u.path("store")
	for cause, code := range map[error]int{errTerminated: exitTerminated, errInterrupted: exitInterrupted, errDeadline: exitDeadline} {
		before := len(u.glob(t, "store/prod/manifests/*"))
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan result, 1)
		go func() { ended <- u.inProcess(ctx, 0, "snapshot", "--stores", both) }()
		for deadline := time.Now().Add(patience); len(u.glob(t, "store/prod/manifests/*")) == before && time.Now().Before(deadline); {
			wait(t, 10*time.Millisecond)
		}
		cancel(cause)
		r := <-ended
		checkStopped(t, r, code, cause.Error())
		for path, want := range map[string]string{"result": "failed", "committed": "true", "stores.0.result": "failed", "stores.1.result": "ok"} {
			if got := r.field(t, path); got != want {
				t.Errorf("%s is %q, want %q\n%v", path, got, want, r)
			}
		}
	}
}

// TestAStoreThatIsSilentIsTold where a command waits for it, and who stops the command is told once.
func TestAStoreThatIsSilentIsTold(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	addr, _ := silent(t)
	u := newOperator(t, nil)
	stores := "s3://bucket?path_style=true&endpoint=http://" + addr + ",file://" + u.path("store")
	for _, args := range [][]string{{"list"}, {"list", "--long"}, {"show", "latest"}, {"hold", "latest", "--reason", "x"}, {"verify", "latest"}, {"doctor", "store"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			stderr, ended := new(said), make(chan result, 1)
			go func() {
				ended <- u.inProcessTo(ctx, stderr, process{now: time.Now, silence: 10 * time.Millisecond}, append(args, "--stores", stores)...)
			}()
			line := regexp.MustCompile(`level=WARN msg="store did not answer so far".* store="s3://bucket\?path_style=true&endpoint=http://` + addr)
			for deadline := time.Now().Add(patience); !line.MatchString(stderr.String()) && time.Now().Before(deadline); {
				wait(t, 5*time.Millisecond)
			}
			cancel(errTerminated)
			r := <-ended
			if n := len(line.FindAllString(r.stderr, -1)); r.code != exitTerminated || n != 1 {
				t.Errorf("exit code %d and %d lines that name the store, want %d and one\n%v", r.code, n, exitTerminated, r)
			}
			_, complaint, _ := strings.Cut(r.stderr, "etcdsafe: ")
			if !strings.HasPrefix(complaint, "stopped by SIGTERM") || strings.Count(complaint, "stopped by SIGTERM") != 1 {
				t.Errorf("want once that SIGTERM stopped it: %q", complaint)
			}
		})
	}
}
