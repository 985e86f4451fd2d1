package bucket

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// tries is how often a call goes to a store in all, with pauses of 0.5 s, 1 s, 2 s and 4 s
// between, each drawn between its half and one and a half of it. The clouds' own clients try
// again below that, in the same connection's time.
const tries = 5

// stallTries is how often a call goes to a store that says nothing: each costs all of a stall's
// patience, while people and other stores wait.
const stallTries = 2

// persist makes a call until it succeeds, fails for good, or was made often enough. The error is
// the last one.
func (b *Bucket) persist(ctx context.Context, call func() error) error {
	stalls := 0
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := call()
		if errors.Is(err, errStalled) {
			stalls++
		}
		if err != nil && (stalls == stallTries || !b.again(ctx, err)) {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(b.kind.pauses()), backoff.WithMaxTries(tries), backoff.WithMaxElapsedTime(0))
	var last *backoff.PermanentError
	if errors.As(err, &last) {
		return last.Unwrap()
	}
	return err
}

func (k Kind) pauses() backoff.BackOff {
	p := backoff.NewExponentialBackOff()
	p.InitialInterval, p.Multiplier, p.RandomizationFactor, p.MaxInterval = k.pause(), 2, 0.5, 10*time.Second
	return p
}

// again says whether err is a store's, and of a kind that passes.
func (b *Bucket) again(ctx context.Context, err error) bool {
	switch {
	case ctx.Err() != nil, b.kind.Again == nil, !errors.Is(err, ErrUnavailable), b.closed.Load():
		return false
	case errors.Is(err, errStalled):
		return true
	}
	return b.kind.Again(err)
}
