package prune

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/prune/plan"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// planned is one store: what lies there, what is to become of it, and what did.
type planned struct {
	*run
	store  catalog.Pruner
	plan   plan.Plan
	lies   map[catalog.ID]catalog.Item
	known  map[catalog.ID]catalog.Known
	failed map[catalog.ID]error // removals
	gone   map[catalog.ID]bool
	probes []bucket.Object
	ahead  time.Duration // our clock's, of the store's

	unfinished []bucket.Unfinished
	report     StoreReport
	err        error
}

// make lists, reads and plans. Nothing is changed but for a probe of the store's clock, which a dry
// run does not write.
func (p *planned) make(ctx context.Context) error {
	inventory, agree, err := p.list(ctx)
	if err != nil {
		return err
	}
	now, err := p.clock(ctx, inventory)
	if err != nil {
		return err
	}
	p.ahead = max(0, p.Now().Sub(now))
	known, err := p.read(ctx, inventory)
	if err != nil {
		return err
	}
	in := plan.Input{Archives: known, Policy: p.Policy, Only: p.Only, Now: p.Now(), StoreNow: now, ListsAgree: agree}
	if p.plan, err = plan.Make(in); err != nil {
		return err
	}
	if err := p.locks(ctx, &in); err != nil {
		return err
	}
	p.report.PlanHash = p.plan.Hash
	if err := p.garbage(ctx, inventory, now); err != nil {
		return err
	}
	return p.plan.Err()
}

// locks asks the store for the locks of what would go, and plans again where there are any: to ask
// for all would take a call for each archive.
func (p *planned) locks(ctx context.Context, in *plan.Input) error {
	locked := map[catalog.ID]time.Time{}
	for _, item := range p.plan.Archives {
		if item.Verdict != plan.Remove {
			continue
		}
		until, err := p.store.LockedUntil(ctx, p.lies[item.ID])
		if err != nil {
			return err
		}
		if !until.IsZero() {
			locked[item.ID] = until
		}
	}
	if len(locked) == 0 {
		return nil
	}
	for i := range in.Archives {
		in.Archives[i].LockedUntil = locked[in.Archives[i].ID]
	}
	var err error
	p.plan, err = plan.Make(*in)
	return err
}

// early is the time by the clock that is behind, ours or the store's: by that holds end.
func (p *planned) early() time.Time { return p.Now().Add(-p.ahead) }

// list takes stock; where caps decide, twice, since a list that misses the newest would make them
// cut an older one.
func (p *planned) list(ctx context.Context) (catalog.Inventory, bool, error) {
	first, err := p.store.Inventory(ctx)
	if err != nil || p.Policy.MaxCount == 0 && p.Policy.MaxBytes == 0 || len(p.Only) > 0 {
		return first, true, err
	}
	p.Log.Info("second list awaited", "store", p.report.URL, "reason", "--max-count and --max-bytes decide on two that agree")
	timer := time.NewTimer(p.Between)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return first, false, context.Cause(ctx)
	}
	second, err := p.store.Inventory(ctx)
	return second, slices.Equal(archives(first), archives(second)), err
}

func archives(inventory catalog.Inventory) (ids []catalog.ID) {
	for _, it := range inventory.Items {
		if it.Manifest != nil {
			ids = append(ids, it.ID)
		}
	}
	return ids
}

// clock is the store's time. A dry run goes by our own, unless something there is younger.
func (p *planned) clock(ctx context.Context, inventory catalog.Inventory) (time.Time, error) {
	if !p.DryRun {
		var b [4]byte
		if _, err := io.ReadFull(p.Random, b[:]); err != nil {
			return time.Time{}, fmt.Errorf("draw name: %w", err)
		}
		return p.store.Clock(ctx, hex.EncodeToString(b[:]))
	}
	now := p.Now()
	for _, it := range inventory.Items {
		if newest := it.Newest(); newest.After(now) {
			now = newest
		}
	}
	return now, nil
}

// read learns what the documents of each archive say, and keeps of a manifest what its removal asks
// for: 10,000 whole ones take 30 MB.
func (p *planned) read(ctx context.Context, inventory catalog.Inventory) (out []plan.Archive, err error) {
	p.lies, p.known = map[catalog.ID]catalog.Item{}, map[catalog.ID]catalog.Known{}
	p.failed, p.gone, p.probes = map[catalog.ID]error{}, map[catalog.ID]bool{}, inventory.Probes
	err = p.store.KnowAll(ctx, inventory.Items, p.early(), func(it catalog.Item, k catalog.Known) {
		out = append(out, archiveOf(it, k))
		k.Manifest = catalog.Manifest{SHA256: k.Manifest.SHA256}
		p.lies[it.ID], p.known[it.ID] = it, k
	})
	return out, err
}

// archiveOf is what the plan needs to know.
func archiveOf(it catalog.Item, k catalog.Known) plan.Archive {
	a := plan.Archive{ID: it.ID, Time: it.ID.Time(), Written: it.Manifest.ModTime, Bytes: it.Bytes(), Keys: -1,
		Stored: k.Stored, Content: k.Content, Accepted: k.Accepted, Trust: plan.Trusted}
	for _, h := range k.Holds {
		hold := plan.Hold{Reason: h.Reason}
		if h.Until != nil {
			hold.Until = *h.Until
		}
		a.Holds = append(a.Holds, hold)
	}
	m := k.Manifest
	switch {
	case errors.Is(k.Fault, catalog.ErrFormat):
		a.Trust = plan.Format
		return a
	case k.Fault != nil:
		a.Trust = plan.Unreadable
		return a
	case len(m.Suspect) > 0:
		a.Trust = plan.Suspect
	}
	a.Cluster, a.Time, a.Keys, a.Labels = m.Cluster.ID, m.Started, m.Snapshot.Keys, m.Labels
	a.Corrupt = slices.ContainsFunc(m.Alarms, isCorrupt)
	return a
}

// garbage names what belongs to no archive.
func (p *planned) garbage(ctx context.Context, inventory catalog.Inventory, now time.Time) (err error) {
	for _, it := range inventory.Items {
		if it.Garbage() {
			p.lies[it.ID] = it
			p.note(string(it.ID), "no manifest", it.Bytes(), it.Newest(), now)
		}
	}
	for _, obj := range inventory.Probes {
		p.note(obj.Key, "a probe", obj.Size, obj.ModTime, now)
	}
	if p.unfinished, err = p.store.Unfinished(ctx); err != nil {
		return err
	}
	for _, u := range p.unfinished {
		p.note(u.Key+" "+u.ID, "an upload that was never completed", 0, u.Since, now)
	}
	return nil
}

func (p *planned) note(name, what string, bytes int64, since, now time.Time) {
	g := Garbage{Name: name, What: what, Bytes: bytes, Since: since.UTC(), Result: jobs.Skipped}
	if now.Sub(since) >= p.GarbageAfter {
		g.Result = due
	}
	p.report.Garbage = append(p.report.Garbage, g)
}

// due is the result of garbage that is to be removed, until it was.
const due jobs.Result = "due"

// items is the plan as the report has it.
func (p *planned) items() []Item {
	var out []Item
	for _, item := range p.plan.Archives {
		it := Item{Item: item, Store: p.report.URL}
		switch err := p.failed[item.ID]; {
		case err != nil:
			it.Result, it.Error = jobs.Failed, jobs.OneLine(err)
		case p.gone[item.ID]:
			it.Result = jobs.OK
		}
		out = append(out, it)
	}
	return out
}
