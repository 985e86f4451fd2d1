package soak

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A stage of a run lasts from its log line until that of the next. The first has no line: it
// begins with the process. One without a line begins when a name appears in a folder.
type stage struct {
	name, line string
	again      string // a line after which a run that repeats is in it once more
	child      bool   // a child process works on the database in it, most of the time
}

// The stages of both jobs, in order. A job's own `stage` attributes stand on some of these lines.
var (
	snapshotStages = []stage{
		{name: "start"},
		{name: "choose", line: "started"},
		{name: "stream", line: "snapshot stream opened"},
		{name: "prove", line: "snapshot stream completed", child: true}, // and sealing
		{name: "seal", line: "snapshot proven"},
		{name: "upload", line: "archive sealed"},
		{name: "readback", line: "archive stored"},
		{name: "commit", line: "archive read back"},
		{name: "end", line: "archive committed"},
	}
	restoreStages = []stage{
		{name: "start"},
		{name: "choose", line: "started"},
		{name: "open", line: "archive opened"},
		{name: "build", line: "data folder begun", child: true},
		{name: "check", line: "data folder built", child: true},
		{name: "sync", line: "data folder checked"},
		{name: "rename"},
		{name: "end", line: "data folder restored"},
	}
)

// The stages of jobs that do the same for one archive after the other, in the order in which they
// are met first.
var (
	pruneStages = []stage{
		{name: "start"},
		{name: "plan", line: "started"},
		{name: "remove-manifest", line: "removal begun", again: "archive removed"},
		{name: "remove-archive", line: "manifest removed"},
		{name: "garbage", line: "archives removed"},
	}
	copyStages = []stage{
		{name: "start"},
		{name: "fetch", line: "started", again: "archive committed"},
		{name: "upload", line: "archive fetched"},
		{name: "readback", line: "archive stored"},
		{name: "commit", line: "archive read back"},
	}
	verifyStages = []stage{
		{name: "start"},
		{name: "first", line: "started"},
		{name: "next", line: "archive looked at"},
	}
)

// String is the stage's name.
func (s stage) String() string { return s.name }

// A death is how a watched run ended.
type death struct {
	stage  int // the last one begun
	killed bool
	code   int
	frozen []int           // child processes that ran when it was killed
	begun  []time.Duration // of each stage, since the start; 0: never seen
	output
}

// A hunt is one run that is to be killed some time after a stage has begun.
type hunt struct {
	cmd    *exec.Cmd
	stages []stage
	stage  int
	delay  time.Duration
	spare  bool // the run is only watched
	repeat bool // stages come again: the last one begun counts, not the furthest

	// renamed is the path whose rename begins the stage without a line, if there is one, and
	// there tells afterwards that it began.
	renamed, there string
}

// huntWait ends a run that takes hundreds of times as long as it should.
const huntWait = 3 * time.Minute

// run starts the run, kills it when its time has come, and waits for its end.
func (h *hunt) run(t *testing.T) death {
	t.Helper()
	d := death{begun: make([]time.Duration, len(h.stages))}
	var stdout, said bytes.Buffer
	h.cmd.Stdout = &stdout
	stderr, err := h.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	appeared, stop := h.watch(t)
	defer stop()
	lines := follow(stderr, &said)
	var due <-chan time.Time
	aim := func(stage int) {
		if d.stage = max(d.stage, stage); h.repeat {
			d.stage = stage
		}
		if stage < len(d.begun) && d.begun[stage] == 0 {
			d.begun[stage] = time.Since(began)
		}
		if due == nil && !h.spare && d.stage >= h.stage {
			due = time.After(h.delay)
		}
	}
	aim(0)
	limit := time.After(huntWait)
	for lines != nil {
		select {
		case line, more := <-lines:
			if !more {
				lines = nil
			} else if i := h.lineOf(line); i > 0 {
				aim(i)
			}
		case <-appeared:
			appeared = nil
			aim(h.nameless())
		case <-due:
			// Looked for only where there may be one: it takes a moment.
			if h.stages[h.stage].child {
				d.frozen = freezeChildren(h.cmd.Process.Pid)
			}
			_ = h.cmd.Process.Kill() // it may have ended by itself just now
		case <-limit:
			t.Fatalf("after %v, killed or not, somebody holds the stderr of %q: %v; it said\n%s", huntWait, h.cmd.Args, processesOf(programs.etcdsafe), &said)
		}
	}
	d.end(t, h.cmd)
	if i := h.nameless(); i > d.stage && exists(h.there) {
		d.stage = i
	}
	d.stdout, d.stderr = stdout.String(), said.String()
	return d
}

func (d *death) end(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("wait for %q: %v", cmd.Args, err)
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	d.killed = status.Signaled() && status.Signal() == syscall.SIGKILL
	d.code = cmd.ProcessState.ExitCode()
}

