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
	store    catalog.Pruner
	there    []catalog.Item // all that lies there, until there is a plan
	archives []plan.Archive // those of them that are, without holds
	said     map[catalog.ID][]catalog.Hold
	silent   bool          // it does not answer, so what is said there may be more
	first    []catalog.ID  // an earlier LIST, where caps decide
	asked    time.Time     // our clock, when the store's was asked
	now      time.Time     // the store's clock then
	later    bool          // than now, for all that is known
	ahead    time.Duration // our clock's, of the store's
	plan     plan.Plan
	lies     map[catalog.ID]catalog.Item
	sha256   map[catalog.ID]string // of their manifests
	failed   map[catalog.ID]error  // removals
	gone     map[catalog.ID]bool
	probes   []bucket.Object

	unfinished []bucket.Unfinished
	report     StoreReport
	err        error
}

// look lists and reads. Nothing is changed but for a probe of the store's clock, which a dry run does
// not write.
func (p *planned) look(ctx context.Context) (err error) {
	p.silent = true
	if p.first, err = p.listBefore(ctx); err != nil {
		return err
	}
	if err := p.read(ctx); err != nil {
		return err
	}
	p.silent = false
	p.asked = p.Now()
	if p.now = p.asked; p.isEmpty() { // and stays so: no probe
		return nil
	}
	if p.now, p.later, err = p.clock(ctx); err != nil {
		return err
	}
	p.ahead = max(0, p.asked.Sub(p.now))
	return nil
}

// make plans, once all stores were looked at: a hold in one of them holds in all.
func (p *planned) make(ctx context.Context) (err error) {
	if p.ExtendLocks > 0 && !p.store.Locks() {
		return fmt.Errorf("--extend-locks in %s: %w", p.report.URL, bucket.ErrNoLock)
	}
	for i := range p.archives {
		p.archives[i].Holds = p.holds(p.archives[i].ID)
	}
	in := plan.Input{Archives: p.archives, Policy: p.Policy, Only: p.Only, Now: p.asked, StoreNow: p.now, StoreIsLater: p.later,
		ListsAgree: p.first == nil || slices.Equal(p.first, archives(p.there))}
	if p.plan, err = plan.Make(in); err != nil {
		return err
	}
	if err := p.locks(ctx, &in); err != nil {
		return err
	}
	p.report.PlanHash = p.plan.Hash
	if err := p.garbage(ctx, p.there, p.now); err != nil {
		return err
	}
	p.there, p.archives = nil, nil
	return p.plan.Err()
}

// locks asks the store for the locks of what would go, and plans again where there are any: to ask
// for all would take a call for each archive.
func (p *planned) locks(ctx context.Context, in *plan.Input) error {
	var going []catalog.Item
	for _, item := range p.plan.Archives {
		if item.Verdict == plan.Remove {
			going = append(going, p.lies[item.ID])
		}
	}
	locked, err := p.store.LocksOf(ctx, going)
	if err != nil {
		return err
	}
	if len(locked) == 0 {
		return nil
	}
	for i := range in.Archives {
		in.Archives[i].LockedUntil = locked[in.Archives[i].ID]
	}
	p.plan, err = plan.Make(*in)
	return err
}

// early is the time by the clock that is behind, ours or the store's: by that holds end.
func (p *planned) early() time.Time { return p.Now().Add(-p.ahead) }

// listBefore is the archives by a LIST of its own, a while before the one that is read, where caps
// decide: a list that misses the newest would make them cut an older one. Else nil.
func (p *planned) listBefore(ctx context.Context) ([]catalog.ID, error) {
	if p.Policy.MaxCount == 0 && p.Policy.MaxBytes == 0 || len(p.Only) > 0 {
		return nil, nil
	}
	items, err := catalog.Collect(p.store.Names(ctx))
	if err != nil {
		return nil, err
	}
	p.Log.Info("second list awaited", "store", p.report.URL, "reason", "--max-count and --max-bytes decide on two that agree")
	timer := time.NewTimer(p.Between)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return archives(items), nil
}

// archives is never nil.
func archives(items []catalog.Item) []catalog.ID {
	ids := []catalog.ID{}
	for _, it := range items {
		if it.Manifest != nil {
			ids = append(ids, it.ID)
		}
	}
	return ids
}

// clock is the store's time. A dry run goes by our own, and warns of what is younger there. Where the
// store takes no probe, which would keep whoever must free a full one from doing so, it is the time of
// the youngest that lies there, and later says so: by that, no age is told as greater than it is.
func (p *planned) clock(ctx context.Context) (now time.Time, later bool, err error) {
	if p.DryRun {
		p.warnOfYounger()
		return p.asked, false, nil
	}
	var b [4]byte
	if _, err := io.ReadFull(p.Random, b[:]); err != nil {
		return now, false, fmt.Errorf("draw name: %w", err)
	}
	now, err = p.store.Clock(ctx, hex.EncodeToString(b[:]))
	if errors.Is(err, catalog.ErrUnwritable) {
		now = latest(time.Time{}, p.there)
		p.run.report.Warnings = append(p.run.report.Warnings, fmt.Sprintf("%s; ages were told as of its youngest object, %s", jobs.OneLine(err), now.UTC().Format(time.RFC3339)))
		p.Log.Warn("store's clock not asked", "store", p.report.URL, "err", err)
		return now, true, nil
	}
	return now, false, err
}

