package defrag

import (
	"sync"
	"time"
)

// Samples is what the rule said of each member, over time. The zero value holds none. It is safe for
// several goroutines.
type Samples struct {
	mu sync.Mutex
	of map[uint64]streak
}

// streak is an unbroken row of samples at which the rule said yes.
type streak struct{ from, to time.Time }

// sampleEvery is the time between two samples; maxGap is the longest that leaves no doubt about what
// was between them.
const (
	sampleEvery = time.Minute
	maxGap      = 3 * sampleEvery
)

// Add notes what the rule said of a member at that time.
func (s *Samples) Add(member uint64, at time.Time, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[uint64]streak{}
	}
	row, known := s.of[member]
	switch {
	case !yes:
		delete(s.of, member)
		return
	case !known || at.Sub(row.to) > maxGap || at.Before(row.to):
		row.from = at
	}
	row.to = at
	s.of[member] = row
}

// For is for how long the rule has said yes, up to its last sample; 0 also where it said no, or
// there is none younger than maxGap.
func (s *Samples) For(member uint64, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	row, known := s.of[member]
	if !known || now.Sub(row.to) > maxGap {
		return 0
	}
	return row.to.Sub(row.from)
}
