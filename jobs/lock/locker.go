package lock

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Lease is how long a claim outlives its holder, unless Options say otherwise: shorter than the
// five minutes after which Kubernetes replaces the Pods of a lost node.
const Lease = 60 * time.Second

// The kinds of lock.
const (
	KindEtcd       = "etcd"
	KindKubernetes = "kubernetes"
	KindNone       = "none"
)

// Options are for tests and for those who know; the zero value is what is documented.
type Options struct {
	Lease time.Duration    // Lease where 0; whole seconds, and etcd gives no less than its election takes
	Now   func() time.Time // time.Now where nil
	// Name is that of another lock of etcd's, below etcdsafe's own prefix; empty: the one that all runs share.
	Name string
}

func (o Options) lease() time.Duration {
	if o.Lease <= 0 {
		return Lease
	}
	return o.Lease
}

func (o Options) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

// attempt bounds one request of a holder, so that one member that does not answer leaves time for all
// others within a third of a lease. With a lease shorter than that of users it has a second all the
// same: on a busy machine a login takes a good part of that.
func (o Options) attempt() time.Duration { return min(max(o.lease()/12, time.Second), 5*time.Second) }

// Locker is where the lock of one cluster lies. The zero value locks nothing: each Take succeeds.
// It is safe for several goroutines.
type Locker struct {
	place place
	kind  string
	where string
	opt   Options
}

// place is a kind of lock.
type place interface {
	// take makes the claim, or returns a *HeldError.
	take(ctx context.Context, c Claim) (grip, error)
	look(ctx context.Context) (State, error)
	// end ends the claim that look told of; ended is false where it is another's by now.
	end(ctx context.Context, s State, trace Broken) (ended, traced bool, err error)
}

// grip is a claim that was taken.
type grip interface {
	// renew makes the claim last a whole lease from now and returns nil only where it is still the
	// one that was taken. The error wraps ErrLost where it is known not to be.
	renew(ctx context.Context) error
	// drop ends the claim; ours is false where it was not ours any more.
	drop(ctx context.Context) (ours bool, err error)
}

// None is a lock that nobody minds.
func None() Locker { return Locker{} }

// Kind is etcd, kubernetes or none.
func (l Locker) Kind() string {
	if l.place == nil {
		return KindNone
	}
	return l.kind
}

// Take makes the claim as it is given, create-only. The error is a *HeldError where another holds
// the lock, wraps ErrCannot where it cannot be taken, or is the cause of ctx. Where a dead holder left a
// Lease of Kubernetes behind, Take first watches it for as long as that lasts.
func (l Locker) Take(ctx context.Context, c Claim) (*Held, error) {
	if l.place == nil {
		return &Held{kind: KindNone}, nil
	}
	asked := l.opt.now()
	g, err := l.place.take(ctx, c)
	if err != nil {
		return nil, l.explain(ctx, "take", err)
	}
	return l.hold(ctx, c, g, asked), nil
}

// Look tells who holds the lock. The error wraps ErrCannot, or is the cause of ctx.
func (l Locker) Look(ctx context.Context) (State, error) {
	if l.place == nil {
		return State{Kind: KindNone, Where: "no lock"}, nil
	}
	s, err := l.place.look(ctx)
	s.Kind, s.Where = l.kind, l.where
	if err != nil {
		return s, l.explain(ctx, "read", err)
	}
	return s, nil
}

// Break ends the claim that Look told of, whoever holds it, and leaves a trace beside it. Its holder
// finds out when it next renews or proves it. ended is false where another claim lies there by now; traced is false
// where the trace could not be left: with NOSPACE, etcd takes no writes.
func (l Locker) Break(ctx context.Context, s State, trace Broken) (ended, traced bool, err error) {
	if l.place == nil || !s.Held {
		return false, false, nil
	}
	trace.Claim = s.Claim
	ended, traced, err = l.place.end(ctx, s, trace)
	if err != nil {
		return ended, traced, l.explain(ctx, "break", err)
	}
	return ended, traced, nil
}

// explain makes one of the three errors of Take of err.
func (l Locker) explain(ctx context.Context, verb string, err error) error {
	var held *HeldError
	switch {
	case errors.As(err, &held):
		held.Where = l.where
		return held
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("%s %s: %w: %w", verb, l.where, ErrCannot, err)
}
