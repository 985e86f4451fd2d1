package main

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/defrag"
	"github.com/etcdsafe/etcdsafe/jobs/defrag/rule"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
	"github.com/etcdsafe/etcdsafe/jobs/prune"
	"github.com/etcdsafe/etcdsafe/jobs/prune/plan"
	"github.com/etcdsafe/etcdsafe/jobs/restore"
	"github.com/etcdsafe/etcdsafe/jobs/snapshot"
	"github.com/etcdsafe/etcdsafe/jobs/status"
	"github.com/etcdsafe/etcdsafe/jobs/verify"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// The exit codes; DESIGN's table, the README's and the chart's are the same.
const (
	exitOK          = 0
	exitFailed      = 1
	exitPartial     = 3
	exitConfig      = 10
	exitLocked      = 11
	exitIntegrity   = 12
	exitRefused     = 13
	exitEtcd        = 14
	exitStore       = 15
	exitDeadline    = 16
	exitInterrupted = 130
	exitTerminated  = 143
)

// errDeadline ends a job that took longer than it was given.
var errDeadline = errors.New("deadline of the job passed")

// exitCodes gives each sentinel its code. An error may hold several: the first row that fits
// counts, so what a person must look at stands before what another try may cure.
var exitCodes = []struct {
	err  error
	code int
}{
	{errTerminated, exitTerminated},
	{errInterrupted, exitInterrupted},
	{lock.ErrStuck, exitLocked}, // before the deadline: it is what a lock was waited for until
	{errDeadline, exitDeadline},

	{settings.ErrConfig, exitConfig},
	{archive.ErrBadKey, exitConfig},
	{archive.ErrNoIdentity, exitConfig},
	{catalog.ErrBadName, exitConfig},
	{etcd.ErrBadEndpoint, exitConfig},
	{etcd.ErrBadFiles, exitConfig},
	{restore.ErrSetting, exitConfig},
	{spool.ErrPlace, exitConfig},
	{plan.ErrPolicy, exitConfig},
	{rule.ErrRule, exitConfig},

	{lock.ErrHeld, exitLocked},

	{restore.ErrRefused, exitRefused},
	{defrag.ErrRefused, exitRefused},
	{catalog.ErrInterleaved, exitRefused},
	{catalog.ErrHeld, exitRefused},
	{catalog.ErrChanged, exitRefused},
	{prune.ErrOtherPlan, exitRefused},
	{plan.ErrEmptyPolicy, exitRefused},
	{plan.ErrNothingKept, exitRefused},
	{plan.ErrStale, exitRefused},
	{plan.ErrTooMany, exitRefused},
	{plan.ErrSkew, exitRefused},
	{plan.ErrCollapsed, exitRefused},
	{plan.ErrAlarm, exitRefused},
	{status.ErrAlarm, exitRefused},

	{snapshot.ErrSuspect, exitIntegrity},
	{verify.ErrFinding, exitIntegrity},
	{verify.ErrTooOld, exitIntegrity},
	{restore.ErrMismatch, exitIntegrity},
	{archive.ErrCorrupt, exitIntegrity},
	{archive.ErrKey, exitIntegrity},
	{catalog.ErrCorrupt, exitIntegrity},
	{catalog.ErrElsewhere, exitIntegrity},
	{catalog.ErrFormat, exitIntegrity},
	{catalog.ErrConflict, exitIntegrity},
	{bucket.ErrExists, exitIntegrity},
	{bucket.ErrTooLarge, exitIntegrity},
	{dbfile.ErrCorrupt, exitIntegrity},
	{dbfile.ErrCrashed, exitIntegrity},

	{status.ErrUnhealthy, exitEtcd},
	{defrag.ErrUnhealthy, exitEtcd},
	{defrag.ErrRunning, exitEtcd},
	{lock.ErrLost, exitFailed},
	{defrag.ErrFailed, exitFailed},
	{lock.ErrCannot, exitEtcd},
	{etcd.ErrSlow, exitEtcd},
	{etcd.ErrNoSpace, exitEtcd},
	{etcd.ErrAlarmCorrupt, exitEtcd},
	{etcd.ErrNoRight, exitEtcd},
	{etcd.ErrUnavailable, exitEtcd},
	{rule.ErrUndecided, exitEtcd},
	{bucket.ErrUnavailable, exitStore},
	{bucket.ErrNoLock, exitConfig},
	{bucket.ErrVanished, exitStore},
	{catalog.ErrUnwritable, exitStore},

	{spool.ErrNoRoom, exitFailed},
	{spool.ErrFull, exitFailed},
	{spool.ErrWrite, exitFailed},
	{syscall.ENOSPC, exitFailed},
	{dbfile.ErrChild, exitFailed},
	{catalog.ErrNone, exitFailed},
	{bucket.ErrNotExist, exitFailed},
}

// exitCode is the code of a run that ended with err and, where there is none, with cause.
func exitCode(err error, cause jobs.Cause) int {
	switch {
	case err == nil && cause != "":
		return exitPartial
	case err == nil:
		return exitOK
	}
	for _, row := range exitCodes {
		if errors.Is(err, row.err) {
			return row.code
		}
	}
	return exitFailed
}

// stopped returns err with the reason why ctx ended, where it has: calls that were cut off say
// little more than "cancelled".
func stopped(ctx context.Context, err error) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= 0 {
		<-ctx.Done() // who goes by the same deadline may have noticed before the context did
	}
	var said *stoppedError
	if err == nil || ctx.Err() == nil || errors.As(err, &said) {
		return err
	}
	return &stoppedError{cause: context.Cause(ctx), err: err}
}

type stoppedError struct{ cause, err error }

// Error tells the cause once: some calls that were cut off say it too.
func (s *stoppedError) Error() string {
	why, below := s.cause.Error(), s.err.Error()
	if strings.Trim(strings.ReplaceAll(below, why, ""), ":; \n") == "" {
		return why
	}
	return why + ": " + strings.ReplaceAll(below, why, context.Canceled.Error())
}

func (s *stoppedError) Unwrap() []error { return []error{s.cause, s.err} }
