package plan

import (
	"errors"
	"slices"
	"testing"
	"time"
)

func simulate(t *testing.T, p Policy, every time.Duration, days int) []Day {
	t.Helper()
	seq, err := Simulate(p, every, days, 10)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(seq)
}

func TestSimulateTellsWhatAPolicyHolds(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy Policy
		every  time.Duration
		days   int
		held   int
		oldest time.Duration
	}{
		{"a week of days", Policy{KeepDaily: 7}, hour, 30, 7, 6*day24 + hour},
		{"the oldest while there is room", Policy{KeepDaily: 7}, hour, 3, 4, 3 * day24},
		{"a day of hours and a week of days", Policy{KeepHourly: 24, KeepDaily: 7}, hour, 30, 30, 6*day24 + hour},
		{"the floor", Policy{KeepDaily: 1, KeepMin: 5}, hour, 30, 5, 5 * hour},
		{"a cap", Policy{KeepHourly: 24, MaxCount: 10}, hour, 30, 10, 10 * hour},
		{"a cap on bytes", Policy{KeepHourly: 24, MaxBytes: 105}, hour, 30, 10, 10 * hour},
		{"seldom", Policy{KeepLast: 3}, 36 * hour, 30, 3, 108 * hour},
		{"labelled", Policy{KeepLast: 3, Labels: map[string]string{"a": "b"}}, hour, 2, 3, 3 * hour},
		{"within", Policy{KeepWithin: 10 * day24}, 6 * hour, 60, 40, 10 * day24},
	} {
		days := simulate(t, c.policy, c.every, c.days)
		last := days[len(days)-1]
		if len(days) != c.days || last.N != c.days || len(last.Ages) != c.held || last.Ages[len(last.Ages)-1] != c.oldest {
			t.Errorf("%s: %d days, the last %d holds %d, the oldest %s; want %d, the oldest %s", c.name, len(days), last.N, len(last.Ages), last.Ages[len(last.Ages)-1], c.held, c.oldest)
		}
		if !slices.IsSorted(last.Ages) {
			t.Errorf("%s: ages %v are not newest first", c.name, last.Ages)
		}
	}
}

// A prune once a day of hourly archives takes more than half at once: good to know beforehand.
func TestSimulateTellsWhatARealPruneWouldRefuse(t *testing.T) {
	for _, c := range []struct {
		policy Policy
		want   error
	}{{Policy{KeepDaily: 7}, ErrTooMany}, {Policy{KeepDaily: 7, MaxRemoved: 30}, nil}, {Policy{KeepMin: 3}, ErrEmptyPolicy}, {Policy{KeepLast: All, StaleAfter: time.Minute}, ErrStale}} {
		last := simulate(t, c.policy, hour, 20)[19]
		if !errors.Is(last.Refused, c.want) {
			t.Errorf("%+v: %v, want %v", c.policy, last.Refused, c.want)
		}
	}
	if last := simulate(t, Policy{KeepDaily: 7, MaxRemoved: 30}, hour, 20)[19]; last.Removed != 24 {
		t.Errorf("removed %d on the last day, want 24", last.Removed)
	}
}

func TestSimulateRefusesWhatCannotBe(t *testing.T) {
	for _, c := range []struct {
		policy Policy
		every  time.Duration
		days   int
	}{{Policy{}, 0, 1}, {Policy{}, time.Second, 1}, {Policy{}, hour, 0}, {Policy{KeepLast: -2}, hour, 1}, {Policy{KeepLast: 3}, time.Minute, 1389}} {
		if _, err := Simulate(c.policy, c.every, c.days, 1); !errors.Is(err, ErrPolicy) {
			t.Errorf("Simulate(%+v, %s, %d): %v, want ErrPolicy", c.policy, c.every, c.days, err)
		}
	}
}

// A reader may stop early and begin again.
func TestSimulateMayBeReadTwice(t *testing.T) {
	seq, err := Simulate(Policy{KeepLast: 3}, hour, 5, 1)
	if err != nil {
		t.Fatal(err)
	}
	for d := range seq {
		if d.N == 2 {
			break
		}
	}
	if got := slices.Collect(seq); len(got) != 5 || got[0].N != 1 || len(got[4].Ages) != 3 {
		t.Errorf("the second reading: %d days, %+v", len(got), got)
	}
}
