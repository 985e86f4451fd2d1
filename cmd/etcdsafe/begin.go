package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/cron"
	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
)

// do is one run: it proves the lead, and has a process of its own do the jobs.
func (d *daemon) do(ctx context.Context, o cron.Order) error {
	log := d.log.With("line", o.Line.Name, "slot", o.Slot.At)
	mode, only, err := d.lead.prove(ctx, o)
	if err != nil {
		log.Info("run not begun", "reason", jobs.OneLine(err))
		return err
	}
	names := strings.Split(o.Line.Name, ",")
	if only != nil && !slices.ContainsFunc(names, func(n string) bool { return slices.Contains(only, n) }) {
		if d.waits(o) {
			log.Warn("run not begun", "reason", "nobody can lead, and only "+strings.Join(only, " and ")+" can go on then")
		}
		return cron.ErrNotLeading
	}
	f := &slotFlags{line: o.Line.Name, slot: o.Slot.At.UTC().Format(time.RFC3339), mode: mode, only: strings.Join(only, ",")}
	began := d.now()
	log.Info("run begun", "reason", mode)
	code, err := d.spawn(ctx, f)
	took := d.now().Sub(began).Round(time.Millisecond)
	if err != nil || code != exitOK {
		log.Warn("run failed", "exitCode", code, "took", took, "err", settings.Mask(jobs.OneLine(orCode(err, code))))
		return nil
	}
	log.Info("run ended", "exitCode", code, "took", took)
	return nil
}

// waits notes a slot that is tried again until somebody can lead, and returns whether that is news.
func (d *daemon) waits(o cron.Order) (news bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	news = !d.waiting[o.Line.Name].Equal(o.Slot.At)
	d.waiting[o.Line.Name] = o.Slot.At
	return news
}

func orCode(err error, code int) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("exit code %d", code)
}

// configFile is the descriptor of a run's configuration: the first of ExtraFiles.
const configFile = 3

// pastDeadline is how much longer than its own deadline a run's process is let live.
const pastDeadline = 5 * time.Minute

// spawn runs this binary once more, with the same flags, for one slot. It has our environment, our standard output and
// error, and the configuration as it was taken. When ctx ends, or the process outlives its deadline, it is sent
// SIGTERM, and killed when the drain time is over. It ends with us: its standard input is a pipe that we hold.
func (d *daemon) spawn(ctx context.Context, f *slotFlags) (int, error) {
	taken := d.config.taken()
	names, err := jobNames(f.line)
	if err != nil {
		return exitConfig, err
	}
	ctx, stop := context.WithTimeoutCause(ctx, taken.cli.deadline(&runReport{Report: jobs.Report{Job: "run"}, names: names})+pastDeadline, errDeadline)
	defer stop()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = append(append([]string{"etcdsafe"}, d.args...), f.args()...)
	if taken.path != "" {
		file, err := inMemory(taken.text)
		if err != nil {
			return exitFailed, err
		}
		defer file.Close() //nolint:errcheck // read by another
		cmd.ExtraFiles = []*os.File{file}
		cmd.Args = append(cmd.Args, "--config", fmt.Sprintf("/proc/self/fd/%d", configFile))
	}
	cmd.Env, cmd.Stdout, cmd.Stderr = d.env, d.stdout, d.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C reaches us alone
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = taken.cli.set.Cron.Drain.Get()
	hold, err := cmd.StdinPipe()
	if err != nil {
		return exitFailed, fmt.Errorf("begin a run: %w", err)
	}
	defer hold.Close() //nolint:errcheck // its end is all that it says
	if err := cmd.Start(); err != nil {
		return exitFailed, fmt.Errorf("begin a run: %w", err)
	}
	return ended(ctx, cmd.Wait())
}

// ended is the exit code of a process, 128 and the signal's number where one ended it, and why we ended it, if we did.
func ended(ctx context.Context, err error) (int, error) {
	if err == nil { // also where it was told to stop in the same moment
		return exitOK, nil
	}
	if ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return exitFailed, err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), err
	}
	return exit.ExitCode(), err
}

// inMemory is a file without a name that holds text.
func inMemory(text []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("etcdsafe-config", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("hand on the configuration: %w", err)
	}
	f := os.NewFile(uintptr(fd), "etcdsafe-config")
	if _, err := f.Write(text); err != nil {
		return nil, errors.Join(fmt.Errorf("hand on the configuration: %w", err), f.Close())
	}
	return f, nil
}
