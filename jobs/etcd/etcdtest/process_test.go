package etcdtest

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// gone waits until a process is no more, or waits only for someone to take note of its end.
func gone(t *testing.T, pid int) bool {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	return poll(ctx, 10*time.Millisecond, func() error {
		if states, err := threadStates(pid); err == nil && strings.Trim(states, "ZX") != "" {
			return os.ErrDeadlineExceeded
		}
		return nil
	}) == nil
}

func TestNothingOutlivesATest(t *testing.T) {
	before := goleak.IgnoreCurrent()
	var pids []int
	var dir string
	t.Run("inner", func(t *testing.T) {
		c := Start(t, Options{Members: 3, TLS: true, Auth: true, Proxied: true})
		dir = c.Members[0].DataDir
		c.AddLearner(t)
		c.Write(t) // never stopped
		for _, m := range c.Members {
			pids = append(pids, m.proc.pid())
			client := c.Client(t)
			if err := put(t, client, callWait); err != nil {
				t.Errorf("put: %v", err)
			}
		}
		c.Members[1].Proxy.StallAfter(0)
		c.Members[1].Pause(t)
		c.Members[2].Kill(t)
	})
	for _, pid := range pids {
		if !gone(t, pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the data folder is still there: %v", err)
	}
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
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the holder said %q", line)
	}
	if states, err := threadStates(child); err != nil {
		t.Fatalf("the child is not there: %q, %v", states, err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatalf("kill: %v", err)
	}
	_ = holder.Wait() // it was killed
	if !gone(t, child) {
		t.Errorf("process %d outlived the test binary", child)
	}
}

func TestAProcessOutlivesTheThreadThatAskedForIt(t *testing.T) {
	asked := make(chan *process)
	var thread int
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		thread = syscall.Gettid()
		p, err := launch("/bin/sleep", []string{"600"}, nil, os.Stderr)
		if err != nil {
			t.Error(err)
		}
		asked <- p
	}()
	p := <-asked
	if p == nil {
		t.FailNow()
	}
	defer func() {
		if err := p.end(syscall.SIGKILL, 10*time.Second); err != nil {
			t.Error(err)
		}
	}()
	waitFor(t, "end of the thread", func() bool {
		_, err := os.Stat("/proc/self/task/" + strconv.Itoa(thread))
		return os.IsNotExist(err)
	})
	if states, err := threadStates(p.pid()); err != nil || strings.ContainsAny(states, "ZX") {
		t.Errorf("the child is in states %q, %v after the thread's end", states, err)
	}
}

func TestLaunchTellsOfAMissingBinary(t *testing.T) {
	if _, err := launch("/no/such/binary", nil, nil, os.Stderr); err == nil || !strings.Contains(err.Error(), "/no/such/binary") {
		t.Errorf("launch: %v", err)
	}
}

func TestPortStaysReserved(t *testing.T) {
	p, err := reserve()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a listener comes and goes
		ln, err := p.listen(t.Context())
		if err != nil {
			t.Fatalf("listen on a port of our own: %v", err)
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		if ln, err := listenPlainly(t, p.addr); err == nil {
			_ = ln.Close()
			t.Error("somebody else could listen on a reserved port")
		}
	}
	if err := p.release(); err != nil {
		t.Fatal(err)
	}
	ln, err := listenPlainly(t, p.addr)
	if err != nil {
		t.Fatalf("listen on a released port: %v", err)
	}
	_ = ln.Close()
}
