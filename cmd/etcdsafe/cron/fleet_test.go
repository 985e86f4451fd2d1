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

// TestASlotIsDueBeforeTheNext whatever the jitter, and Next and Decide agree on when.
func TestASlotIsDueBeforeTheNext(t *testing.T) {
	zone := zoneOf(t, "Europe/Berlin")
	rapid.Check(t, func(t *rapid.T) {
		line := drawLine(t)
		s, err := ParseSchedule(line.String(), zone, false)
		if err != nil {
			return
		}
		l := Line{Schedule: s, Jitter: time.Duration(rapid.Int64Range(0, int64(25*time.Hour)).Draw(t, "jitter")),
			Share: rapid.Float64Range(0, 0.999999).Draw(t, "share")}
		now := time.Date(2026, 3, 28, 0, 0, 0, 0, zone).Add(time.Duration(rapid.Int64Range(0, int64(72*time.Hour)).Draw(t, "now")))
		next, ok := l.Next(now)
		if !ok {
			t.Fatalf("%q: no slot after %s", line, now)
		}
		if after := s.Next(next.At); !next.Due.After(now) || next.Due.Before(next.At) || !next.Due.Before(after) {
			t.Fatalf("%q after %s: %s is due at %s, the next one is %s", line, now, next.At, next.Due, after)
		}
		if verb, slot := l.Decide(next.Due, now, false); verb != Begin || !slot.At.Equal(next.At) {
			if next.At.After(now) { // else it was settled, as of now
				t.Fatalf("%q at %s: %v of %s, want that of %s", line, next.Due, verb, slot.At, next.At)
			}
		}
		if verb, slot := l.Decide(next.Due.Add(-time.Nanosecond), now, false); verb != Wait {
			t.Fatalf("%q before %s: %v of %s", line, next.Due, verb, slot.At)
		}
	})
}
