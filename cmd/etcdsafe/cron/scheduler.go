package cron

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Tick is the longest time between two looks: a clock that was set, or a process that was stopped, is noticed by
// then.
const Tick = 10 * time.Second

// ErrNotLeading is a run that did not begin, because another process leads by now, or because nobody can lead and its
// jobs are not for then.
var ErrNotLeading = errors.New("another process leads")

// errReplaced is the cause with which the context of a run ends.
var (
	errReplaced = errors.New("stopped: the next slot of its line replaces it, or another process leads")
	errPanic    = errors.New("panic")
)

// Lead tells who leads. Both methods may be called at any time.
type Lead interface {
	Role() Role
	Changed() <-chan struct{} // receives after a change; never closed
}

// Scheduler begins runs. Its fields are set before Run, and not changed after.
type Scheduler struct {
	Clock Clock
	Lead  Lead
	Log   *slog.Logger
	// Do is one run. It ends soon after ctx does. Its errors are its own to tell, but for ErrNotLeading. A panic of it is
	// a failed run.
	Do func(ctx context.Context, o Order) error

	board  Board
	runs   map[int]*run
	wait   sync.WaitGroup
	ended  chan *run
	armed  chan []Line
	once   sync.Once
	looked atomic.Pointer[time.Time] // when Run last looked; by elapsed time, since clocks are set
}

type run struct {
	Order
	stop context.CancelCauseFunc
	err  error
}

func (s *Scheduler) init() {
	s.once.Do(func() {
		s.runs, s.ended, s.armed = map[int]*run{}, make(chan *run), make(chan []Line)
	})
}

// Run begins runs until ctx ends, then tells those at work to stop, waits for them, and returns. Call it once.
func (s *Scheduler) Run(ctx context.Context, lines []Line) {
	s.init()
	s.board.Arm(lines, s.Clock.Now())
	for {
		s.look(ctx)
		select {
		case <-ctx.Done():
			s.drain()
			return
		case <-s.Clock.After(s.pause()):
		case <-s.Lead.Changed():
		case r := <-s.ended:
			s.settle(r)
		case lines := <-s.armed:
			s.board.Arm(lines, s.Clock.Now())
		}
	}
}

// Arm replaces the lines while Run runs. It returns once they are taken, or ctx has ended.
func (s *Scheduler) Arm(ctx context.Context, lines []Line) {
	s.init()
	select {
	case s.armed <- lines:
	case <-ctx.Done():
	}
}

// Looked is how long ago Run last looked; it looks every Tick. Before its first look it is negative.
func (s *Scheduler) Looked() time.Duration {
	at := s.looked.Load()
	if at == nil {
		return -1
	}
	return time.Since(*at)
}

func (s *Scheduler) look(ctx context.Context) {
	now := time.Now()
	s.looked.Store(&now)
	if ctx.Err() != nil {
		return
	}
	for _, o := range s.board.Look(s.Clock.Now(), s.Lead.Role()) {
		switch o.Verb {
		case Begin:
			s.begin(ctx, o)
		case Stop:
			s.Log.Info("run stopped", "line", o.Line.Name, "reason", errReplaced.Error())
			s.runs[o.Run].stop(errReplaced)
		case Hold:
			s.Log.Info("slot waits", "line", o.Line.Name, "slot", o.Slot.At, "reason", "the line is still running")
		case Miss:
			s.Log.Warn("slot missed", "line", o.Line.Name, "slot", o.Slot.At, "reason", fmt.Sprintf("more than %s late", o.Line.Deadline))
		case Wait:
		}
	}
}

func (s *Scheduler) begin(ctx context.Context, o Order) {
	inner, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	r := &run{Order: o, stop: stop}
	s.runs[o.Run] = r
	s.wait.Go(func() {
		defer stop(nil)
		r.err = s.guarded(inner, o)
		s.ended <- r
	})
}

// guarded makes an error of a panic. It stands inside what takes the run off the board, so that none can wedge its line.
func (s *Scheduler) guarded(ctx context.Context, o Order) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
			s.Log.Error("run failed", "line", o.Line.Name, "slot", o.Slot.At, "err", err.Error(), "stack", string(debug.Stack()))
		}
	}()
	return s.Do(ctx, o)
}

func (s *Scheduler) settle(r *run) {
	delete(s.runs, r.Run)
	s.board.Ended(r.Run, r.Slot, errors.Is(r.err, ErrNotLeading))
}

// drain stops all runs and waits for them.
func (s *Scheduler) drain() {
	for _, r := range s.runs {
		r.stop(context.Canceled)
	}
	for len(s.runs) > 0 {
		now := time.Now() // draining is no standstill
		s.looked.Store(&now)
		select {
		case r := <-s.ended:
			s.settle(r)
		case <-s.Clock.After(Tick):
		}
	}
	s.wait.Wait()
}

func (s *Scheduler) pause() time.Duration {
	now := s.Clock.Now()
	if next, ok := s.board.Next(now); ok {
		return min(max(next.Sub(now), 0), Tick)
	}
	return Tick
}
