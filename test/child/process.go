package child

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A Process is a child that ends with this one at the latest.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once the child has ended and was waited for
}

// Start starts path with env alone as its environment, both outputs appended to log, which the
// caller may close at once. End the process.
func Start(path string, args, env []string, log *os.File) (*Process, error) {
	cmd := exec.Command(path, args...)
	cmd.Env = append([]string{}, env...) // nil would hand down the variables of whoever runs the tests
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

// run keeps its thread for as long as the child lives: Pdeathsig goes off when the thread
// that forked ends, and Go ends threads when it likes to.
func (p *Process) run(started chan<- error) {
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

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends s. It fails where the process has ended.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to process %d: %w", s, p.PID(), err)
	}
	return nil
}

// Ended says whether the process has ended and was waited for.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Await asks until ready answers nil. It gives up with ready's last answer when ctx ends, or the
// process, as Ended then says; what ready was given ends with either.
func (p *Process) Await(ctx context.Context, ready func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // ends with stop at the latest
		select {
		case <-p.done:
			stop()
		case <-ctx.Done():
		}
	}()
	return Poll(ctx, 20*time.Millisecond, func() error { return ready(ctx) })
}

// End sends s and waits until the process is gone. SIGCONT follows, since a stopped process
// sees no other signal than SIGKILL. Where the process has ended it does nothing.
func (p *Process) End(s syscall.Signal, wait time.Duration) error {
	if p.Ended() {
		return nil
	}
	_ = p.Signal(s) // it may have ended by itself just now
	_ = p.Signal(syscall.SIGCONT)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		return fmt.Errorf("process %d still runs %v after %v", p.PID(), wait, s)
	}
}

// Freeze stops the process and waits until each of its threads stands still.
func (p *Process) Freeze(ctx context.Context) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return Poll(ctx, time.Millisecond, func() error {
		states, err := ThreadStates(p.PID())
		if err != nil {
			return err
		}
		if strings.Trim(states, "T") != "" {
			return fmt.Errorf("threads of process %d are in states %q", p.PID(), states)
		}
		return nil
	})
}
