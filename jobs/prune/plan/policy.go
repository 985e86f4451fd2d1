package plan

import (
	"errors"
	"fmt"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// All as a count of a keep rule keeps one archive of every bucket; as MaxRemoved it is no limit.
const All = -1

// Committed as CountLevel counts every archive, verified or not. So does the empty level.
const Committed catalog.Level = "committed"

// ErrPolicy marks settings of a policy, or of a simulation, that cannot be.
var ErrPolicy = errors.New("not a possible policy")

// Policy says what to keep. Rules are joined by "or": what one of them keeps is kept. The zero
// Policy keeps everything and is refused.
type Policy struct {
	// Each rule keeps the newest archive of so many calendar buckets that have one, per cluster
	// id; weeks are ISO weeks. A rule that has counts left at the oldest archive keeps that too.
	KeepLast, KeepHourly, KeepDaily, KeepWeekly, KeepMonthly, KeepYearly int

	// KeepWithin keeps what is less old than that before the newest counted archive, not before now.
	KeepWithin time.Duration

	KeepMin  int   // the floor: so many of the newest counted archives of each cluster id stay
	MaxCount int   // cap on archives kept, over all cluster ids; 0: none
	MaxBytes int64 // cap on their bytes; 0: none

	// CountLevel is what an archive must be verified at to take a slot of a rule. One below it
	// stays only where the rules would keep it if all were counted, so a verification that runs
	// late costs no archive, and one that never runs piles none up.
	CountLevel catalog.Level

	Labels   map[string]string // archives that lack one of them are left alone
	Location *time.Location    // of the calendar; nil: UTC

	PreviousClusterHold time.Duration // how long an earlier cluster id is left alone after the next one's first archive
	SuspectAfter        time.Duration // age at which suspects are removed; 0: never
	StaleAfter          time.Duration // age of the newest at which nothing is removed; 0: 3 times the usual gap, at least 1 h
	MaxRemoved          int           // how many may go at once; 0: half, where there are more than 10
}

// Check returns every fault of p at once, wrapping ErrPolicy, or nil.
func (p Policy) Check() error {
	var faults []error
	for _, c := range []struct {
		name         string
		value, least int64
	}{
		{"keep-last", int64(p.KeepLast), All}, {"keep-hourly", int64(p.KeepHourly), All}, {"keep-daily", int64(p.KeepDaily), All},
		{"keep-weekly", int64(p.KeepWeekly), All}, {"keep-monthly", int64(p.KeepMonthly), All}, {"keep-yearly", int64(p.KeepYearly), All},
		{"keep-within", int64(p.KeepWithin), 0}, {"keep-min", int64(p.KeepMin), 0}, {"max-count", int64(p.MaxCount), 0}, {"max-bytes", p.MaxBytes, 0},
		{"previous-cluster-hold", int64(p.PreviousClusterHold), 0}, {"suspect-after", int64(p.SuspectAfter), 0},
		{"stale-after", int64(p.StaleAfter), 0}, {"max-removed", int64(p.MaxRemoved), All},
	} {
		if c.value < c.least {
			faults = append(faults, fmt.Errorf("%s is %d, at least %d is possible: %w", c.name, c.value, c.least, ErrPolicy))
		}
	}
	switch p.CountLevel {
	case "", Committed, catalog.Stored, catalog.Content:
	default:
		faults = append(faults, fmt.Errorf("count-level %q is not committed, stored or content: %w", p.CountLevel, ErrPolicy))
	}
	return errors.Join(faults...)
}

// countsAll says whether archives take slots without being verified.
func (p Policy) countsAll() bool { return p.CountLevel == "" || p.CountLevel == Committed }

func (p Policy) hasRule() bool {
	for _, n := range []int{p.KeepLast, p.KeepHourly, p.KeepDaily, p.KeepWeekly, p.KeepMonthly, p.KeepYearly} {
		if n != 0 {
			return true
		}
	}
	return p.KeepWithin > 0
}

// empty says whether p has neither a rule nor a cap. The floor alone is no policy.
func (p Policy) Empty() bool { return !p.hasRule() && p.MaxCount == 0 && p.MaxBytes == 0 }
