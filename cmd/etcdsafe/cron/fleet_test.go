package cron

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fleets are names of 10,000 clusters, as people give them and as machines do.
var fleets = map[string]func(i int) string{
	"prod-0001": func(i int) string { return fmt.Sprintf("prod-%04d", i) },
	"uuid": func(i int) string {
		h := sha256.Sum256(fmt.Append(nil, i))
		return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
	},
}

// TestAFleetDoesNotBeginAtOnce: of 10,000 clusters with one line and the default jitter no minute has more than
// twice the mean, and a daily line begins within its hour.
func TestAFleetDoesNotBeginAtOnce(t *testing.T) {
	const clusters = 10_000
	hourly, daily := lineOf(t, "l", "0 * * * *"), lineOf(t, "l", "0 3 * * *")
	for name, named := range fleets {
		var minutes [60]int
		for i := range clusters {
			hourly.Jitter, hourly.Share = time.Hour, ShareOf(named(i+1))
			s, ok := hourly.Next(at(12, 0, 0).Add(-time.Nanosecond))
			if !ok || s.At.After(at(12, 0, 0)) {
				t.Fatalf("%s: next is %v", named(i+1), s)
			}
			if s.At.Before(at(12, 0, 0)) { // which is due after 12:00 and must not be
				t.Fatalf("%s: the slot of %s is due at %s, after the next", named(i+1), s.At, s.Due)
			}
			minutes[s.Due.Sub(s.At)/time.Minute]++
			daily.Jitter, daily.Share = hourly.Jitter, hourly.Share
			if d, _ := daily.Next(at(12, 0, 0)); !d.At.Equal(at(27, 0, 0)) || d.Due.Sub(d.At) != s.Due.Sub(s.At) {
				t.Fatalf("%s: daily, %s is due at %s, the hourly one %s after it", named(i+1), d.At, d.Due, s.Due.Sub(s.At))
			}
		}
		most := 0
		for _, n := range minutes {
			most = max(most, n)
		}
		mean := float64(clusters) / 60
		t.Logf("%s: at most %d runs begin in a minute, %.2f times the mean", name, most, float64(most)/mean)
		if float64(most) > 2*mean {
			t.Errorf("%s: %d runs begin in one minute, the mean is %.0f", name, most, mean)
		}
	}
}

// TestASlotIsDueBeforeTheNext whatever the jitter, Next is the first that is due, and Decide begins it then.
func TestASlotIsDueBeforeTheNext(t *testing.T) {
	zone := zoneOf(t, "Europe/Berlin")
	rapid.Check(t, func(t *rapid.T) {
		line := drawLine(t)
		s, err := ParseSchedule(line.String(), zone, false)
		if err != nil {
			return
		}
		l := Line{Schedule: s, Jitter: time.Duration(rapid.IntRange(0, 50).Draw(t, "jitter")) * 30 * time.Minute,
			Share: float64(rapid.IntRange(0, 7).Draw(t, "share")) / 7.001}
		now := time.Date(2026, 3, 28, rapid.IntRange(0, 72).Draw(t, "hour"), rapid.IntRange(0, 59).Draw(t, "minute"), 20, 7, zone)
		next, ok := l.Next(now)
		if !ok {
			t.Fatalf("%q: no slot after %s", line, now)
		}
		if after := s.Next(next.At); !next.Due.After(now) || next.Due.Before(next.At) || !next.Due.Before(after) {
			t.Fatalf("%q after %s: %s is due at %s, the next one is %s", line, now, next.At, next.Due, after)
		}
		before := s.Next(now.Add(-50 * time.Hour))
		for ; l.slot(before).Due.Before(now); before = s.Next(before) {
		}
		if !before.Equal(next.At) {
			t.Fatalf("%q after %s: %s, want %s", line, now, next.At, before)
		}
		since := next.At.Add(-time.Second)
		if verb, slot := l.Decide(next.Due.Add(-time.Nanosecond), since, false); verb != Wait {
			t.Fatalf("%q before %s: %v of %s", line, next.Due, verb, slot.At)
		}
		if verb, slot := l.Decide(next.Due, since, false); verb != Begin || slot != next {
			t.Fatalf("%q at %s: %v of %s, want that of %s", line, next.Due, verb, slot.At, next.At)
		}
	})
}
