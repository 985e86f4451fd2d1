package cron

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	robfig "github.com/robfig/cron/v3"
)

// cell is one case of the table: what happens to one line, and when its runs are to begin.
type cell struct {
	name       string
	line, zone string
	policy     Policy
	deadline   time.Duration
	start      string        // what the clock reads then
	span       time.Duration // from then
	first      time.Duration // how long the first run takes; others take a minute, and so does a stop
	happens    []event
	want       string // slots, and where they begin later: when
	cronJob    string // the same of a CronJob
	documented string // what its documentation says, where its source does otherwise
	why        string // ours differs
}

// event is what happens to the process or its clock, by the time since the start.
type event struct {
	at   time.Duration
	does string // off, on, suspend, resume, stop (by SIGSTOP), continue, set
	by   time.Duration
}

func (c cell) from(zone *time.Location) time.Time {
	at, err := time.ParseInLocation("2006-01-02 15:04", c.start, zone)
	if err != nil {
		panic(err)
	}
	return at
}

// began is a run.
type began struct{ slot, at time.Time }

// clock is a wall clock that is set, of a process that is stopped, within the time of a bubble.
type clock struct {
	sync.Mutex
	by              time.Duration
	stopped, thawed time.Time // of the bubble
}

func (c *clock) Now() time.Time {
	c.Lock()
	defer c.Unlock()
	return time.Now().Add(c.by).Round(0)
}

func (c *clock) set(by time.Duration) {
	c.Lock()
	defer c.Unlock()
	c.by += by
}

// After is late where the process is stopped by then.
func (c *clock) After(d time.Duration) <-chan time.Time {
	if end := time.Now().Add(d); end.After(c.stopped) && end.Before(c.thawed) {
		d = time.Until(c.thawed)
	}
	return time.After(d)
}

// leading is a Lead that never changes.
type leading struct{}

func (leading) Role() Role               { return Role{Kind: Leader} }
func (leading) Changed() <-chan struct{} { return nil }

// world runs a Scheduler through a cell.
type world struct {
	cell
	clock  clock
	line   Line
	mu     sync.Mutex
	begun  []began
	done   time.Time // the last slot of which the stores know
	daemon *Scheduler
	off    func()
}

// ours is what the Scheduler does.
func (c cell) ours(t *testing.T, zone *time.Location) []began {
	schedule, err := ParseSchedule(c.line, zone, false)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{cell: c, line: Line{Name: "snapshot", Schedule: schedule, Policy: c.policy, Deadline: c.deadline}}
	synctest.Test(t, func(*testing.T) {
		begin := time.Now()
		w.clock.by = c.from(zone).Sub(begin)
		w.done = c.from(zone)
		for _, e := range c.happens {
			switch e.does {
			case "stop":
				w.clock.stopped = begin.Add(e.at)
			case "continue":
				w.clock.thawed = begin.Add(e.at)
			}
		}
		w.on()
		for _, e := range c.happens {
			time.Sleep(time.Until(begin.Add(e.at)))
			w.do(e)
		}
		time.Sleep(time.Until(begin.Add(c.span)))
		w.off()
	})
	return w.begun
}

func (w *world) do(e event) {
	switch e.does {
	case "off":
		w.off()
	case "on":
		w.on()
	case "suspend", "resume":
		w.line.Suspend = e.does == "suspend"
		w.daemon.Arm(context.Background(), []Line{w.line})
	case "set":
		w.clock.set(e.by)
	}
}

func (w *world) on() {
	w.daemon = &Scheduler{Clock: &w.clock, Lead: leading{}, Log: slog.New(slog.DiscardHandler), Do: w.run}
	ctx, stop := context.WithCancel(context.Background())
	over, daemon, lines := make(chan struct{}), w.daemon, []Line{w.line}
	go func() {
		defer close(over)
		daemon.Run(ctx, lines)
	}()
	w.off = func() {
		stop()
		<-over
	}
}

