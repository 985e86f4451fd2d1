package bucket

import (
	"context"
	"errors"
	"time"
)

// errStalled marks a store that takes or gives too little for too long. There is no deadline for a
// whole object: a large one over a thin line takes its time.
var errStalled = errors.New("store stalled")

// floorBytes is what a store must take or give in a second.
const floorBytes = 64 << 10

// watch ends a context when nothing moved for a while.
type watch struct {
	timer   *time.Timer
	patient time.Duration
	cancel  context.CancelCauseFunc
}

// newWatch returns a context that ends with errStalled as its cause once patient has passed since
// the last move. Stop the watch.
func newWatch(ctx context.Context, patient time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &watch{timer: time.AfterFunc(patient, func() { cancel(errStalled) }), patient: patient, cancel: cancel}
}

// within gives a small question of a call as long as a store may be silent, for the call's own
// client may ask for ever. A store that never gives a second chance is waited for: a folder that is
// large takes its time.
func (b *Bucket) within(ctx context.Context, ask func(context.Context) error) error {
	if b.kind.Again == nil {
		return ask(ctx)
	}
	asking, line := newWatch(ctx, b.kind.stall())
	defer line.stop()
	err := ask(asking)
	if err != nil && errors.Is(context.Cause(asking), errStalled) && ctx.Err() == nil {
		return errStalled
	}
	return err
}

func (w *watch) move() { w.timer.Reset(w.patient) }

// rest stops the clock until the next move: it is not the store that is waited for.
func (w *watch) rest() { w.timer.Stop() }

// stop ends the context. It may be called twice.
func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}
