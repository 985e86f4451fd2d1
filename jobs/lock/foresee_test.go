package lock

import (
	"errors"
	"testing"
	"time"
)

// TestForeseeIsWhatAcquireWouldSay of a lock that stays as it is.
func TestForeseeIsWhatAcquireWouldSay(t *testing.T) {
	now := time.Now()
	by := func(age time.Duration) State {
		return State{Held: true, Where: "here", Claim: Claim{Holder: "h", Job: "defrag", Started: now.Add(-age)}}
	}
	for what, c := range map[string]struct {
		state                State
		policy               IfLocked
		refuses, skip, stuck bool
	}{
		"free":              {State{}, Fail, false, false, false},
		"young, skip":       {by(time.Minute), Skip, true, true, false},
		"young, fail":       {by(time.Minute), Fail, true, false, false},
		"old, skip":         {by(3 * time.Hour), Skip, true, false, true},
		"old, waited for":   {by(3 * time.Hour), Wait, false, false, false},
		"young, waited for": {by(time.Minute), Wait, false, false, false},
	} {
		err := Foresee(t.Context(), c.state, Policy{IfLocked: c.policy, Now: func() time.Time { return now }})
		if errors.Is(err, ErrHeld) != c.refuses || (err != nil) != c.refuses || (Skipped(err) != nil) != c.skip || errors.Is(err, ErrStuck) != c.stuck {
			t.Errorf("%s: %v, want a refusal %t, a skip %t, stuck %t", what, err, c.refuses, c.skip, c.stuck)
		}
	}
}
