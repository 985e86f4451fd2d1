package cron

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// leader is a Lead whose role a test changes.
type leader struct {
	role    atomic.Pointer[Role]
	changed chan struct{}
}

func leaderOf(role Role) *leader {
	l := &leader{changed: make(chan struct{}, 1)}
	l.role.Store(&role)
	return l
}

func (l *leader) Role() Role               { return *l.role.Load() }
func (l *leader) Changed() <-chan struct{} { return l.changed }

func (l *leader) is(role Role) {
	l.role.Store(&role)
	l.changed <- struct{}{}
}

// begin runs s at the time from, within a bubble, until what it returns is called, which waits for it.
func begin(s *Scheduler, from time.Time, lines ...Line) (end func()) {
	if s.Lead == nil {
		s.Lead = leading{}
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	s.Clock = &clock{by: time.Until(from)}
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		s.Run(ctx, lines)
	}()
	return func() {
		stop()
		<-over
	}
}

// wait lets time pass, and all that it begins come to rest.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestARunThatPanicsFailsOrHangsHindersNoOther line, and not its own later runs, and the schedule looks on.
func TestARunThatPanicsFailsOrHangsHindersNoOther(t *testing.T) {
	lines := []Line{lineOf(t, "panics", "* * * * *"), lineOf(t, "fails", "* * * * *"), lineOf(t, "hangs", "* * * * *"), lineOf(t, "works", "* * * * *")}
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var log bytes.Buffer
		count := map[string]int{}
		s := &Scheduler{Log: slog.New(slog.NewJSONHandler(&log, nil)), Do: func(ctx context.Context, o Order) error {
			mu.Lock()
			count[o.Line.Name]++
			mu.Unlock()
			switch o.Line.Name {
			case "panics":
				panic("of a job")
			case "fails":
				return errors.New("failed")
			case "hangs":
				<-ctx.Done()
			}
			return nil
		}}
		if s.Looked() >= 0 {
			t.Errorf("Looked before Run: %s, want less than 0", s.Looked())
		}
		end := begin(s, at(12, 0, 30), lines...)
		for range 20 {
			if wait(30 * time.Second); s.Looked() > Tick {
				t.Fatalf("it looked %s ago", s.Looked())
			}
		}
		end()
		want := map[string]int{"panics": 11, "fails": 11, "hangs": 1, "works": 11} // with the slot of 12:00
		if fmt.Sprint(count) != fmt.Sprint(want) {
			t.Errorf("runs: %v, want %v", count, want)
		}
		if n := strings.Count(log.String(), "panic: of a job"); n != 11 {
			t.Errorf("%d panics were told, want 11: %s", n, &log)
		}
	})
}

// TestLookedGoesByElapsedTime: a clock that is set must not make the schedule look dead.
func TestLookedGoesByElapsedTime(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	s := &Scheduler{Clock: System{}, Lead: leading{}}
	s.Run(ctx, nil)
	if at := s.looked.Load(); at == nil || !strings.Contains(at.String(), " m=") {
		t.Errorf("it looked at %v, which a clock that is set moves", at)
	}
}

// TestDrainWaitsForRunsAndBeginsNone: slots that come meanwhile are left to whoever leads next.
func TestDrainWaitsForRunsAndBeginsNone(t *testing.T) {
	line := lineOf(t, "l", "* * * * *")
	line.Policy = Allow
	synctest.Test(t, func(t *testing.T) {
		var begun, ended atomic.Int64
		var cause atomic.Value
		end := begin(&Scheduler{Do: func(ctx context.Context, o Order) error {
			begun.Add(1)
			<-ctx.Done()
			cause.Store(context.Cause(ctx))
			time.Sleep(150 * time.Second) // over two slots
			ended.Add(1)
			return ctx.Err()
		}}, at(12, 0, 30), line)
		wait(2 * time.Minute)
		stopped := time.Now()
		end()
		if begun.Load() != 3 || ended.Load() != 3 || time.Since(stopped) < 150*time.Second {
			t.Errorf("after %s %d runs had begun and %d ended, want 3 and 3 after 2m30s", time.Since(stopped), begun.Load(), ended.Load())
		}
		if got, _ := cause.Load().(error); !errors.Is(got, context.Canceled) {
			t.Errorf("they were stopped for %v, want %v", got, context.Canceled)
		}
	})
}

// TestWhatIsStoppedBeginsNothing also where a slot is due at that very instant.
func TestWhatIsStoppedBeginsNothing(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	s := &Scheduler{Clock: System{}, Lead: leading{}, Log: slog.New(slog.DiscardHandler), Do: func(_ context.Context, o Order) error {
		t.Errorf("the run of %s began", o.Slot.At)
		return nil
	}}
	s.Run(ctx, []Line{lineOf(t, "l", "* * * * *")})
}

// record is a Do that writes down orders and how they ended.
type record struct {
	sync.Mutex
	text []string
	do   func(ctx context.Context, o Order) error
}

func (r *record) Do(ctx context.Context, o Order) error {
	r.say(fmt.Sprintf("%s %s fresh=%v alone=%v", o.Line.Name, o.Slot.At.Format("15:04"), o.Fresh, o.Alone))
	err := r.do(ctx, o)
	if cause := context.Cause(ctx); cause != nil {
		r.say(cause.Error())
	}
	return err
}

func (r *record) say(text string) {
	r.Lock()
	defer r.Unlock()
	r.text = append(r.text, text)
}

// since gives what was written since the last call.
func (r *record) since() string {
	r.Lock()
	defer r.Unlock()
	text := strings.Join(r.text, "; ")
	r.text = nil
	return text
}

