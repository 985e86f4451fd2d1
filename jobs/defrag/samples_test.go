package defrag

import (
	"testing"
	"time"
)

// TestARuleMustSayYesThroughout, by a clock of our own.
func TestARuleMustSayYesThroughout(t *testing.T) {
	at := func(minute float64) time.Time {
		return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).Add(time.Duration(minute * float64(time.Minute)))
	}
	for _, c := range []struct {
		what string
		add  func(*Samples)
		now  float64
		want time.Duration
	}{
		{"nothing", func(*Samples) {}, 0, 0},
		{"one", func(s *Samples) { s.Add(1, at(0), true) }, 0, 0},
		{"ten minutes", func(s *Samples) {
			for i := range 11 {
				s.Add(1, at(float64(i)), true)
			}
		}, 10, 10 * time.Minute},
		{"a no between", func(s *Samples) {
			for i := range 11 {
				s.Add(1, at(float64(i)), i != 5)
			}
		}, 10, 4 * time.Minute},
		{"a no at the end", func(s *Samples) {
			for i := range 11 {
				s.Add(1, at(float64(i)), i != 10)
			}
		}, 10, 0},
		{"a gap of 3 minutes", func(s *Samples) { s.Add(1, at(0), true); s.Add(1, at(3), true) }, 3, 3 * time.Minute},
		{"a longer gap", func(s *Samples) { s.Add(1, at(0), true); s.Add(1, at(3.1), true) }, 3.1, 0},
		{"none lately", func(s *Samples) { s.Add(1, at(0), true); s.Add(1, at(2), true) }, 6, 0},
		{"a clock that went back", func(s *Samples) { s.Add(1, at(5), true); s.Add(1, at(4), true); s.Add(1, at(6), true) }, 6, 2 * time.Minute},
		{"of another member", func(s *Samples) { s.Add(2, at(0), true); s.Add(2, at(2), true) }, 2, 0},
	} {
		var s Samples
		c.add(&s)
		if got := s.For(1, at(c.now)); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}
