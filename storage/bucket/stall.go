package bucket

import (
	"context"
	"errors"
	"math"
	"time"
)

// errStalled marks a store that takes or gives too little for too long. There is no deadline for a
// whole object: a large one over a thin line takes its time.
var errStalled = errors.New("store stalled")

// floorBytes is what a store must take or give in a second.
const floorBytes = 64 << 10

// slowBytes is what a line carries in a second that is not worth a word: an upload is heard of again only
// when parts that are on their way have arrived.
const slowBytes = 1 << 20

// WhenSilent makes the bucket call tell, from a goroutine of its own, once the store has given and taken
// nothing for so long; again only after it has answered. Call it before the bucket is used.
func (b *Bucket) WhenSilent(after time.Duration, tell func()) { b.quiet, b.tell = after, tell }

// expect is a timer that goes off when the store is silent for too long. Stop it.
func (b *Bucket) expect() *time.Timer {
	return time.AfterFunc(b.quiet, func() {
		if b.tell != nil && b.silent.CompareAndSwap(false, true) {
			b.tell()
		}
	})
}

// answered notes that the store did.
func (b *Bucket) answered() { b.silent.Store(false) }

// watch ends a context when nothing moved for a while.
type watch struct {
	timer   *time.Timer
	patient time.Duration
	silence *time.Timer
	quiet   time.Duration
	cancel  context.CancelCauseFunc
}

// newWatch returns a context that ends with errStalled as its cause once patient has passed since
// the last move. Stop the watch.
func (b *Bucket) newWatch(ctx context.Context, patient time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &watch{
		timer: time.AfterFunc(patient, func() { cancel(errStalled) }), patient: patient,
		silence: b.expect(), quiet: b.quiet, cancel: cancel,
	}
}

// within gives a small question of a call as long as a store may be silent, for the call's own
// client may ask for ever. A store that never gives a second chance is waited for: a folder that is
// large takes its time.
func (b *Bucket) within(ctx context.Context, ask func(context.Context) error) error {
	patient := b.kind.stall() / 2 // it is asked twice, and its answer is small
	if b.kind.Again == nil {
		patient = math.MaxInt64
	}
	asking, line := b.newWatch(ctx, patient)
	defer line.stop()
	err := ask(asking)
	switch {
	case err == nil:
		b.answered()
	case errors.Is(context.Cause(asking), errStalled) && ctx.Err() == nil:
		return errStalled
	}
	return err
}

func (w *watch) move() {
	w.timer.Reset(w.patient)
	w.silence.Reset(w.quiet)
}

// rest stops the clock until the next move: it is not the store that is waited for. It says whether
// that came in time.
func (w *watch) rest() bool {
	w.silence.Stop()
	return w.timer.Stop()
}

// stop ends the context. It may be called twice.
func (w *watch) stop() {
	w.rest()
	w.cancel(nil)
}
