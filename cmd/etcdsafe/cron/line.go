package cron

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Policy is what a line does while it is still running when its next slot is due; the words are CronJob's.
type Policy string

// Allow runs both. Forbid waits until the run has ended, and then begins if that is within the deadline. Replace stops
// the run first.
const (
	Allow   Policy = "allow"
	Forbid  Policy = "forbid"
	Replace Policy = "replace"
)

// Line is one line of the schedule.
type Line struct {
	Name     string // its jobs, comma between
	Schedule Schedule
	Policy   Policy
	Deadline time.Duration // after which a slot is too late; 0: never
	Suspend  bool
	Jitter   time.Duration // most by which a run begins after its slot
	Share    float64       // of Jitter, in [0,1): ShareOf
}

// ShareOf draws a cluster's share of the jitter from its name.
func ShareOf(cluster string) float64 {
	sum := sha256.Sum256([]byte(cluster))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}

// Slot is one time of a line.
type Slot struct {
	At  time.Time // by the schedule
	Due time.Time // when its run begins: before the next slot
}

// slot is that at a time which is one of the schedule's.
func (l Line) slot(at time.Time) Slot {
	spread := l.Jitter
	if next := l.Schedule.Next(at); !next.IsZero() {
		spread = min(spread, next.Sub(at))
	}
	return Slot{At: at, Due: at.Add(time.Duration(float64(spread) * l.Share).Truncate(time.Second))}
}

// Next is the first slot that is due after t; ok is false where none is for five years.
func (l Line) Next(t time.Time) (next Slot, ok bool) {
	for at := l.Schedule.Next(t.Add(-l.Jitter - time.Second)); !at.IsZero(); at = l.Schedule.Next(at) {
		if s := l.slot(at); s.Due.After(t) {
			return s, true
		}
	}
	return Slot{}, false
}

// latest is the last slot after since that is due at now; ok is false where there is none. It looks back ever further,
// since a clock may have been set forward by days, but no further than since.
func (l Line) latest(now, since time.Time) (last Slot, ok bool) {
	for back := 2 * time.Minute; ; back *= 4 {
		from := now.Add(-l.Jitter - back)
		end := from.Before(since) || back > search
		if from.Before(since) {
			from = since
		}
		for at := l.Schedule.Next(from); !at.IsZero() && !at.After(now); at = l.Schedule.Next(at) {
			if s := l.slot(at); !s.Due.After(now) {
				last, ok = s, true
			}
		}
		if ok || end {
			return last, ok
		}
	}
}

// Verb is what a line does at an instant.
type Verb int

// Wait: nothing is due. Begin: the slot's run begins. Hold: it is due, but the line is still running. Stop: the run that
// hinders it is stopped first. Miss: it is too late for it.
const (
	Wait Verb = iota
	Begin
	Hold
	Stop
	Miss
)

// Decide says what the line does at now, where the slots up to since are settled. Of several slots that are due only the
// last counts, as with a CronJob. A zero since is a process that has just begun to lead: nothing is settled.
func (l Line) Decide(now, since time.Time, running bool) (Verb, Slot) {
	s, due := l.latest(now, since)
	switch {
	case l.Suspend || !due:
		return Wait, Slot{}
	case l.Deadline > 0 && now.Sub(s.Due) > l.Deadline:
		return Miss, s
	case running && l.Policy == Forbid:
		return Hold, s
	case running && l.Policy == Replace:
		return Stop, s
	}
	return Begin, s
}
