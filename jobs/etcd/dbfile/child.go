package dbfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Command is the first argument by which a process knows that it is a child: main hands it to
// Serve. Users never type it.
const Command = "dbfile-child"

var (
	// ErrCorrupt marks a file that is no sound database of etcd's.
	ErrCorrupt = errors.New("corrupt database")
	// ErrCrashed marks a child that panicked or faulted over its file: a finding about the
	// file, not about the machine.
	ErrCrashed = errors.New("crashed over the database")
	// ErrChild marks a child that was killed or said nothing that could be understood: a
	// finding about the machine, worth another try.
	ErrChild = errors.New("child process")
)

// request is what a child is asked, on its stdin.
type request struct {
	Inspect *Query
	Restore *RestoreConfig
	Boot    *BootConfig
}

// reply is what it answers, on its stdout: one JSON document.
type reply struct {
	Facts    *Facts
	Endpoint string
	Corrupt  bool
	Error    string
	Done     bool
}

// Child says how child processes are started. The zero value starts this very binary.
type Child struct {
	Exe         string // /proc/self/exe where empty
	MemoryLimit string // its GOMEMLIMIT, as Go reads it; none where empty
}

func (c Child) command(ctx context.Context, files ...*os.File) *exec.Cmd {
	exe := c.Exe
	if exe == "" {
		exe = "/proc/self/exe"
	}
	cmd := exec.CommandContext(ctx, exe, Command)
	cmd.Env = []string{"GOTRACEBACK=none"}
	if c.MemoryLimit != "" {
		cmd.Env = append(cmd.Env, "GOMEMLIMIT="+c.MemoryLimit)
	}
	cmd.ExtraFiles = files
	cmd.WaitDelay = 5 * time.Second
	// Not in our process group, so that a terminal's Ctrl-C reaches us alone; but never
	// outliving us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// ask runs one child to its end. The error wraps ErrCorrupt, ErrCrashed, ErrChild, or the
// cause of ctx.
func (c Child) ask(ctx context.Context, req request, files ...*os.File) (reply, error) {
	// Pdeathsig follows the thread that started the child, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	in, err := json.Marshal(req)
	if err != nil {
		return reply{}, fmt.Errorf("ask child: %w", err)
	}
	var out bytes.Buffer
	said := &tail{}
	cmd := c.command(ctx, files...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, said
	if err := cmd.Run(); err != nil {
		return reply{}, blame(ctx, err, said.line())
	}
	var r reply
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || !r.Done {
		return reply{}, fmt.Errorf("%w answered %d bytes that are no reply", ErrChild, out.Len())
	}
	return r, r.err()
}

func (r reply) err() error {
	switch {
	case r.Corrupt:
		return fmt.Errorf("%s: %w", r.Error, ErrCorrupt)
	case r.Error != "":
		return errors.New(r.Error)
	}
	return nil
}

// blame says whose fault the end of a child was.
func blame(ctx context.Context, err error, said string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("%w: %w", ErrChild, err)
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	switch {
	case strings.Contains(said, "failed to create new OS thread"): // the runtime's words, when a limit on processes is met
		return fmt.Errorf("%w: %s", ErrChild, said)
	case strings.Contains(said, syscall.ENOSPC.Error()):
		return fmt.Errorf("%w: %s: %w", ErrChild, said, syscall.ENOSPC)
	case ok && status.Signaled() && status.Signal() == syscall.SIGKILL:
		return fmt.Errorf("%w was killed (out of memory?)", ErrChild)
	case ok && status.Signaled(), exit.ExitCode() == 2:
		return fmt.Errorf("%w: %w: %s", ErrCrashed, exit, said)
	}
	return fmt.Errorf("%w: %w: %s", ErrChild, exit, said)
}

// tail keeps the first lines of what a child says: a panic's cause stands first.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	const most = 2048
	t.text = append(t.text, p[:min(len(p), most-min(most, len(t.text)))]...)
	return len(p), nil
}

func (t *tail) line() string {
	const most = 300
	line := strings.Join(strings.Fields(string(t.text)), " ")
	if len(line) > most {
		line = line[:most] + "…"
	}
	return line
}

// Serve is the child's side: it reads one request from stdin, answers on stdout and returns
// the exit code. The file, where there is one, is descriptor 3.
func Serve(stdin io.Reader, stdout io.Writer) int {
	var req request
	in := json.NewDecoder(stdin)
	if err := in.Decode(&req); err != nil {
		return 1
	}
	answer := func(r reply) int {
		r.Done = true
		if err := json.NewEncoder(stdout).Encode(r); err != nil {
			return 1
		}
		return 0
	}
	switch {
	case req.Inspect != nil:
		return answer(serveInspect(*req.Inspect))
	case req.Restore != nil:
		return answer(serveRestore(*req.Restore))
	case req.Boot != nil:
		return serveBoot(*req.Boot, io.MultiReader(in.Buffered(), stdin), answer)
	}
	return 1
}

func failed(err error) reply { return reply{Error: err.Error(), Corrupt: errors.Is(err, ErrCorrupt)} }
