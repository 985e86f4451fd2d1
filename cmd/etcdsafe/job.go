package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
)

// outcome is a job's report as every job's begins, and the means to print it for people.
type outcome interface {
	head() *jobs.Report
	text(w *table)
}

// work is what a job's command does once its settings are sound.
type work func(ctx context.Context, log *slog.Logger, tell jobs.Progress) (outcome, error)

// job loads the settings, runs the work within its deadline, and delivers its report, whatever
// happens. empty is the report of a job that never began.
func (c *cli) job(ctx context.Context, empty outcome, do work, checks ...settings.Check) error {
	return c.within(ctx, empty, func(ctx context.Context, log *slog.Logger, tell jobs.Progress) (outcome, error) {
		return do(ctx, c.logOf(log, empty.head().Job), tell)
	}, checks...)
}

// within is job, but that do says whose job each line of the log is.
func (c *cli) within(ctx context.Context, empty outcome, do work, checks ...settings.Check) error {
	empty.head().Started = c.now().UTC()
	loadErr := c.load(append(checks, clusterIsValid, storesAreKnown, endpointsAreKnown, reportHasFolder)...)
	empty.head().Cluster = c.set.Cluster.Get()
	if loadErr != nil {
		return c.end(empty, loadErr)
	}
	screen := c.newScreen()
	log := c.logger(screen)
	begin := c.logOf(log, empty.head().Job)
	c.log = begin
	begin.Info("started", "version", version(), "settings", c.set)
	if bytes, ok := heapLimit(); ok {
		begin.Debug("heap was limited", "bytes", bytes, "child", c.child.MemoryLimit)
	}
	c.warnOfInsecurity(begin)
	ctx, stop := context.WithTimeoutCause(ctx, c.deadline(empty), errDeadline)
	defer stop()
	out, err := do(ctx, log, screen.tell)
	screen.clear()
	if out == nil {
		out = empty
	}
	return c.end(out, stopped(ctx, err))
}

// logOf is a log whose lines say whose they are.
func (c *cli) logOf(log *slog.Logger, job string) *slog.Logger {
	return log.With("job", job, "cluster", c.set.Cluster.Get())
}

// deadline is that of the setting; a defragmentation of several members has more by default.
func (c *cli) deadline(of outcome) time.Duration {
	if r, ok := of.(*runReport); (of.head().Job == "defrag" || ok && r.has("defrag")) && !c.set.Deadline.IsSet() {
		return 6 * time.Hour
	}
	return c.set.Deadline.Get()
}

func (c *cli) warnOfInsecurity(log *slog.Logger) {
	if c.set.InsecureSkipVerify.Get() {
		log.Warn("etcd's certificates were not verified", "reason", c.set.InsecureSkipVerify.Name())
	}
	for _, file := range []*settings.Set[settings.Path]{&c.set.Key, &c.set.IdentitiesFile, &c.set.PasswordFile} {
		if info, err := os.Stat(string(file.Get())); err == nil && info.Mode().Perm()&forEverybody != 0 {
			log.Warn("secret is readable by everybody", "reason", fmt.Sprintf("%s: %q has mode %04o", file.Name(), file.Get(), info.Mode().Perm()))
		}
	}
}

// forEverybody is the bit of a mode that no secret should have. That of the group is how Kubernetes' fsGroup gives files.
const forEverybody = 0o004

// reportHasFolder is told before the work, not after it.
func reportHasFolder(s *settings.Settings) error {
	if path := string(s.ReportFile.Get()); path != "" && !isFolder(filepath.Dir(path)) {
		return s.ReportFile.Errorf("%q is no folder", filepath.Dir(path))
	}
	return nil
}

// end completes the report, delivers it, and settles the exit code.
func (c *cli) end(out outcome, err error) error {
	h := out.head()
	code := exitCode(err, h.Cause)
	h.End(c.now(), code, err)
	if delivered := c.deliver(out); delivered != nil {
		c.complain(delivered)
		if code == exitOK {
			code = exitFailed
		}
	}
	c.complain(err)
	if err == nil && code == exitPartial {
		for _, w := range h.Warnings {
			c.complain(fmt.Errorf("%s: %s: %s", h.Job, h.Cause, w))
		}
	}
	c.code, c.ended = code, true
	return errors.Join(err)
}
