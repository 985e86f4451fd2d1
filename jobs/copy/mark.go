package copy

import (
	"context"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// unmarked is an archive that a store has, without all that people said of it in another.
type unmarked struct {
	id       catalog.ID
	from, to *catalog.Catalog
	marks    int // that it lacks
}

// unmarked lists them, newest first.
func (r *run) unmarked(want []catalog.ID) (out []unmarked) {
	for _, id := range want {
		for _, to := range r.To {
			for _, from := range r.From {
				if n := r.lies[to][id].Lacks(r.lies[from][id]); n > 0 && whole(r.lies[to][id]) {
					out = append(out, unmarked{id, from, to, n})
				}
			}
		}
	}
	return out
}

// mark brings them, and reports how that ended.
func (r *run) mark(ctx context.Context, u unmarked) (err error) {
	a := ArchiveReport{ID: u.id, From: u.from.URL(), To: u.to.URL(), Marks: u.marks, Result: jobs.Skipped}
	if !r.DryRun {
		a.Result, err = jobs.OK, u.to.Marks(ctx, u.from, u.id)
	}
	switch {
	case err != nil:
		a.Result, a.Error = jobs.Failed, jobs.OneLine(err)
		r.Log.Warn("holds not copied", "archive", u.id, "store", u.to.URL(), "err", err)
	case !r.DryRun:
		r.done++
		r.Log.Info("holds copied", "archive", u.id, "store", u.to.URL())
	}
	r.report.Archives = append(r.report.Archives, a)
	return err
}
