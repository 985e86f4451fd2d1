package prune

import (
	"context"
	"errors"
	"strings"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/prune/plan"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// isCorrupt knows etcd's alarm by the text of its message, which manifests hold as it was told.
func isCorrupt(alarm string) bool { return strings.Contains(alarm, "alarm:CORRUPT") }

// apply removes what the plan says, and garbage. Every archive is tried.
func (p *planned) apply(ctx context.Context) error {
	ids, err := p.plan.Removals()
	if err != nil {
		return err
	}
	p.Log.Debug("removal begun", "store", p.report.URL)
	p.report.Hidden = p.store.Versioned(ctx)
	faults := p.extend(ctx)
	for _, id := range ids {
		if ctx.Err() != nil {
			return errors.Join(append(faults, context.Cause(ctx))...)
		}
		if err := p.remove(ctx, id); err != nil {
			faults = append(faults, err)
		}
	}
	p.Log.Debug("archives removed", "store", p.report.URL)
	for i := range p.report.Garbage {
		if g := &p.report.Garbage[i]; g.Result == due && ctx.Err() == nil {
			if err := p.clean(ctx, g); err != nil {
				faults = append(faults, err)
			}
		}
	}
	return errors.Join(faults...)
}

// extend lengthens the lock of what stays.
func (p *planned) extend(ctx context.Context) (faults []error) {
	if p.ExtendLocks == 0 {
		return nil
	}
	for _, item := range p.plan.Archives {
		if item.Verdict != plan.Keep || ctx.Err() != nil {
			continue
		}
		if err := p.store.Lock(ctx, p.lies[item.ID], p.Now().Add(p.ExtendLocks)); err != nil {
			faults = append(faults, err)
			if errors.Is(err, bucket.ErrNoLock) {
				return faults
			}
			continue
		}
		p.report.Extended++
	}
	return faults
}

// remove removes one archive. One that somebody holds by now stays, and is no fault.
func (p *planned) remove(ctx context.Context, id catalog.ID) error {
	log := p.Log.With("archive", id, "store", p.report.URL)
	bytes, err := p.store.Remove(ctx, p.lies[id], p.sha256[id], p.saidElsewhere(ctx, id), p.early(), func() { log.Debug("manifest removed") })
	p.report.Bytes += bytes
	switch {
	case errors.Is(err, catalog.ErrHeld), errors.Is(err, catalog.ErrChanged):
		p.failed[id] = err
		p.run.report.Warnings = append(p.run.report.Warnings, jobs.OneLine(err))
		log.Warn("archive kept", "err", err)
		return nil
	case err != nil:
		p.failed[id] = err
		log.Warn("archive not removed", "err", err)
		return err
	}
	p.gone[id] = true
	p.report.Removed++
	log.Info("archive removed", "bytes", bytes, "reason", p.Reason)
	return nil
}

// clean removes one piece of garbage.
func (p *planned) clean(ctx context.Context, g *Garbage) error {
	bytes, err := p.cleanOne(ctx, g.Name)
	p.report.Bytes += bytes
	if errors.Is(err, catalog.ErrChanged) || errors.Is(err, catalog.ErrHeld) {
		g.Result, g.Error = jobs.Skipped, jobs.OneLine(err)
		return nil
	}
	g.Result = jobs.OK
	if err != nil {
		g.Result, g.Error = jobs.Failed, jobs.OneLine(err)
		return err
	}
	p.Log.Info("garbage removed", "store", p.report.URL, "bytes", bytes, "reason", g.What)
	return nil
}

func (p *planned) cleanOne(ctx context.Context, name string) (int64, error) {
	if id, err := catalog.ParseID(name); err == nil {
		return p.store.Garbage(ctx, p.lies[id], p.early())
	}
	for _, u := range p.unfinished {
		if u.Key+" "+u.ID == name {
			return 0, p.store.Abort(ctx, u)
		}
	}
	for _, obj := range p.probes {
		if obj.Key == name {
			return obj.Size, p.store.RemoveProbe(ctx, obj)
		}
	}
	return 0, nil
}
