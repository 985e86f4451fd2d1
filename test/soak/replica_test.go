package soak

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// A replica is a place in which a process of a schedule runs, and is started again after it died.
type replica struct {
	*rig
	name  string
	args  []string
	lives []*life
}

// A life is one process, from its start to its end.
type life struct {
	name         string
	proc         *child.Process
	log          string // its path
	began, ended time.Time
	frozen       []spell // in which it stood still
}

// begin starts the next process.
func (r *replica) begin(t *testing.T) {
	t.Helper()
	l := &life{name: fmt.Sprintf("%s%d", r.name, len(r.lives)+1), began: time.Now()}
	l.log = filepath.Join(r.dir, l.name+".log")
	log, err := os.Create(l.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the process has its own copy
	if l.proc, err = child.Start(programs.etcdsafe, r.args, []string{"TMPDIR=" + r.tmp}, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.proc.End(syscall.SIGKILL, 10*time.Second); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", l.name, l.text())
		}
	})
	r.lives = append(r.lives, l)
}

// now is the process of today.
func (r *replica) now() *life { return r.lives[len(r.lives)-1] }

func (l *life) text() string {
	text, err := os.ReadFile(l.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// event is a line of a schedule's log, or of its runs'.
type event struct {
	Time     time.Time `json:"time"`
	Msg      string    `json:"msg"`
	Line     string    `json:"line"`
	Slot     time.Time `json:"slot"`
	Archive  string    `json:"archive"`
	ExitCode int       `json:"exitCode"`
}

func (l *life) events(t *testing.T) (out []event) {
	t.Helper()
	for line := range strings.Lines(l.text()) {
		var e event
		if json.Unmarshal([]byte(line), &e) == nil && !e.Time.IsZero() {
			out = append(out, e)
		}
	}
	return out
}

// The words by which a process says what it is among the replicas.
const leads, lost, follows, alone = "lead taken", "lead lost", "another leads", "nobody can lead"

// role is the last of these words that the process has said.
func (l *life) role() (word string) {
	text, at := l.text(), -1
	for _, w := range []string{leads, lost, follows, alone} {
		if i := strings.LastIndex(text, `"msg":"`+w+`"`); i > at {
			word, at = w, i
		}
	}
	return word
}

// runs counts the lines that say that a run of snapshot began.
func (l *life) runs() int {
	n := 0
	for line := range strings.Lines(l.text()) {
		if strings.Contains(line, `"msg":"run begun"`) && strings.Contains(line, `"line":"snapshot,verify"`) {
			n++
		}
	}
	return n
}

// descendants are the children of a process, theirs, and so on.
func descendants(pid int) (out []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		raw, _ := os.ReadFile(task)
		for field := range strings.FieldsSeq(string(raw)) {
			if c, err := strconv.Atoi(field); err == nil {
				out = append(append(out, c), descendants(c)...)
			}
		}
	}
	return out
}

// kill ends the process by SIGKILL, and waits for its children, which end when they find it gone.
func (l *life) kill(t *testing.T) {
	t.Helper()
	runs := descendants(l.proc.PID())
	if err := l.proc.End(syscall.SIGKILL, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	l.ended = time.Now()
	for _, pid := range runs {
		if err := within(func() error {
			var status syscall.WaitStatus
			if got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil); got == pid || err == syscall.ECHILD { // a grandchild may be its parent's yet
				return nil
			}
			return fmt.Errorf("process %d of %s, which was killed, goes on", pid, l.name)
		}); err != nil {
			t.Error(err)
		}
	}
}

// freeze stops the process, also with its children, for so long.
func (l *life) freeze(t *testing.T, whole bool, d time.Duration) {
	t.Helper()
	pids := []int{l.proc.PID()}
	if whole {
		pids = append(pids, descendants(pids[0])...)
	}
	began := time.Now()
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // a child may have ended
	}
	defer func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
		l.frozen = append(l.frozen, spell{from: began, to: time.Now()})
	}()
	rest(t, d)
}

// memory is what the process has for itself alone, in KiB.
func (l *life) memory(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.proc.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if kib, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, err := strconv.Atoi(strings.Fields(kib)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s tells no RssAnon", l.name)
	return 0
}

// upTo is a random time.
func upTo(rnd *rand.Rand, d time.Duration) time.Duration { return time.Duration(rnd.Int64N(int64(d))) }
