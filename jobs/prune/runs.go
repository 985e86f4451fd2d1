package prune

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

const (
	// keepRuns is how many records of each job stay: of an hourly one those of four days.
	keepRuns = 100
	// keepClaims is longer than any slot may be made up for.
	keepClaims = 30 * 24 * time.Hour
)

// boundRuns removes what the record of runs has too much of; a dry run counts it. The record is no
// archive, and none depends on it: a fault is a warning, and the next run goes on.
func (p *planned) boundRuns(ctx context.Context) {
	all, err := p.store.Runs(ctx)
	for _, r := range surplus(all, p.now) {
		if err == nil && !p.DryRun {
			err = p.store.RemoveRecord(ctx, r)
		}
		if err != nil {
			break
		}
		p.report.RunsRemoved++
	}
	if err != nil && ctx.Err() == nil {
		p.run.report.Warnings = append(p.run.report.Warnings, fmt.Sprintf("record of runs not bounded: %s", jobs.OneLine(err)))
		p.Log.Warn("record of runs not bounded", "store", p.report.URL, "err", err)
	}
}

// surplus is all but the newest keepRuns of each job, and claims that are keepClaims old at now, by the
// store's clock. What was written by a clock that was ahead is not new: it would push out what is.
func surplus(all []catalog.Record, now time.Time) (out []catalog.Record) {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b catalog.Record) int {
		switch {
		case a.Future() == b.Future():
			return b.Slot.Compare(a.Slot)
		case a.Future():
			return 1
		}
		return -1
	})
	kept := map[string]int{}
	for _, r := range all {
		if r.Job == "" {
			if now.Sub(r.Object.ModTime) >= keepClaims {
				out = append(out, r)
			}
			continue
		}
		if kept[r.Job]++; kept[r.Job] > keepRuns {
			out = append(out, r)
		}
	}
	return out
}
