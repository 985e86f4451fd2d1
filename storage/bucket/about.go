package bucket

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNoLock marks a store that locks no objects.
var ErrNoLock = errors.New("store has no object lock")

// Unfinished is an upload in parts that was never completed: bytes that no listing shows, and that
// are paid for.
type Unfinished struct {
	Key   string
	ID    string // the upload's
	Since time.Time
}

// Fact is one thing that a store says of itself, and what is to be done about it; "" where that is
// nothing.
type Fact struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Advice string `json:"advice,omitempty"`
}

// LockedUntil is until when the store refuses to delete an object; zero: it does not.
func (b *Bucket) LockedUntil(ctx context.Context, key string) (until time.Time, err error) {
	if err := b.ready(ctx, key); err != nil {
		return until, fmt.Errorf("ask for the lock of %q: %w", key, err)
	}
	if b.kind.LockedUntil == nil {
		return until, nil
	}
	err = b.persist(ctx, func() error {
		if until, err = b.kind.LockedUntil(ctx, key); err != nil {
			return fault(ctx, err)
		}
		return nil
	})
	if err != nil {
		return until, fmt.Errorf("ask for the lock of %q: %w", key, err)
	}
	return until, nil
}

// Locks says whether the kind of store can lock at all: a bucket of it may not.
func (b *Bucket) Locks() bool { return b.kind.Lock != nil }

// Lock makes the store refuse to delete an object until then, where it does not already. The error
// wraps ErrNoLock where it cannot.
func (b *Bucket) Lock(ctx context.Context, key string, until time.Time) error {
	if b.kind.Lock == nil {
		return fmt.Errorf("lock %q: %w", key, ErrNoLock)
	}
	now, err := b.LockedUntil(ctx, key)
	if err != nil || !now.Before(until) {
		return err
	}
	err = b.persist(ctx, func() error {
		if err := b.kind.Lock(ctx, key, until); err != nil {
			return fault(ctx, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("lock %q: %w", key, err)
	}
	return nil
}

// Versioned says whether the store keeps what is deleted or overwritten, as far as it may be asked.
func (b *Bucket) Versioned(ctx context.Context) bool {
	return b.broken == nil && b.kind.Versioned != nil && b.kind.Versioned(ctx)
}

// Unfinished lists uploads in parts under a prefix that were never completed; none where the store
// knows no such thing.
func (b *Bucket) Unfinished(ctx context.Context, prefix string) (out []Unfinished, err error) {
	if b.broken != nil || b.kind.Unfinished == nil {
		return nil, b.broken
	}
	err = b.persist(ctx, func() error {
		if out, err = b.kind.Unfinished(ctx, prefix); err != nil {
			return fault(ctx, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list unfinished uploads of %q: %w", prefix, err)
	}
	return out, nil
}

// Abort gives up an unfinished upload. One that is gone is nil.
func (r Remover) Abort(ctx context.Context, u Unfinished) error {
	if r.b.kind.Abort == nil {
		return nil
	}
	err := r.b.persist(ctx, func() error {
		if err := r.b.kind.Abort(ctx, u); err != nil {
			return fault(ctx, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("abort upload of %q: %w", u.Key, err)
	}
	return nil
}

// Facts is what the store says of itself.
func (b *Bucket) Facts(ctx context.Context) []Fact {
	if b.broken != nil || b.kind.Facts == nil {
		return nil
	}
	return b.kind.Facts(ctx)
}

// Identity tells apart those who use the store, without telling who they are.
func (b *Bucket) Identity() string {
	if b.kind.Identity == "" {
		return "anybody"
	}
	return b.kind.Identity
}
