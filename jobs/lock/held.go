package lock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Held is a lock that was taken. It renews itself until its claim's deadline, the end of Release, or
// until it is lost. Release it. It is safe for several goroutines.
type Held struct {
	kind  string
	where string
	claim Claim
	grip  grip // nil: no lock
	opt   Options

	stop context.CancelFunc
	done chan struct{} // closed when nothing renews any more
	lost chan struct{}

	once     sync.Once // of Release
	released error

	mu      sync.Mutex
	renewed time.Time // when the last renewal that succeeded was asked for
	fault   error     // why it is lost
}

// releaseTime bounds Release, which goes on after the job was stopped: a Pod has 30 s to end.
const releaseTime = 10 * time.Second

func (l Locker) hold(ctx context.Context, c Claim, g grip, asked time.Time) *Held {
	h := &Held{kind: l.kind, where: l.where, claim: c, grip: g, opt: l.opt, done: make(chan struct{}), lost: make(chan struct{}), renewed: asked}
	ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	go h.keep(ctx)
	return h
}

// Kind is that of the Locker.
func (h *Held) Kind() string { return h.kind }

// Claim is what was taken.
func (h *Held) Claim() Claim { return h.claim }

// Lost is closed once the claim is gone, or was not renewed for as long as it lasts, or its deadline
// has passed. It stays open for no lock. Prove and Release never say otherwise after it.
func (h *Held) Lost() <-chan struct{} { return h.lost }

// Prove says whether the claim is still the one that was taken, by a read that goes through etcd's quorum,
// and renews it: a step that begins after it has a whole lease before it. Any error means that the
// step must not begin; it wraps ErrLost where the claim is gone, ErrCannot where nobody could
// tell, or is the cause of ctx.
func (h *Held) Prove(ctx context.Context) error {
	if h.grip == nil {
		return nil
	}
	if err := h.Err(); err != nil {
		return err
	}
	inner, stop := context.WithTimeout(ctx, h.opt.lease()/2)
	defer stop()
	err := h.renew(inner)
	switch {
	case err == nil:
		return h.Err()
	case errors.Is(err, ErrLost):
		return h.lose(err)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("prove %s: %w: %w", h.where, ErrCannot, err)
}

func (h *Held) renew(ctx context.Context) error {
	asked := h.opt.now()
	err := h.grip.renew(ctx)
	if err == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.renewed = asked
	}
	return err
}

// Err is why the claim is lost, or nil. It wraps ErrLost.
func (h *Held) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fault
}

// lose settles that the claim is lost, and returns the first reason given.
func (h *Held) lose(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fault == nil {
		h.fault = fmt.Errorf("%s: %w", h.where, err)
		close(h.lost)
	}
	return h.fault
}

// keep renews the claim three times in each lease, and again soon where that did not succeed.
func (h *Held) keep(ctx context.Context) {
	defer close(h.done)
	for pause := h.opt.lease() / 3; ; {
		ends := h.ends()
		if !h.wait(ctx, pause) {
			return
		}
		err := h.attempt(ctx, ends)
		pause = h.opt.lease() / 3
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrLost):
			_ = h.lose(err)
			return
		case err != nil && !h.opt.now().Before(h.ends()):
			_ = h.lose(fmt.Errorf("not renewed for %s: %w: %w", h.opt.lease(), ErrLost, err))
			return
		case err != nil:
			pause = h.opt.attempt()
		}
	}
}

// ends is when the claim lapses unless it is renewed.
func (h *Held) ends() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.renewed.Add(h.opt.lease())
}

func (h *Held) attempt(ctx context.Context, ends time.Time) error {
	ctx, stop := context.WithTimeout(ctx, max(ends.Sub(h.opt.now()), h.opt.attempt()))
	defer stop()
	return h.renew(ctx)
}

// wait returns false where there is nothing more to renew: the deadline loses the claim.
func (h *Held) wait(ctx context.Context, pause time.Duration) bool {
	deadline := make(<-chan time.Time)
	if !h.claim.Deadline.IsZero() {
		last := time.NewTimer(h.claim.Deadline.Sub(h.opt.now()))
		defer last.Stop()
		deadline = last.C
	}
	next := time.NewTimer(pause)
	defer next.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-deadline:
		_ = h.lose(fmt.Errorf("not renewed after its deadline: %w", ErrLost))
		return false
	case <-next.C:
		return true
	}
}

// Release ends the claim, also where ctx has ended, within ten seconds, and waits until nothing renews it. The error
// wraps ErrLost where the claim was not ours any more: a caller whose own work made it lapse may
// think nothing of that. Otherwise it wraps ErrCannot, and the claim lapses by itself. Later calls return the same.
func (h *Held) Release(ctx context.Context) error {
	h.once.Do(func() { h.released = h.release(ctx) })
	return h.released
}

func (h *Held) release(ctx context.Context) error {
	if h.grip == nil {
		return nil
	}
	h.stop()
	<-h.done
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer stop()
	ours, err := h.grip.drop(ctx)
	if err != nil {
		return fmt.Errorf("release %s: %w: %w", h.where, ErrCannot, err)
	}
	if !ours {
		return h.lose(fmt.Errorf("gone before its release: %w", ErrLost))
	}
	return nil
}
