package cron

import "time"

// Clock is what the Scheduler knows of time.
type Clock interface {
	// Now is what the wall clock reads: it may be set back and forward.
	Now() time.Time
	// After sends once, when d has passed; a process that was stopped meanwhile, or a clock that was set, do not matter.
	After(d time.Duration) <-chan time.Time
}

// System is the machine's clock. Its Now tells wall time alone, so that a clock that was set is seen to be.
type System struct{}

// Now is time.Now without its monotonic part.
func (System) Now() time.Time { return time.Now().Round(0) }

// After is time.After.
func (System) After(d time.Duration) <-chan time.Time { return time.After(d) }
