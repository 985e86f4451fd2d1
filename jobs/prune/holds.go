package prune

import (
	"context"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/prune/plan"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// readHoldsAlone reads holds of what is no archive here: it may be one in another store.
func (p *planned) readHoldsAlone(ctx context.Context) error {
	for _, it := range p.there {
		if it.Manifest != nil || len(it.Holds) == 0 || len(p.Stores) < 2 {
			continue
		}
		said, err := p.store.Said(ctx, it.ID)
		if err != nil {
			return err
		}
		p.said[it.ID] = said
	}
	return nil
}

// holds is those of an archive that last, by what is said in all stores.
func (p *planned) holds(id catalog.ID) (out []plan.Hold) {
	var said []catalog.Hold
	for _, o := range p.plans {
		said = append(said, o.said[id]...)
	}
	for _, h := range catalog.Lasting(said, p.early()) {
		hold := plan.Hold{Reason: h.Reason}
		if h.Until != nil {
			hold.Until = *h.Until
		}
		out = append(out, hold)
	}
	return out
}

// saidElsewhere is what the other stores say of holds by now, and what all said when they were read:
// whoever says a thing twice says it once. One that does not answer any more is not asked again.
func (p *planned) saidElsewhere(ctx context.Context, id catalog.ID) (out []catalog.Hold) {
	for _, o := range p.plans {
		out = append(out, o.said[id]...)
		if o == p || o.silent {
			continue
		}
		said, err := o.store.Said(ctx, id)
		if err != nil && ctx.Err() == nil {
			o.silent = true
			p.run.report.Blame(jobs.CauseStore, jobs.OneLine(err))
			p.Log.Warn("holds not read again", "store", o.report.URL, "err", err)
		}
		out = append(out, said...)
	}
	return out
}
