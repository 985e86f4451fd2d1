package cron

import (
	"testing"
	"time"
)

// TestALineDecidesAsACronJobWould of a slot that is due, by policy, deadline and what runs.
func TestALineDecidesAsACronJobWould(t *testing.T) {
	schedule, err := ParseSchedule("0 * * * *", time.UTC, false)
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for what, c := range map[string]struct {
		line    Line
		after   time.Duration // since noon
		running bool
		want    Verb
	}{
		"just before":            {Line{}, -time.Second, false, Wait},
		"due":                    {Line{}, 0, false, Begin},
		"missed, no deadline":    {Line{}, 59 * time.Minute, false, Begin},
		"missed, within it":      {Line{Deadline: 10 * time.Minute}, 10 * time.Minute, false, Begin},
		"missed, too late":       {Line{Deadline: 10 * time.Minute}, 11 * time.Minute, false, Miss},
		"running, allow":         {Line{Policy: Allow}, 0, true, Begin},
		"running, forbid":        {Line{Policy: Forbid}, 0, true, Hold},
		"running, replace":       {Line{Policy: Replace}, 0, true, Stop},
		"suspended":              {Line{Suspend: true}, 0, false, Wait},
		"jitter, before its due": {Line{Jitter: time.Hour, Share: 0.5}, 29 * time.Minute, false, Wait},
		"jitter, due":            {Line{Jitter: time.Hour, Share: 0.5}, 30 * time.Minute, false, Begin},
	} {
		c.line.Schedule = schedule
		verb, slot := c.line.Decide(noon.Add(c.after), noon.Add(-time.Hour), c.running)
		if verb != c.want || verb != Wait && !slot.At.Equal(noon) {
			t.Errorf("%s: %v of %s, want %v", what, verb, slot.At, c.want)
		}
	}
}
