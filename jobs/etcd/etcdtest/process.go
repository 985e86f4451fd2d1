package etcdtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is a child that ends with this one at the latest.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once the child has ended and was waited for
}

// launch starts path with env alone as its environment, both outputs appended to log.
func launch(path string, args, env []string, log *os.File) (*process, error) {
	cmd := exec.Command(path, args...)
	cmd.Env = append([]string{}, env...) // nil would hand down ETCD_* variables of whoever runs the tests
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

// run keeps its thread for as long as the child lives: Pdeathsig goes off when the thread
// that forked ends, and Go ends threads when it likes to.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	defer close(p.done)
	_ = p.cmd.Wait() // how it ended is for the log; that it ended is what done tells
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to process %d: %w", s, p.pid(), err)
	}
	return nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// end sends s and waits until the process is gone. SIGCONT follows, since a stopped process
// sees no other signal than SIGKILL.
func (p *process) end(s syscall.Signal, wait time.Duration) error {
	if p.ended() {
		return nil
	}
	_ = p.signal(s) // it may have ended by itself just now
	_ = p.signal(syscall.SIGCONT)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		return fmt.Errorf("process %d still runs %v after %v", p.pid(), wait, s)
	}
}

// freeze stops the process and waits until each of its threads stands still.
func (p *process) freeze(ctx context.Context) error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return poll(ctx, time.Millisecond, func() error {
		states, err := threadStates(p.pid())
		if err != nil {
			return err
		}
		if strings.Trim(states, "T") != "" {
			return fmt.Errorf("threads of process %d are in states %q", p.pid(), states)
		}
		return nil
	})
}

// threadStates has one letter per thread of a process, as in ps.
func threadStates(pid int) (string, error) {
	tasks, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "stat"))
	if err != nil || len(tasks) == 0 {
		return "", fmt.Errorf("no threads of process %d: %w", pid, os.ErrProcessDone)
	}
	var states strings.Builder
	for _, task := range tasks {
		stat, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended meanwhile
		}
		_, rest, ok := strings.Cut(string(stat), ") ")
		if !ok || rest == "" {
			return "", fmt.Errorf("read %s: no state in %q", task, stat)
		}
		states.WriteByte(rest[0])
	}
	return states.String(), nil
}

// poll asks until ready answers nil, and returns its last answer when ctx ends first.
func poll(ctx context.Context, every time.Duration, ready func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
