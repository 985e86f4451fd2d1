package cron

import (
	"slices"
	"time"
)

// Kind is what this process is among those of its group.
type Kind int

// Unsure: nobody has said yet, or no more; nothing begins, and what runs goes on. Follower: another one leads; nothing
// begins, and what runs is stopped. Leader: this one. Alone: who leads cannot be known.
const (
	Unsure Kind = iota
	Follower
	Leader
	Alone
)

func (k Kind) String() string {
	return [...]string{"unsure", "follower", "leader", "alone"}[k]
}

// Role is a Kind, and for Alone how much later than their time runs begin: the one that led last goes first.
type Role struct {
	Kind  Kind
	Delay time.Duration
}

// Order is one thing to do now.
type Order struct {
	Verb  Verb // Begin, Stop, Hold or Miss
	Line  Line
	Slot  Slot // of Begin, Hold and Miss
	Run   int  // of Begin and Stop: which
	Fresh bool // of Begin: nobody here knows whether the slot was done; the stores may
	Alone bool // of Begin
}

// setBack is by how much a clock must be set back for that to count as a correction, after which slots that come
// again are run again, also those with fixed hours: Debian's cron(8).
const setBack = 3 * time.Hour

// step is by how much a clock must be set back for anything to come again: what keeps its time sets it by less, and a slot
// is done once.
const step = time.Minute

// Board keeps what the lines have settled and what runs. It is for one goroutine.
type Board struct {
	lines   []*armed
	role    Role
	lapsed  bool      // it began runs, and nobody says any more that it may
	now     time.Time // of the last Look
	lastRun int
}

// armed is a line and what is known of it.
type armed struct {
	Line
	since   time.Time // slots up to here are settled; zero: unknown
	before  time.Time // since, before the run that was begun last
	fresh   bool      // others may have done what comes next
	held    time.Time // the slot whose Hold was told
	again   time.Time // not before then, since a run has just been refused
	gone    bool      // it is no line any more, but still runs
	running []int
	stopped []int // those of running that were told to stop
}

// Arm takes new lines, at the start and when the configuration has changed. What is known of a line stays, unless its
// schedule is another: then nothing before now is made up for, nor for a line that was not there. What runs goes on.
func (b *Board) Arm(lines []Line, now time.Time) {
	old := b.lines
	b.lines = []*armed{} // no first time again
	for _, l := range lines {
		a := &armed{Line: l, since: now, fresh: old == nil}
		if i := slices.IndexFunc(old, func(o *armed) bool { return o.Name == l.Name }); i >= 0 {
			a = old[i]
			if a.gone || !same(a.Schedule, l.Schedule) {
				a.since, a.fresh = now, false
			}
			a.Line, a.gone = l, false
		}
		if a.fresh {
			a.since = time.Time{}
		}
		b.lines = append(b.lines, a)
	}
	for _, o := range old {
		if len(o.running) > 0 && !slices.Contains(b.lines, o) {
			o.Suspend, o.gone = true, true
			b.lines = append(b.lines, o)
		}
	}
}

func same(a, b Schedule) bool {
	if a.every != b.every || a.zone.String() != b.zone.String() || (a.spec == nil) != (b.spec == nil) {
		return false
	}
	return a.spec == nil || *a.spec == *b.spec
}

// Look says what to do at now in a role. Each order is given once.
func (b *Board) Look(now time.Time, role Role) []Order {
	b.turnBack(now)
	b.take(role)
	b.now = now
	if role.Kind == Unsure {
		return nil
	}
	var out []Order
	for _, a := range b.lines {
		if role.Kind == Follower {
			out = append(out, a.stop()...)
			continue
		}
		out = append(out, b.decide(a, now)...)
	}
	return out
}

// turnBack lets the slots come again where the clock was set back by a step or more, but fixed hours only after setBack.
func (b *Board) turnBack(now time.Time) {
	back := b.now.Sub(now)
	if back < step {
		return
	}
	for _, a := range b.lines {
		a.again = time.Time{}
		if a.since.After(now) && (!a.Schedule.Fixed() || back >= setBack) {
			a.since = now
		}
	}
}

// take changes the role. Whoever begins to lead does not know what was done before; who leads again after a while in which
// nobody said so knows what it did itself, but not whether another one led meanwhile.
func (b *Board) take(role Role) {
	begins := func(k Kind) bool { return k == Leader || k == Alone }
	if begins(role.Kind) && b.role.Kind == Follower {
		for _, a := range b.lines {
			a.since, a.fresh = time.Time{}, true
		}
	}
	if begins(role.Kind) && b.lapsed {
		for _, a := range b.lines {
			a.fresh, a.again = true, time.Time{}
		}
	}
	b.lapsed = role.Kind == Unsure && (b.lapsed || begins(b.role.Kind))
	if begins(role.Kind) && role.Kind != b.role.Kind { // what was refused then may be done now
		for _, a := range b.lines {
			a.again = time.Time{}
		}
	}
	if role.Kind != Unsure { // after which all is as it was before
		b.role = role
	}
}

func (b *Board) decide(a *armed, now time.Time) []Order {
	verb, slot := a.Decide(now.Add(-b.role.Delay), a.since, len(a.running) > 0)
	o := Order{Verb: verb, Line: a.Line, Slot: slot, Fresh: a.fresh, Alone: b.role.Kind == Alone}
	switch verb {
	case Wait:
		return nil
	case Stop:
		return a.stop()
	case Hold:
		if a.held.Equal(slot.At) {
			return nil
		}
		a.held = slot.At
	case Miss:
		told := !a.since.IsZero() // else the slot may well have been done
		a.since, a.fresh = slot.At, false
		if !told {
			return nil
		}
	case Begin:
		if now.Before(a.again) {
			return nil
		}
		a.before, a.since, a.fresh = a.since, slot.At, false
		b.lastRun++
		o.Run = b.lastRun
		a.running = append(a.running, o.Run)
	}
	return []Order{o}
}

// stop tells each run of the line once.
func (a *armed) stop() []Order {
	var out []Order
	for _, run := range a.running {
		if !slices.Contains(a.stopped, run) {
			a.stopped = append(a.stopped, run)
			out = append(out, Order{Verb: Stop, Line: a.Line, Run: run})
		}
	}
	return out
}

// Ended takes a run off the board. refused is one that did not begin, since another leads by now or nobody can: its slot
// is not settled, and tried again a Tick later if this one still begins runs then, or at once when it leads.
func (b *Board) Ended(run int, slot Slot, refused bool) {
	is := func(r int) bool { return r == run }
	for _, a := range b.lines {
		if slices.Contains(a.running, run) && refused && a.since.Equal(slot.At) {
			a.since, a.fresh, a.again = a.before, true, b.now.Add(Tick)
		}
		a.running = slices.DeleteFunc(a.running, is)
		a.stopped = slices.DeleteFunc(a.stopped, is)
	}
}

// Next is when the next slot of any line is due; ok is false where none is.
func (b *Board) Next(now time.Time) (next time.Time, ok bool) {
	for _, a := range b.lines {
		if s, is := a.Next(now.Add(-b.role.Delay)); is && !a.Suspend && (!ok || s.Due.Before(next)) {
			next, ok = s.Due, true
		}
	}
	return next.Add(b.role.Delay), ok
}

// Running is how many runs there are.
func (b *Board) Running() int {
	n := 0
	for _, a := range b.lines {
		n += len(a.running)
	}
	return n
}
