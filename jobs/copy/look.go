package copy

import (
	"context"
	"slices"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// look lists all stores, each once, and returns the faults of those that could not be.
func (r *run) look(ctx context.Context) (faults []error) {
	r.lies = map[*catalog.Catalog]map[catalog.ID]catalog.Item{}
	asked := map[*catalog.Catalog]bool{}
	for _, store := range slices.Concat(r.From, r.To) {
		if asked[store] {
			continue
		}
		asked[store] = true
		lies, err := store.Contents(ctx)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		r.lies[store] = lies
	}
	return faults
}

// answers says whether one of the stores could be listed.
func (r *run) answers(stores catalog.Stores) bool {
	return slices.ContainsFunc(stores, func(c *catalog.Catalog) bool { return r.lies[c] != nil })
}

// wanted is the archives that were named, or all, newest first.
func (r *run) wanted(ctx context.Context) (ids []catalog.ID, faults []error) {
	for _, name := range r.What {
		choice, err := r.From.Find(ctx, name, time.Time{})
		if err != nil {
			faults = append(faults, err)
			continue
		}
		for _, p := range choice.Passed {
			r.report.Warnings = append(r.report.Warnings, p.String())
			r.Log.Warn("archive passed over", "archive", p.ID, "err", p.Why)
		}
		ids = append(ids, choice.Manifest.ID)
	}
	if len(r.What) == 0 {
		for _, store := range r.From {
			for id, it := range r.lies[store] {
				if it.Manifest != nil {
					ids = append(ids, id)
				}
			}
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	slices.Reverse(ids)
	return ids, faults
}

// gap is an archive, and the stores that lack it, or its bytes.
type gap struct {
	id catalog.ID
	to catalog.Stores
}

// sources is the stores to read, without those that lack the bytes, unless all do.
func (g gap) sources(in []*catalog.Catalog) []*catalog.Catalog {
	others := slices.DeleteFunc(slices.Clone(in), func(c *catalog.Catalog) bool {
		return slices.ContainsFunc(g.to, func(to *catalog.Catalog) bool { return to.URL() == c.URL() })
	})
	if len(others) == 0 {
		return in
	}
	return others
}

// gaps is what is to be copied, newest first.
func (r *run) gaps(want []catalog.ID) (out []gap) {
	for _, id := range want {
		g := gap{id: id}
		for _, store := range r.To {
			if r.lies[store] != nil && !whole(r.lies[store][id]) {
				g.to = append(g.to, store)
			}
		}
		if g.to != nil {
			out = append(out, g)
		}
	}
	return out
}

func whole(it catalog.Item) bool { return it.Manifest != nil && len(it.Archives) > 0 }
