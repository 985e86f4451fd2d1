package storetest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// A process is a child that ends with this one at the latest.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once the child has ended and was waited for
}

// launch starts path with env alone as its environment, both outputs appended to log.
func launch(path string, args, env []string, log *os.File) (*process, error) {
	cmd := exec.Command(path, args...)
	cmd.Env = append([]string{}, env...) // nil would hand down the variables of whoever runs the tests
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

// kill ends the process, and waits for that.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}