// warnOfYounger tells of objects that are ahead of our clock. Whether the store's clock is so still only a
// write would tell.
func (p *planned) warnOfYounger() {
	if newest := latest(p.asked, p.there); newest.Sub(p.asked) > plan.MaxSkew {
		p.run.report.Warnings = append(p.run.report.Warnings, fmt.Sprintf("%s: its youngest object is of %s, ahead of our clock: if the store's clock is so still, a real run will be refused", p.report.URL, newest.UTC().Format(time.RFC3339)))
	}
}

// latest is now, or when the store took the youngest of what lies there.
func latest(now time.Time, items []catalog.Item) time.Time {
	for _, it := range items {
		if newest := it.Newest(); newest.After(now) {
			now = newest
		}
	}
	return now
}

// read lists all, and learns what the documents of each archive say. Of a manifest it keeps what its
// removal asks for: 10,000 whole ones take 30 MB.
func (p *planned) read(ctx context.Context) (err error) {
	p.lies, p.sha256 = map[catalog.ID]catalog.Item{}, map[catalog.ID]string{}
	p.failed, p.gone = map[catalog.ID]error{}, map[catalog.ID]bool{}
	p.said = map[catalog.ID][]catalog.Hold{}
	p.there, err = p.store.KnowAll(ctx, p.store.Everything(ctx), func(it catalog.Item, k catalog.Known) {
		p.archives = append(p.archives, archiveOf(it, k))
		if len(k.Said) > 0 {
			p.said[it.ID] = k.Said
		}
		p.lies[it.ID], p.sha256[it.ID] = it, k.Manifest.SHA256
	})
	if err != nil {
		return err
	}
	if err := p.readHoldsAlone(ctx); err != nil {
		return err
	}
	if p.probes, err = p.store.Probes(ctx); err != nil {
		return err
	}
	p.unfinished, err = p.store.Unfinished(ctx)
	return err
}

// isEmpty says whether nothing at all lies there: the cluster's name may be misspelt.
func (p *planned) isEmpty() bool { return len(p.there)+len(p.probes)+len(p.unfinished) == 0 }

// archiveOf is what the plan needs to know, but for holds.
func archiveOf(it catalog.Item, k catalog.Known) plan.Archive {
	a := plan.Archive{ID: it.ID, Time: it.ID.Time(), Written: it.Manifest.ModTime, Bytes: it.Bytes(), Keys: -1,
		Stored: k.Stored, Content: k.Content, Opened: k.Opened, Accepted: k.Accepted, Trust: plan.Trusted}
	m := k.Manifest
	switch {
	case errors.Is(k.Fault, catalog.ErrFormat):
		a.Trust = plan.Format
		return a
	case errors.Is(k.Fault, catalog.ErrElsewhere):
		a.Trust = plan.Elsewhere
		return a
	case k.Fault != nil:
		a.Trust = plan.Unreadable
		return a
	case len(m.Suspect) > 0:
		a.Trust = plan.Suspect
	case len(it.Archives) == 0:
		a.Trust = plan.Missing
	case !it.Has(m.Archive.Bytes):
		a.Trust = plan.Cut
	case k.Finding != "":
		a.Trust = plan.Failed
	}
	a.Cluster, a.Time, a.Keys, a.Labels = m.Cluster.ID, m.Started, m.Snapshot.Keys, m.Labels
	a.Corrupt = slices.ContainsFunc(m.Alarms, isCorrupt)
	return a
}

// garbage names what belongs to no archive. Where more archives lie without a manifest than with one,
// manifests were lost, and nothing goes: the error wraps plan.ErrTooMany. MaxRemoved -1 lifts that.
func (p *planned) garbage(ctx context.Context, items []catalog.Item, now time.Time) (err error) {
	for _, it := range items {
		if it.Garbage() {
			p.lies[it.ID] = it
			p.note(string(it.ID), "no manifest", it.Bytes(), it.Newest(), now)
		}
	}
	if err := p.notLost(ctx, items, now); err != nil {
		return err
	}
	for _, obj := range p.probes {
		p.note(obj.Key, "a probe", obj.Size, obj.ModTime, now)
	}
	for _, u := range p.unfinished {
		p.note(u.Key+" "+u.ID, "an upload that was never completed", 0, u.Since, now)
	}
	return nil
}

// notLost looks whether manifests were lost. A second look settles it: another prune's removals may
// have come between the first one's LISTs.
func (p *planned) notLost(ctx context.Context, items []catalog.Item, now time.Time) error {
	lost, listed := p.withoutManifest(items, now)
	if lost <= listed || p.Policy.MaxRemoved < 0 {
		return nil
	}
	items, err := catalog.Collect(p.store.Everything(ctx))
	if err != nil {
		return err
	}
	if lost, listed = p.withoutManifest(items, now); lost <= listed {
		return nil
	}
	return fmt.Errorf("%s: bytes of %d archives lie without a manifest, and %d archives have one: were manifests lost? --max-removed -1 removes them: %w", p.report.URL, lost, listed, plan.ErrTooMany)
}

// withoutManifest counts whose bytes would go as garbage, and the archives.
func (p *planned) withoutManifest(items []catalog.Item, now time.Time) (lost, listed int) {
	for _, it := range items {
		switch {
		case it.Manifest != nil:
			listed++
		case len(it.Archives) > 0 && now.Sub(it.Newest()) >= p.GarbageAfter:
			lost++
		}
	}
	return lost, listed
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
