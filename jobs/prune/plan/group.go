package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// unverified is why an archive took no slot of a rule.
const unverified = "not counted: unverified"

// group is the archives of one cluster id that the policy decides on, newest first.
type group struct {
	cluster   string
	entries   []*entry
	first     time.Time // of its first trusted archive, decided on or not
	heldUntil time.Time // zero: no later cluster id is there
}

// groups are ordered by their first archives, so that each is followed by the next cluster id.
func (d *decision) groups() []*group {
	by := map[string]*group{}
	var out []*group
	for _, e := range d.entries {
		if e.trust != Trusted {
			continue
		}
		g := by[e.Cluster]
		if g == nil {
			g = &group{cluster: e.Cluster}
			by[e.Cluster] = g
			out = append(out, g)
		}
		g.first = e.Time
		if e.decided {
			g.entries = append(g.entries, e)
		}
	}
	slices.SortFunc(out, func(a, b *group) int {
		return cmp.Or(a.first.Compare(b.first), cmp.Compare(a.cluster, b.cluster))
	})
	for i := range out[:max(0, len(out)-1)] {
		out[i].heldUntil = out[i+1].first.Add(d.Policy.PreviousClusterHold)
	}
	return out
}

// decide notes all that keeps an archive of g.
func (d *decision) decide(g *group) {
	if len(g.entries) == 0 {
		return
	}
	g.entries[0].bind("newest")
	d.verified(g)
	d.opened(g)
	d.count(g, d.Policy.floor, (*entry).bind)
	if len(d.Only) > 0 {
		return
	}
	if d.Policy.hasRule() {
		d.count(g, d.Policy.apply, (*entry).keep)
	}
	for _, e := range g.entries {
		if d.early.Before(g.heldUntil) {
			e.bind("previous cluster " + g.cluster + ", left alone until " + stamp(g.heldUntil))
		}
		if d.young(e.Stored) || d.young(e.Content) || d.young(e.Opened) {
			e.young = true
			e.note("receipt younger than " + span(settling))
		}
		switch {
		case !d.Policy.hasRule():
			e.keep("no rule is set")
		case !e.kept && !e.young:
			e.note("no rule keeps it")
		}
	}
}

// verified keeps the newest archive at level content, or else the newest at level stored.
// Receipts that have not settled do not take the mark from an older archive.
func (d *decision) verified(g *group) {
	content := slices.IndexFunc(g.entries, func(e *entry) bool { return d.settled(e.Content) })
	if content >= 0 {
		g.entries[content].bind("newest verified")
		return
	}
	stored := slices.IndexFunc(g.entries, func(e *entry) bool { return d.counts(e, catalog.Stored) })
	if stored >= 0 {
		g.entries[stored].bind("newest verified")
	}
	switch {
	case slices.ContainsFunc(g.entries, func(e *entry) bool { return d.young(e.Content) }):
	case stored >= 0:
		d.warn("cluster id %s: no archive is verified at level content; %s is the newest at level stored", g.cluster, g.entries[stored].ID)
	default:
		d.warn("cluster id %s: no archive is verified", g.cluster)
	}
}

// opened keeps the newest archive that a lasting key opened: where the recipients are wrong, every later
// one is verified by the key of its own run alone.
func (d *decision) opened(g *group) {
	opened := slices.IndexFunc(g.entries, func(e *entry) bool { return d.settled(e.Opened) })
	content := slices.IndexFunc(g.entries, func(e *entry) bool { return !e.Content.IsZero() })
	switch {
	case opened >= 0 && slices.Contains(g.entries[opened].reasons, "newest verified"):
	case opened >= 0:
		g.entries[opened].bind("newest opened by a lasting key")
	case content >= 0 && !slices.ContainsFunc(g.entries, func(e *entry) bool { return !e.Opened.IsZero() }):
		d.warn("cluster id %s: no archive was ever opened by a lasting key; %s is verified by its own run's key alone: verify it with an identity", g.cluster, g.entries[content].ID)
	}
}

// count applies keep rules twice: to the archives that count, and for the others to all of
// them, as if they counted.
func (d *decision) count(g *group, rules func([]*entry, func(*entry, string)), keep func(*entry, string)) {
	if d.Policy.countsAll() {
		rules(g.entries, keep)
		return
	}
	var counted []*entry
	for _, e := range g.entries {
		switch {
		case d.counts(e, d.Policy.CountLevel):
			counted = append(counted, e)
		case !d.young(e.Stored) && !d.young(e.Content):
			e.note(unverified)
		}
	}
	rules(counted, keep)
	rules(g.entries, func(e *entry, reason string) {
		if !d.counts(e, d.Policy.CountLevel) {
			keep(e, reason+" if counted")
		}
	})
}

// counts says whether e is settled at level.
func (d *decision) counts(e *entry, level catalog.Level) bool {
	return d.settled(e.Content) || level == catalog.Stored && d.settled(e.Stored)
}

// settled says whether a receipt is old enough to release another archive: other prunes may not
// see it yet.
func (d *decision) settled(receipt time.Time) bool {
	return !receipt.IsZero() && d.early.Sub(receipt) >= settling
}

func (d *decision) young(receipt time.Time) bool { return !receipt.IsZero() && !d.settled(receipt) }