func (r *record) want(t *testing.T, what, want string) {
	t.Helper()
	if got := r.since(); got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// TestTheLeadMovesRuns from one process to another.
func TestTheLeadMovesRuns(t *testing.T) {
	line := lineOf(t, "l", "0 * * * *")
	synctest.Test(t, func(t *testing.T) {
		lead := leaderOf(Role{})
		r := &record{do: func(ctx context.Context, _ Order) error {
			select {
			case <-ctx.Done():
			case <-time.After(30 * time.Minute):
			}
			return nil
		}}
		end := begin(&Scheduler{Lead: lead, Do: r.Do}, at(11, 50, 0), line)
		wait(20 * time.Minute)
		r.want(t, "unsure", "")
		lead.is(leads)
		wait(time.Second)
		r.want(t, "12:10, leads", "l 12:00 fresh=true alone=false")
		lead.is(Role{Kind: Unsure})
		wait(time.Minute)
		r.want(t, "unsure again", "")
		lead.is(Role{Kind: Follower})
		wait(time.Second)
		r.want(t, "follows", errReplaced.Error())
		wait(time.Hour)
		r.want(t, "13:11, follows", "")
		lead.is(leads)
		wait(time.Second)
		r.want(t, "leads again", "l 13:00 fresh=true alone=false")
		wait(time.Hour)
		r.want(t, "14:11", "l 14:00 fresh=false alone=false")
		wait(30 * time.Minute)
		lead.is(Role{Kind: Alone, Delay: 30 * time.Minute})
		wait(40 * time.Minute)
		r.want(t, "15:21, alone", "")
		wait(10 * time.Minute)
		r.want(t, "15:31, alone", "l 15:00 fresh=false alone=true")
		end()
	})
}

// TestNotLeadingLeavesTheSlot to be tried again, now and then, until it begins.
func TestNotLeadingLeavesTheSlot(t *testing.T) {
	line := lineOf(t, "l", "0 * * * *")
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int64
		end := begin(&Scheduler{Do: func(_ context.Context, o Order) error {
			n := tries.Add(1)
			if !o.Fresh || !o.Slot.At.Equal(at(12, 0, 0)) {
				t.Errorf("try %d: %s, fresh %v", n, o.Slot.At, o.Fresh)
			}
			if n < 4 {
				return fmt.Errorf("of the lock: %w", ErrNotLeading)
			}
			return nil
		}}, at(12, 30, 0), line)
		wait(25 * time.Second)
		if n := tries.Load(); n != 3 {
			t.Errorf("%d tries in 25 s, want 3: at once and every %s", n, Tick)
		}
		wait(25 * time.Minute)
		end()
		if n := tries.Load(); n != 4 {
			t.Errorf("%d tries, want 4", n)
		}
	})
}

// TestArmChangesLinesOfARunningSchedule while one of them runs.
func TestArmChangesLinesOfARunningSchedule(t *testing.T) {
	long, quick, other := lineOf(t, "long", "0 * * * *"), lineOf(t, "quick", "30 * * * *"), lineOf(t, "quick", "45 * * * *")
	synctest.Test(t, func(t *testing.T) {
		r := &record{do: func(_ context.Context, o Order) error {
			if o.Line.Name == "long" {
				time.Sleep(50 * time.Minute)
			}
			return nil
		}}
		s := &Scheduler{Do: r.Do}
		end := begin(s, at(11, 59, 0), long)
		wait(2 * time.Minute)
		r.want(t, "12:01", "long 11:00 fresh=true alone=false")
		s.Arm(t.Context(), []Line{quick, long})
		wait(30 * time.Minute)
		r.want(t, "12:31, a new line", "quick 12:30 fresh=false alone=false")
		s.Arm(t.Context(), []Line{other})
		wait(15 * time.Minute)
		r.want(t, "12:46, changed, and one removed", "quick 12:45 fresh=false alone=false")
		wait(30 * time.Minute)
		r.want(t, "13:16, the removed one has ended and comes no more", "")
		end()
		gone, stop := context.WithCancel(t.Context())
		stop()
		s.Arm(gone, nil) // which nobody takes
	})
}

// TestTenThousandRunsLeaveNothing behind: neither goroutines nor memory, however they end.
func TestTenThousandRunsLeaveNothing(t *testing.T) {
	schedule, err := ParseSchedule("* * * * * *", time.UTC, true)
	if err != nil {
		t.Fatal(err)
	}
	var lines []Line
	for _, policy := range []Policy{Allow, Forbid, Replace} {
		lines = append(lines, Line{Name: string(policy), Schedule: schedule, Policy: policy, Deadline: time.Minute})
	}
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		end := begin(&Scheduler{Do: func(ctx context.Context, _ Order) error {
			switch n := runs.Add(1); n % 5 {
			case 0:
				panic("of a job")
			case 1:
				return errors.New("failed")
			case 2:
				select {
				case <-ctx.Done():
				case <-time.After(5 * time.Second):
				}
			}
			return nil
		}}, at(12, 0, 0), lines...)
		goroutines, heap := []int{}, []uint64{}
		for _, until := range []int64{1000, 11000} {
			for runs.Load() < until {
				wait(time.Minute)
			}
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			goroutines, heap = append(goroutines, runtime.NumGoroutine()), append(heap, m.HeapAlloc)
		}
		end()
		t.Logf("after 1,000 and %d runs: %d goroutines, %d bytes", runs.Load(), goroutines, heap)
		if slices.Max(goroutines)-slices.Min(goroutines) > 10 || heap[1] > heap[0]+256<<10 {
			t.Errorf("after 1,000 and %d runs: %d goroutines, %d bytes", runs.Load(), goroutines, heap)
		}
	})
}
