package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// A live run goes on while the test looks at it. Its methods are for any goroutine.
type live struct {
	t              *testing.T
	cmd            *exec.Cmd
	began          time.Time
	stdout, stderr screen
	done           chan struct{} // closed when it has ended
	ended          time.Time     // once done
}

// screen is what a run has written so far.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// start begins a run, under the lock of the cluster and with a log of JSON. It is ended with the
// test, or by SIGQUIT when it hangs.
func (r *rig) start(t *testing.T, args ...string) *live {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), runWait)
	args = append(args, "--cluster", clusterName, "--lock", "etcd", "--output", "json", "--log-format", "json")
	l := &live{t: t, cmd: r.command(ctx, args...), done: make(chan struct{})}
	l.cmd.Stdout, l.cmd.Stderr = &l.stdout, &l.stderr
	l.began = time.Now()
	if err := l.cmd.Start(); err != nil {
		stop()
		t.Fatalf("start %q: %v", args, err)
	}
	go func() {
		defer close(l.done)
		defer stop()
		_ = l.cmd.Wait() // how it ended is its exit code
		l.ended = time.Now()
	}()
	t.Cleanup(func() {
		stop()
		<-l.done
	})
	return l
}

// report is what a run's says, as far as these tests ask.
type report struct {
	Result    string   `json:"result"`
	Reason    string   `json:"reason"`
	Cause     string   `json:"cause"`
	Error     string   `json:"error"`
	Lock      string   `json:"lock"`
	Warnings  []string `json:"warnings"`
	Disarmed  []string `json:"disarmed"`
	Committed bool     `json:"committed"`
	Members   []struct {
		Name    string `json:"name"`
		Verdict string `json:"verdict"`
		Reason  string `json:"reason"`
	} `json:"members"`
}

// with counts the members that have a verdict.
func (r report) with(verdict string) (n int) {
	for _, m := range r.Members {
		if m.Verdict == verdict {
			n++
		}
	}
	return n
}

// wait returns how the run ended.
func (l *live) wait() (code int, r report) {
	l.t.Helper()
	<-l.done
	if err := json.Unmarshal([]byte(l.stdout.String()), &r); err != nil {
		l.t.Errorf("etcdsafe %q printed no report: %v\n%s", l.cmd.Args[1:], err, l)
	}
	return l.cmd.ProcessState.ExitCode(), r
}

// over says whether the run has ended.
func (l *live) over() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// lines counts its log lines that contain a text.
func (l *live) lines(text string) (n int) {
	for line := range strings.Lines(l.stderr.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// until waits for such a line, and fails the test when the run ends without.
func (l *live) until(text string) {
	l.t.Helper()
	waitFor(l.t, "line "+text, 2*time.Minute, func() bool {
		there := l.lines(text) > 0
		if !there && l.over() {
			l.t.Fatalf("the run ended without a line %q\n%s", text, l)
		}
		return there
	})
}

// String is all that it wrote.
func (l *live) String() string {
	return "stdout: " + l.stdout.String() + "\nstderr: " + l.stderr.String()
}

// waitFor waits for what comes by itself.
func waitFor(t *testing.T, what string, limit time.Duration, there func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !there(); {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %s", what, limit)
		}
		rest(t, 10*time.Millisecond)
	}
}

// rest waits, and no longer than the test.
func rest(t *testing.T, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
