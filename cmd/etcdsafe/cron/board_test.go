package cron

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// at is a time of 4 March 2026, UTC; hours beyond 24 are of the days after.
func at(hour, minute, second int) time.Time {
	return time.Date(2026, 3, 4, hour, minute, second, 0, time.UTC)
}

func lineOf(t *testing.T, name, text string) Line {
	t.Helper()
	s, err := ParseSchedule(text, time.UTC, false)
	if err != nil {
		t.Fatal(err)
	}
	return Line{Name: name, Schedule: s, Policy: Forbid}
}

// look is what a board orders, in words.
func look(b *Board, now time.Time, role Role) string {
	var out []string
	for _, o := range b.Look(now, role) {
		text := fmt.Sprintf("%s %s %s", [...]string{"wait", "begin", "hold", "stop", "miss"}[o.Verb], o.Line.Name, o.Slot.At.Format("15:04"))
		if o.Verb == Stop {
			text = fmt.Sprintf("stop %s run %d", o.Line.Name, o.Run)
		}
		if o.Fresh {
			text += " fresh"
		}
		if o.Alone {
			text += " alone"
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

var leads = Role{Kind: Leader}

// settled is a board that leads, and has looked at now, with all before that done.
func settled(now time.Time, lines ...Line) *Board {
	b := &Board{}
	b.Arm(lines, now)
	for _, o := range b.Look(now, leads) {
		b.Ended(o.Run, o.Slot, false)
	}
	return b
}

// glance is a look, and what it orders.
type glance struct {
	now  time.Time
	role Role
	want string
}

func glances(t *testing.T, b *Board, all ...glance) {
	t.Helper()
	for _, g := range all {
		if got := look(b, g.now, g.role); got != g.want {
			t.Errorf("at %s, %s: %q, want %q", g.now.Format(time.DateTime), g.role.Kind, got, g.want)
		}
	}
}

// TestASmallStepBackRepeatsNothing: time keepers take them, and a slot is done once.
func TestASmallStepBackRepeatsNothing(t *testing.T) {
	b := settled(at(11, 30, 0), lineOf(t, "l", "0 * * * *"))
	glances(t, b, glance{at(12, 0, 5), leads, "begin l 12:00"})
	b.Ended(b.lastRun, Slot{}, false)
	glances(t, b, glance{at(11, 59, 10), leads, ""}, glance{at(11, 59, 50), leads, ""}, glance{at(12, 0, 0), leads, ""},
		glance{at(10, 50, 0), leads, ""}, glance{at(11, 0, 0), leads, "begin l 11:00"})
}

// TestAMissIsToldHoweverLate and once; a CronJob counts it as failed.
func TestAMissIsToldHoweverLate(t *testing.T) {
	daily := lineOf(t, "l", "0 13 * * *")
	daily.Deadline = 10 * time.Minute
	glances(t, settled(at(12, 0, 0), daily),
		glance{at(24+11, 0, 0), leads, "miss l 13:00"}, glance{at(24+11, 0, 10), leads, ""}, glance{at(24+13, 5, 0), leads, "begin l 13:00"})
	fresh := &Board{} // whose slot another process may well have done
	fresh.Arm([]Line{daily}, at(14, 0, 0))
	glances(t, fresh, glance{at(14, 0, 0), leads, ""}, glance{at(24+13, 11, 0), leads, "miss l 13:00"})
}

// TestARefusedRunIsTriedATickLater and not at once, over and over: who leads is told by another than who refused.
func TestARefusedRunIsTriedATickLater(t *testing.T) {
	b := settled(at(11, 30, 0), lineOf(t, "l", "0 * * * *"))
	refuse := func() { b.Ended(b.lastRun, Slot{At: at(12, 0, 0)}, true) }
	glances(t, b, glance{at(12, 0, 0), leads, "begin l 12:00"})
	refuse()
	glances(t, b, glance{at(12, 0, 0), leads, ""}, glance{at(12, 0, 9), leads, ""}, glance{at(12, 0, 10), leads, "begin l 12:00 fresh"})
	refuse()
	glances(t, b, glance{at(12, 0, 11), Role{Kind: Follower}, ""}, glance{at(12, 0, 12), leads, "begin l 12:00 fresh"})
	refuse()
	glances(t, b, glance{at(12, 0, 13), Role{}, ""}, glance{at(12, 0, 14), leads, "begin l 12:00 fresh"}) // its lease had lapsed, and nobody else led
	refuse()
	glances(t, b, glance{at(9, 30, 0), leads, "begin l 09:00 fresh"})
}

// TestARefusedSlotThatComesTooLateIsTold: a night without a leader is not passed over.
func TestARefusedSlotThatComesTooLateIsTold(t *testing.T) {
	hourly := lineOf(t, "l", "0 * * * *")
	hourly.Deadline = 10 * time.Minute
	b := settled(at(11, 30, 0), hourly)
	glances(t, b, glance{at(12, 0, 0), leads, "begin l 12:00"})
	b.Ended(b.lastRun, Slot{At: at(12, 0, 0)}, true)
	glances(t, b, glance{at(12, 11, 0), leads, "miss l 12:00 fresh"})
}

// TestRolesBeginAndStop what they may.
func TestRolesBeginAndStop(t *testing.T) {
	unsure, follows := Role{}, Role{Kind: Follower}
	b := settled(at(11, 30, 0), lineOf(t, "l", "0 * * * *"))
	glances(t, b,
		glance{at(12, 0, 0), unsure, ""},
		glance{at(12, 1, 0), leads, "begin l 12:00 fresh"}, // another may have led meanwhile
		glance{at(12, 2, 0), unsure, ""},                   // what runs goes on
		glance{at(12, 3, 0), follows, "stop l run 2"},
		glance{at(12, 4, 0), follows, ""}, // told once
		glance{at(13, 0, 0), leads, "hold l 13:00 fresh"},
		glance{at(13, 1, 0), leads, ""})
	b.Ended(2, Slot{At: at(12, 0, 0)}, false)
	glances(t, b, glance{at(13, 2, 0), leads, "begin l 13:00 fresh"})
	b.Ended(3, Slot{At: at(13, 0, 0)}, false)
	alone := Role{Kind: Alone, Delay: 20 * time.Minute}
	glances(t, b,
		glance{at(14, 0, 0), alone, ""},
		glance{at(14, 19, 59), alone, ""})
	if due, ok := b.Next(at(14, 0, 0)); !ok || !due.Equal(at(14, 20, 0)) {
		t.Errorf("Next of one that is alone: %s, want 14:20", due)
	}
	glances(t, b, glance{at(14, 20, 0), alone, "begin l 14:00 alone"})
	b.Ended(4, Slot{At: at(14, 0, 0)}, false)
	glances(t, b, glance{at(14, 30, 0), follows, ""}, glance{at(15, 0, 0), unsure, ""}, glance{at(15, 1, 0), leads, "begin l 15:00 fresh"})
}

// TestArmKeepsWhatIsKnownOfALine and makes up for nothing that was before a line, or its schedule, was there.
func TestArmKeepsWhatIsKnownOfALine(t *testing.T) {
	hourly, suspended := lineOf(t, "l", "0 * * * *"), lineOf(t, "l", "0 * * * *")
	suspended.Suspend = true
	quick := lineOf(t, "l", "*/10 * * * *")
	fixed, read := lineOf(t, "l", "0 12 * * *"), lineOf(t, "l", "0 12/13 * * *")
	b := settled(at(11, 30, 0), hourly)
	for _, c := range []struct {
		what  string
		lines []Line
		now   time.Time
		want  string // at once
		end   bool   // then the last run ends
	}{
		{"suspended", []Line{suspended}, at(12, 0, 0), "", false},
		{"resumed", []Line{hourly}, at(12, 20, 0), "begin l 12:00", false},
		{"removed while it runs", nil, at(12, 30, 0), "", false},
		{"there again while it runs", []Line{hourly}, at(13, 30, 0), "", true},
		{"nothing to make up for", []Line{hourly}, at(13, 31, 0), "", false},
		{"changed", []Line{quick}, at(13, 45, 0), "", false},
		{"and in force", []Line{quick}, at(13, 50, 0), "begin l 13:50", true},
		{"removed", nil, at(14, 0, 0), "", false},
		{"there again", []Line{quick}, at(14, 5, 0), "", false},
		{"and in force again", []Line{quick, lineOf(t, "new", "5 * * * *")}, at(14, 10, 0), "begin l 14:10", true},
		{"the new one too", []Line{quick, lineOf(t, "new", "5 * * * *")}, at(15, 5, 0), "begin l 15:00; begin new 15:05", true},
		{"by what the clock reads", []Line{read}, at(24+11, 0, 0), "", false},
		{"at a fixed hour, the same", []Line{fixed}, at(24+12, 0, 0), "begin l 12:00", false},
	} {
		b.Arm(c.lines, c.now)
		if got := look(b, c.now, leads); got != c.want {
			t.Errorf("%s, at %s: %q, want %q", c.what, c.now.Format(time.DateTime), got, c.want)
		}
		for run := 1; c.end && run <= b.lastRun; run++ {
			b.Ended(run, Slot{}, false)
		}
	}
	if b.Running() != 1 {
		t.Errorf("%d run, want 1", b.Running())
	}
}
