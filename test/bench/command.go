package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// An outcome is one command, run to its end.
type outcome struct {
	began          time.Time
	wall           time.Duration
	cpu            time.Duration // user and system, of the process and all it waited for
	stdout, stderr []byte
}

// command makes a child that ends with this process, in an environment without anybody's
// settings. It and what it starts are one process group.
func (b *bench) command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.work, "TMPDIR=" + b.work}
	cmd.Env = append(cmd.Env, b.environ...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// run runs a command. An exit code other than 0 is an error with the last that it said.
func (b *bench) run(ctx context.Context, path string, args ...string) (outcome, error) {
	var stdout, stderr bytes.Buffer
	cmd := b.command(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	o := outcome{began: began, wall: time.Since(began), stdout: stdout.Bytes(), stderr: stderr.Bytes()}
	if ctx.Err() != nil {
		return o, context.Cause(ctx)
	}
	if err != nil {
		return o, fmt.Errorf("%s %s: %w: %s", filepath.Base(path), strings.Join(args, " "), err, lastLine(o.stderr))
	}
	o.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return o, nil
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// tool is the path of one of etcd's tools, or of age's.
func (b *bench) tool(name string) string {
	switch name {
	case "etcd", "etcdctl", "etcdutl":
		name += "-" + b.etcd
	}
	return filepath.Join(b.tools, name)
}

// fresh makes empty folders below the work folder of those names and has all that earlier runs
// wrote brought to disk, so that nobody pays for another's bytes.
func (b *bench) fresh(names ...string) error {
	var errs []error
	for _, name := range names {
		dir := b.path(name)
		errs = append(errs, os.RemoveAll(dir), os.MkdirAll(dir, 0o700))
	}
	syscall.Sync()
	return errors.Join(errs...)
}

func (b *bench) path(names ...string) string {
	return filepath.Join(append([]string{b.work}, names...)...)
}
