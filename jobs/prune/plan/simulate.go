package plan

import (
	"fmt"
	"iter"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// begin is the first day of a simulation, a Monday.
var begin = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// Day is what a store holds at the end of one, after prune.
type Day struct {
	N       int             `json:"day"`     // from 1
	Ages    []time.Duration `json:"ages"`    // of what it holds, newest first
	Removed int             `json:"removed"` // by that day's prune
	Refused error           `json:"-"`       // what a real prune would have ended with; the simulated one goes on
}

// maxSimulated bounds a simulation to some seconds: it is a snapshot an hour for 228 years.
const maxSimulated = 2_000_000

// Simulate yields, for each day, what p holds of archives of the given size, taken every so
// often, sound and verified, and pruned at the end of each day. It asks no store and no clock;
// the first day is Monday, 1 January 2024. The error wraps ErrPolicy.
func Simulate(p Policy, every time.Duration, days int, sizeBytes int64) (iter.Seq[Day], error) {
	if every < time.Minute || days < 1 {
		return nil, fmt.Errorf("simulate every %s for %d days, at least every 1m for 1 day: %w", every, days, ErrPolicy)
	}
	if perDay := max(1, int(24*time.Hour/every)); days > maxSimulated/perDay {
		return nil, fmt.Errorf("simulate every %s for %d days, at most %d days of that: %w", every, days, maxSimulated/perDay, ErrPolicy)
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	return func(yield func(Day) bool) {
		var held []Archive
		next := begin
		for n := range days {
			end := begin.AddDate(0, 0, n+1)
			for ; next.Before(end); next = next.Add(every) {
				held = append(held, simulated(p, next, sizeBytes))
			}
			var d Day
			if d, held = prune(p, held, end); !yield(Day{n + 1, d.Ages, d.Removed, d.Refused}) {
				return
			}
		}
	}, nil
}

// simulated is an archive that nothing is wrong with. Its receipts have settled.
func simulated(p Policy, at time.Time, sizeBytes int64) Archive {
	id := catalog.ID(fmt.Sprintf("%s-%016x-%08x", at.Format("20060102T150405Z"), at.Unix(), 0))
	receipt := at.Add(-settling)
	return Archive{ID: id, Time: at, Bytes: sizeBytes, Keys: -1, Labels: p.Labels, Trust: Trusted, Stored: receipt, Content: receipt, Opened: receipt}
}

// prune is one day's, and what it leaves.
func prune(p Policy, held []Archive, now time.Time) (Day, []Archive) {
	plan, err := Make(Input{Archives: held, Policy: p, Now: now, StoreNow: now, ListsAgree: true})
	if err != nil {
		return Day{Refused: err}, held
	}
	gone := map[catalog.ID]bool{}
	d := Day{Refused: plan.Err()}
	for _, item := range plan.Archives {
		if item.Verdict == Remove {
			gone[item.ID] = true
			d.Removed++
			continue
		}
		d.Ages = append(d.Ages, now.Sub(item.Time))
	}
	kept := held[:0]
	for _, a := range held {
		if !gone[a.ID] {
			kept = append(kept, a)
		}
	}
	return d, kept
}