// follow sends each line when it comes, keeps all in said, and closes at the end of r.
func follow(r io.Reader, said *bytes.Buffer) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		in := bufio.NewReader(r)
		for {
			line, err := in.ReadString('\n')
			said.WriteString(line)
			if line != "" {
				lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

// lineOf is the stage that a log line begins, 0 for none.
func (h *hunt) lineOf(line string) int {
	var entry struct {
		Msg string `json:"msg"`
	}
	if json.Unmarshal([]byte(line), &entry) != nil || entry.Msg == "" {
		return 0
	}
	return max(0, slices.IndexFunc(h.stages, func(s stage) bool { return s.line == entry.Msg || s.again == entry.Msg }))
}

// nameless is the stage that begins with a name in a folder, 0 for none.
func (h *hunt) nameless() int {
	for i, s := range h.stages {
		if i > 0 && s.line == "" {
			return i
		}
	}
	return 0
}

// watch closes appeared when h.renamed gets its name. The stage that begins so lasts for some
// 0.3 ms: a kill that is aimed at it comes from here, off a thread of its own.
func (h *hunt) watch(t *testing.T) (appeared <-chan struct{}, stop func()) {
	t.Helper()
	if h.renamed == "" {
		return nil, func() {}
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatalf("inotify: %v", err)
	}
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(h.renamed), unix.IN_MOVED_TO); err != nil {
		t.Fatalf("inotify %q: %v", filepath.Dir(h.renamed), err)
	}
	seen, quit, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer unix.Close(fd)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if !awaitName(fd, filepath.Base(h.renamed), quit) {
			return
		}
		if !h.spare && h.stage == h.nameless() {
			for at := time.Now(); time.Since(at) < h.delay; {
			}
			_ = h.cmd.Process.Kill()
		}
		close(seen)
	}()
	return seen, func() {
		close(quit)
		<-done
	}
}

// awaitName returns true once a file was renamed to name, false after quit.
func awaitName(fd int, name string, quit <-chan struct{}) bool {
	buf := make([]byte, 4096)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 50)
		if n > 0 && err == nil {
			// A name in an event is padded by zeros.
			if n, err := unix.Read(fd, buf); err == nil && bytes.Contains(buf[:n], append([]byte(name), 0)) {
				return true
			}
		}
		select {
		case <-quit:
			return false
		default:
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return path != "" && err == nil
}

// A plan draws where to kill, so that all stages have their share, and keeps count.
type plan struct {
	stages []stage
	spans  []time.Duration // how long each stage lasted when nobody killed
	reach  []float64       // the part of its span that kills are drawn from
	hits   []int
	misses []int
	rnd    *rand.Rand
}

// newPlan takes the spans from a run that was only watched. It fails where the log does not
// speak of all the stages: then the table above is no longer true.
func newPlan(t *testing.T, stages []stage, d death, lasted time.Duration) *plan {
	t.Helper()
	n := len(stages)
	p := &plan{stages: stages, spans: make([]time.Duration, n), reach: make([]float64, n), hits: make([]int, n), misses: make([]int, n)}
	for i := range stages {
		p.reach[i] = 1
		until := lasted
		if i+1 < n {
			until = d.begun[i+1]
		}
		if i > 0 && stages[i].line == "" {
			d.begun[i] = min(d.begun[i], until) // the name and the next line come by two ways
		}
		if i > 0 && d.begun[i] == 0 || until < d.begun[i] {
			t.Fatalf("stage %s was not seen, or out of order: stages began at %v, and the run said\n%s", stages[i].name, d.begun, d.stderr)
		}
		p.spans[i] = until - d.begun[i]
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("stages %v last %v, seed %d", stages, p.spans, seed)
	p.rnd = rand.New(rand.NewPCG(seed, 1))
	return p
}

// draw picks one of the stages that were hit the least; one that was missed often counts as hit
// a little.
func (p *plan) draw() (stage int, delay time.Duration) {
	least, from := -1, []int{}
	for i := range p.stages {
		switch score := 3*p.hits[i] + p.misses[i]; {
		case least < 0 || score < least:
			least, from = score, []int{i}
		case score == least:
			from = append(from, i)
		}
	}
	stage = from[p.rnd.IntN(len(from))]
	return stage, time.Duration(p.rnd.Float64() * p.reach[stage] * float64(p.spans[stage]))
}

// note counts where a kill fell that was aimed at a stage; one that was missed is aimed at
// earlier from then on.
func (p *plan) note(aimed int, d death) {
	if d.killed {
		p.hits[d.stage]++
	}
	if d.killed && d.stage == aimed {
		p.reach[aimed] = min(1, 1.5*p.reach[aimed])
		return
	}
	p.misses[aimed]++
	p.reach[aimed] /= 2
}

// kills is how many runs were killed.
func (p *plan) kills() int {
	n := 0
	for _, hits := range p.hits {
		n += hits
	}
	return n
}

// lacking names the stages with fewer hits than each.
func (p *plan) lacking(each int) []string {
	var out []string
	for i, hits := range p.hits {
		if hits < each {
			out = append(out, p.stages[i].name)
		}
	}
	return out
}

// table is stage → hits for people.
func (p *plan) table(job string) []string {
	names, hits := []string{"| " + job + " killed in"}, []string{"| times"}
	rule := "|---"
	for i, s := range p.stages {
		names, hits = append(names, s.name), append(hits, fmt.Sprint(p.hits[i]))
		rule += "|---:"
	}
	return []string{strings.Join(names, " | ") + " |", rule + "|", strings.Join(hits, " | ") + " |"}
}
