package snapshot

import (
	"context"
	"errors"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

// What a report says of the lock besides its kind.
const (
	lockHeld        = "held" // by another
	lockUnavailable = "unavailable"
	lockLost        = "lost"
)

// locked does the work under the cluster's lock, from before the first look at the members to the
// end of the uploads: a run that hangs at a store is a holder that grows too old, which others tell.
// Where the lock is not to be had the work is done all the same: that is when bytes are wanted most.
func (r *run) locked(ctx context.Context, work func(context.Context) error) error {
	policy := r.Locked
	policy.Waiting = func(e *lock.HeldError) { r.Log.Info("lock waited for", "reason", e.Error()) }
	held, err := lock.Acquire(ctx, r.Locker, r.Claim, policy)
	switch {
	case errors.Is(err, lock.ErrCannot):
		r.unlocked, r.report.Lock = err, lockUnavailable
		r.Log.Warn("lock not taken", "err", jobs.OneLine(err))
		return work(ctx)
	case errors.Is(err, lock.ErrHeld):
		r.report.Lock = lockHeld
		return r.standBack(err)
	case err != nil:
		return err
	}
	r.held, r.report.Lock = held, held.Kind()
	r.Log.Debug("lock taken", "reason", held.Kind())
	err = work(ctx)
	r.release(ctx)
	return err
}

// StoodBack says whether nothing was done since another run holds the lock.
func (r Report) StoodBack() bool { return r.Skip && r.Lock == lockHeld }

// standBack ends a run that another holds the lock from.
func (r *run) standBack(err error) error {
	skip := lock.Skipped(err)
	if skip == nil {
		return err
	}
	r.report.Skip, r.report.Reason = true, skip.Error()
	r.Log.Info("snapshot skipped", "reason", skip.Error())
	return nil
}

// release ends the claim. That it is gone, or stays a while, is told and no more: the archive is
// what it is.
func (r *run) release(ctx context.Context) {
	err := r.held.Release(ctx)
	if lost := r.held.Err(); lost != nil {
		r.report.Lock, err = lockLost, lost
	}
	if err != nil {
		r.report.Warnings = append(r.report.Warnings, jobs.OneLine(err))
		r.Log.Warn("lock not released", "err", jobs.OneLine(err))
	}
}

// noteUnlocked says that the lock could not be taken: a person should look, since the next
// defragmentation may not stand back for us.
func (r *run) noteUnlocked() {
	if r.unlocked != nil {
		r.report.Blame(jobs.CauseCluster, jobs.OneLine(r.unlocked))
	}
}

// proveTime bounds the last look at the lock before the manifest.
const proveTime = 5 * time.Second

// proveLock is what the manifest says of the lock: its kind means that it was held from before the
// stream to after the proof.
func (r *run) proveLock(ctx context.Context) string {
	if r.held == nil {
		return lockUnavailable
	}
	ctx, stop := context.WithTimeout(ctx, proveTime)
	defer stop()
	if err := r.held.Prove(ctx); errors.Is(err, lock.ErrLost) {
		r.Log.Warn("lock lost", "err", jobs.OneLine(err))
		return lockLost
	}
	return r.held.Kind()
}

// lookAtLock says in a dry run who would be stood back for.
func (r *run) lookAtLock(ctx context.Context) {
	s, err := r.Locker.Look(ctx)
	switch {
	case err != nil:
		r.report.Warnings = append(r.report.Warnings, jobs.OneLine(err))
	case s.Held:
		r.report.Warnings = append(r.report.Warnings, (&lock.HeldError{Where: s.Where, Holder: s.Claim}).Error())
	}
}
