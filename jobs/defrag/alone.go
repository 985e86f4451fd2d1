package defrag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

// alone takes the lock. Where it cannot be taken since etcd grants no leases, an alarm NOSPACE being
// active, the members' own figures must show that nobody else is at work.
func (r *run) alone(ctx context.Context, s scene) error {
	held, err := r.take(ctx)
	switch {
	case err == nil && r.report.Skip:
		return nil
	case err == nil:
		r.held, r.report.Lock = held, held.Kind()
		return nil
	case !errors.Is(err, lock.ErrCannot) || !s.noSpace():
		r.leave("not begun: " + err.Error())
		return err
	}
	if r.Member != "" {
		return fmt.Errorf("%w: %w", errMemberAlone, err)
	}
	r.report.Lock = "unavailable"
	r.warn("the lock cannot be taken with an alarm NOSPACE: the members' own figures are watched instead")
	r.Log.Warn("lock cannot be taken", "err", err)
	return r.watch(ctx, s)
}

var errMemberAlone = fmt.Errorf("%w: without a lock all runs must begin with the same member, so --member has none", ErrRefused)

// take is lock.Acquire. Where it is held and the policy takes that as well, the report is told to skip.
func (r *run) take(ctx context.Context) (*lock.Held, error) {
	policy := r.Policy
	policy.Waiting = func(e *lock.HeldError) { r.Log.Info("lock waited for", "reason", e.Error()) }
	held, err := lock.Acquire(ctx, r.Lock, r.Claim, policy)
	if r.skips(err) {
		return nil, nil
	}
	return held, err
}

// skips tells a refusal that the policy takes as well.
func (r *run) skips(err error) bool {
	refusal := lock.Skipped(err)
	if refusal == nil {
		return false
	}
	r.report.Skip, r.report.Lock, r.report.Reason = true, "held", refusal.Error()
	r.leave("not begun: " + refusal.Error())
	return true
}

// behind says whether another held the lock and is gone by now, or is the reason to stand back, which then the
// report tells or the error. Neither: nobody is known to hold it.
func (r *run) behind(ctx context.Context) (waited bool, refusal error) {
	state, err := r.Lock.Look(ctx)
	if err != nil || !state.Held {
		return false, nil //nolint:nilerr // where no quorum lets us look, health tells
	}
	if r.DryRun {
		err := lock.Foresee(ctx, state, r.Policy)
		return r.skips(err), err
	}
	held, err := r.take(ctx)
	switch {
	case r.report.Skip:
		return true, nil
	case errors.Is(err, lock.ErrCannot):
		return false, nil
	case err != nil:
		return false, err
	}
	if err := held.Release(ctx); err != nil {
		return false, err
	}
	return true, nil
}

// leave says of all that is still planned why it was not done.
func (r *run) leave(why string) {
	for _, id := range r.todo {
		r.of(id).Reason += "; " + why
	}
}

// watchLonger is added to Wait: for that long a run in its pause between two members shows nothing.
const watchLonger = 30 * time.Second

// watchEvery is how often figures are looked at: some 30 requests a minute of the member that is asked
// for the lock too.
const watchEvery = 10 * time.Second

// watch looks at all members' figures for longer than a run pauses, and for a random time more, so that
// of several that begin at once one goes first. The error wraps ErrRefused where anything moves.
func (r *run) watch(ctx context.Context, s scene) error {
	r.base = map[uint64]etcd.Metrics{}
	for _, m := range s.voters() {
		if m.blind != nil {
			return fmt.Errorf("%w: %s: without a lock its metrics must tell that nobody defragments it: %w", ErrRefused, about(m.Member), m.blind)
		}
		r.base[m.ID] = m.metrics
	}
	total := r.Wait + cmp.Or(r.Watch, watchLonger)
	total += r.jitter(total / 2)
	r.Log.Info("members are watched", "reason", "no lock", "took", total)
	for began := r.Now(); ; {
		if err := r.undisturbed(ctx, s); err != nil {
			return err
		}
		left := total - r.Now().Sub(began)
		if left <= 0 {
			return nil
		}
		if err := r.pause(ctx, min(left, watchEvery)); err != nil {
			return err
		}
	}
}

// undisturbed is nil while no live lock is read and no member's figures moved but by this run.
func (r *run) undisturbed(ctx context.Context, s scene) error {
	state, err := r.Lock.Look(ctx)
	if err != nil {
		return fmt.Errorf("%w: without a lock nobody else may hold it, and it cannot be read: %w", ErrRefused, err)
	}
	if state.Held {
		return fmt.Errorf("%w: the lock is held by %s", ErrRefused, state.Claim)
	}
	for _, m := range s.voters() {
		now, err := s.cluster.Metrics(ctx, m.Member)
		if err != nil {
			return fmt.Errorf("%w: %s: its figures cannot be read: %w", ErrRefused, about(m.Member), err)
		}
		was := r.base[m.ID]
		switch {
		case now.InDefrag():
			return fmt.Errorf("%w: %s is defragmented by somebody else", ErrRefused, about(m.Member))
		case !now.Started.Equal(was.Started):
			return fmt.Errorf("%w: %s has restarted: its figures tell nothing of before", ErrRefused, about(m.Member))
		case now.Defragmentations != was.Defragmentations+r.own[m.ID]:
			return fmt.Errorf("%w: %s was defragmented by somebody else just now", ErrRefused, about(m.Member))
		}
	}
	return nil
}

// prove says whether this run may still go on alone, right before a step.
func (r *run) prove(ctx context.Context, s scene) error {
	if r.held != nil {
		return r.held.Prove(ctx)
	}
	return r.undisturbed(ctx, s)
}

// release gives the lock back, and returns how the run ends, which until then was err. Where the only
// voter was defragmented, its lease may have lapsed by that: this is no fault.
func (r *run) release(ctx context.Context, s scene, err error) error {
	if r.held == nil {
		return err
	}
	lost := r.held.Release(ctx)
	switch {
	case lost == nil:
		return err
	case errors.Is(lost, lock.ErrLost) && errors.Is(err, lock.ErrLost): // it is what the run ended by
		return err
	case errors.Is(lost, lock.ErrLost) && len(s.voters()) == 1 && len(r.todo) == 0:
		r.warn("the lock lapsed while the only voter defragmented")
		return err
	case errors.Is(lost, lock.ErrLost):
		return errors.Join(err, lost)
	}
	r.warn(lost.Error())
	return err
}
