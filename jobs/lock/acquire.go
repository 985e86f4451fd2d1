package lock

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// IfLocked is what to do while another holds the lock.
type IfLocked string

// Skip ends well with nothing done, Fail ends with ErrHeld, Wait waits until the context ends.
const (
	Skip IfLocked = "skip"
	Fail IfLocked = "fail"
	Wait IfLocked = "wait"
)

// MaxAge is how old a holder may be before a skip is no longer right, unless a Policy says otherwise.
const MaxAge = 2 * time.Hour

// pollEvery is the pause between two looks at a lock that another holds.
const pollEvery = 5 * time.Second

// Policy says what to do while another holds the lock. The zero value skips, for MaxAge.
type Policy struct {
	IfLocked IfLocked
	MaxAge   time.Duration
	Patience time.Duration    // for which Skip waits before it skips; 0: not at all
	Now      func() time.Time // time.Now where nil
	Poll     time.Duration    // pollEvery where 0
	Waiting  func(*HeldError) // told of each holder that is waited for; may be nil
}

func (p Policy) now() time.Time {
	if p.Now == nil {
		return time.Now()
	}
	return p.Now()
}

func (p Policy) maxAge() time.Duration {
	if p.MaxAge <= 0 {
		return MaxAge
	}
	return p.MaxAge
}

func (p Policy) poll() time.Duration {
	if p.Poll <= 0 {
		return pollEvery
	}
	return p.Poll
}

// Acquire takes the lock by the policy. The claim's start is the moment it is taken, its deadline that of
// ctx unless it has one.
//
// While another holds it: Skip returns a *HeldError with Skip set, so long as the holder is younger
// than MaxAge, and Patience has passed; after that it is ErrStuck, so that a run that hangs cannot keep all others green. Fail
// returns ErrHeld. Wait tries again until ctx ends: at its deadline the error is ErrStuck.
//
// A holder that may be dead is first given the time of a lease to lapse: one that is too old to be
// skipped (as after a restore, which brings the lock back of when the snapshot was taken), and one in
// our own Pod, which a container that was started again in its place left behind.
//
// Besides, the errors of Take.
func Acquire(ctx context.Context, l Locker, c Claim, p Policy) (*Held, error) {
	if deadline, ok := ctx.Deadline(); ok && c.Deadline.IsZero() {
		c.Deadline = deadline
	}
	w := &waiter{Policy: p, pod: c.Pod, lapse: l.opt.lease() + max(l.opt.lease()/4, 2*time.Second)}
	for {
		c.Started = p.now().UTC().Truncate(time.Second)
		h, err := l.Take(ctx, c)
		if err == nil {
			return h, nil
		}
		if err := w.judge(ctx, err); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, w.ended(ctx, context.Cause(ctx))
		case <-time.After(p.poll()):
		}
	}
}

// Foresee is the *HeldError with which Acquire ends if all stays as Look told, the time of a lease that a
// dead holder may be given left out; nil where the lock is free, or waited for.
func Foresee(ctx context.Context, s State, p Policy) error {
	if !s.Held {
		return nil
	}
	w := &waiter{Policy: p}
	return w.judge(ctx, &HeldError{Holder: s.Claim, Where: s.Where})
}

// waiter is one call of Acquire.
type waiter struct {
	Policy
	pod   string
	lapse time.Duration // within it a dead holder's claim is gone

	last  *HeldError // who is waited for
	since time.Time
	began time.Time // of the first refusal
}

// judge returns nil where it is right to try again.
func (w *waiter) judge(ctx context.Context, err error) error {
	var held *HeldError
	if !errors.As(err, &held) {
		return w.ended(ctx, err)
	}
	now := w.now()
	if w.began.IsZero() {
		w.began = now
	}
	held.Age = held.Holder.age(now)
	if w.last == nil || w.last.Holder.Holder != held.Holder.Holder {
		w.since = now
		if w.Waiting != nil && w.waits(held, now) {
			w.Waiting(held)
		}
	}
	w.last = held
	if w.waits(held, now) {
		return nil
	}
	switch {
	case w.IfLocked == Fail:
	case held.Age < w.maxAge():
		held.Skip = true
	default:
		held.Stuck = true
		held.Why = fmt.Sprintf("and still renewed, longer than %s", w.maxAge())
	}
	return held
}

func (w *waiter) waits(held *HeldError, now time.Time) bool {
	if w.IfLocked == Wait || w.IfLocked != Fail && now.Sub(w.began) < w.Patience {
		return true
	}
	dead := w.pod != "" && held.Holder.Pod == w.pod || w.IfLocked != Fail && held.Age >= w.maxAge()
	return dead && now.Sub(w.since) < w.lapse
}

// ended is err, or what it means that the deadline came while the lock was waited for.
func (w *waiter) ended(ctx context.Context, err error) error {
	if w.last == nil || w.IfLocked != Wait || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	w.last.Stuck, w.last.Why = true, "waited for until the deadline"
	return fmt.Errorf("%w: %w", w.last, err)
}
