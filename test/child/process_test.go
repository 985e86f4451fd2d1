package child

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// sleeper starts a process that ends with the test.
func sleeper(t *testing.T) *Process {
	t.Helper()
	p, err := Start("/bin/sleep", []string{"600"}, nil, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.End(syscall.SIGKILL, 10*time.Second); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestAChildDiesWithAKilledTestBinary(t *testing.T) {
	holder := exec.CommandContext(t.Context(), os.Args[0], "hold-a-child")
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatalf("start: %v", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the holder said %q", line)
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if err := Poll(ctx, time.Millisecond, func() error { return sleeps(pid) }); err != nil {
		t.Fatalf("the child is not there: %v", err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatalf("kill: %v", err)
	}
	_ = holder.Wait() // it was killed
	if !Gone(t.Context(), pid) {
		t.Errorf("process %d outlived the test binary", pid)
	}
}

// sleeps wants the process to be a sleep; for a moment after its start it has no arguments yet.
func sleeps(pid int) error {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && !strings.Contains(string(line), "sleep") {
		err = fmt.Errorf("process %d is %q", pid, line)
	}
	return err
}

func TestAProcessOutlivesTheThreadThatAskedForIt(t *testing.T) {
	var p *Process
	var thread int
	onEndingThread(func() {
		thread = syscall.Gettid()
		var err error
		if p, err = Start("/bin/sleep", []string{"600"}, nil, os.Stderr); err != nil {
			t.Error(err)
		}
	})
	if p == nil {
		t.FailNow()
	}
	defer func() {
		if err := p.End(syscall.SIGKILL, 10*time.Second); err != nil {
			t.Error(err)
		}
	}()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	if err := Poll(ctx, 20*time.Millisecond, func() error {
		if _, err := os.Stat("/proc/self/task/" + strconv.Itoa(thread)); !os.IsNotExist(err) {
			return errors.New("the thread is there")
		}
		return nil
	}); err != nil {
		t.Fatalf("end of the thread: %v", err)
	}
	if states, err := ThreadStates(p.PID()); err != nil || strings.ContainsAny(states, "ZX") {
		t.Errorf("the child is in states %q, %v after the thread's end", states, err)
	}
}

// onEndingThread runs f on a thread that ends soon after it.
func onEndingThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if syscall.Gettid() == os.Getpid() {
			onEndingThread(f)        // on another: the main thread never ends,
			runtime.UnlockOSThread() // and was held only so that the other is not it
			return
		}
		f()
	}()
	<-done
}

func TestStartTellsOfAMissingBinary(t *testing.T) {
	if _, err := Start("/no/such/binary", nil, nil, os.Stderr); err == nil || !strings.Contains(err.Error(), "/no/such/binary") {
		t.Errorf("Start: %v", err)
	}
}

func TestAChildHasNoEnvironmentButItsOwn(t *testing.T) {
	t.Setenv("CHILD_TEST", "of whoever runs the tests")
	for _, env := range [][]string{nil, {"MINE=1"}} {
		log, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		p, err := Start("/usr/bin/env", nil, env, log)
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		<-p.done
		said, err := os.ReadFile(log.Name())
		if got := strings.Fields(string(said)); err != nil || strings.Join(got, " ") != strings.Join(env, " ") {
			t.Errorf("the environment given %q is %q, %v", env, got, err)
		}
	}
}

func TestAFrozenProcessStandsStillAndCanBeEnded(t *testing.T) {
	p := sleeper(t)
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if err := p.Freeze(ctx); err != nil {
		t.Fatal(err)
	}
	if states, err := ThreadStates(p.PID()); err != nil || states != "T" {
		t.Errorf("after Freeze the threads are in states %q, %v", states, err)
	}
	if p.Ended() {
		t.Error("a frozen process counts as ended")
	}
	if err := p.End(syscall.SIGTERM, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if !p.Ended() || !Gone(t.Context(), p.PID()) {
		t.Errorf("process %d is still there", p.PID())
	}
}

func TestEndTellsOfAProcessThatStays(t *testing.T) {
	p := sleeper(t)
	if err := p.End(syscall.SIGCONT, time.Millisecond); err == nil || !strings.Contains(err.Error(), "still runs") {
		t.Errorf("End by a signal that ends nothing: %v", err)
	}
}

func TestAwaitEndsWithTheProcess(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	p := sleeper(t)
	asked := make(chan struct{})
	var once sync.Once
	go func() {
		<-asked
		if err := p.End(syscall.SIGKILL, 10*time.Second); err != nil {
			t.Error(err)
		}
	}()
	err := p.Await(ctx, func(ctx context.Context) error {
		once.Do(func() { close(asked) })
		<-ctx.Done()
		return errors.New("no answer yet")
	})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "no answer yet") || !p.Ended() {
		t.Errorf("Await said %v, and ended is %v", err, p.Ended())
	}
}