func (w *world) run(ctx context.Context, o Order) error {
	w.mu.Lock()
	if o.Fresh && !w.done.Before(o.Slot.At) {
		w.mu.Unlock()
		return nil
	}
	length := time.Minute
	if len(w.begun) == 0 && w.first > 0 {
		length = w.first
	}
	w.begun, w.done = append(w.begun, began{o.Slot.At, w.clock.Now()}), o.Slot.At
	w.mu.Unlock()
	select {
	case <-time.After(length):
	case <-ctx.Done():
		time.Sleep(time.Minute)
	}
	return nil
}

// controller does what kube-controller-manager v1.37 does with a CronJob, by its source (pkg/controller/cronjob:
// syncCronJob, mostRecentScheduleTime, nextScheduleTimeDuration), a minute at a time.
type controller struct {
	cell
	schedule       robfig.Schedule
	last           time.Time // status.lastScheduleTime
	active         []time.Duration
	wake           time.Duration // by its queue, which clocks do not move
	poked          bool
	off, suspended bool
	begun          []began
}

// cronJobs is what a CronJob does.
func (c cell) cronJobs(t *testing.T, zone *time.Location) []began {
	schedule, err := robfig.ParseStandard("TZ=" + zone.String() + " " + c.line)
	if err != nil {
		t.Fatal(err)
	}
	k := &controller{cell: c, schedule: schedule, last: c.from(zone), poked: true}
	clock, events := c.from(zone), c.happens
	for spent := time.Duration(0); spent < c.span; spent += time.Minute {
		for ; len(events) > 0 && events[0].at <= spent; events = events[1:] {
			clock = clock.Add(events[0].by)
			k.happen(events[0].does)
		}
		k.step(spent, clock.Add(spent))
	}
	return k.begun
}

func (k *controller) happen(does string) {
	switch does {
	case "off", "stop":
		k.off = true
	case "continue": // its queue is as it was
		k.off = false
	case "on":
		k.off, k.poked = false, true
	case "suspend", "resume":
		k.suspended, k.poked = does == "suspend", true
	}
}

func (k *controller) step(spent time.Duration, now time.Time) {
	var active []time.Duration
	for _, end := range k.active {
		if end > spent {
			active = append(active, end)
		}
	}
	k.poked = k.poked || len(active) < len(k.active)
	k.active = active
	if k.off || !k.poked && spent < k.wake {
		return
	}
	k.poked, k.wake = false, 1<<62
	if k.suspended {
		return
	}
	k.sync(spent, now)
	k.wake = spent + k.schedule.Next(k.looked(now)).Sub(now)
}

func (k *controller) sync(spent time.Duration, now time.Time) {
	from := k.last
	if limit := now.Add(-k.deadline); k.deadline > 0 && limit.After(from) {
		from = limit
	}
	slot, _ := k.recent(from, now)
	tooLate := k.deadline > 0 && slot.Add(k.deadline).Before(now)
	if slot.IsZero() || tooLate || slot.Equal(k.last) || k.policy == Forbid && len(k.active) > 0 {
		return
	}
	if k.policy == Replace {
		k.active = nil
	}
	length := time.Minute
	if len(k.begun) == 0 && k.first > 0 {
		length = k.first
	}
	k.active = append(k.active, spent+length)
	k.begun = append(k.begun, began{slot, now})
	k.last = slot
}

// looked is after which time the next slot is waited for.
func (k *controller) looked(now time.Time) time.Time {
	slot, missed := k.recent(k.last, now)
	switch {
	case !slot.IsZero():
		return slot
	case missed:
		return now
	}
	return k.last
}

// recent is the last slot after from, found as the controller finds it: it counts the slots by the time between the
// first two, and searches from the last but one by that count. Where slots are uneven it may search too late.
func (k *controller) recent(from, now time.Time) (last time.Time, missed bool) {
	first := k.schedule.Next(from)
	second := k.schedule.Next(first)
	if now.Before(first) {
		return time.Time{}, false
	}
	if now.Before(second) {
		return first, false
	}
	between := second.Sub(first)
	count := int64(now.Sub(first)/between) + 1
	for at := k.schedule.Next(first.Add(time.Duration((count - 2) * between.Nanoseconds()))); !at.After(now); at = k.schedule.Next(at) {
		last = at
	}
	return last, true
}
