package catalog

import (
	"context"
	"iter"
	"time"
)

// Names yields the archives, oldest first, as the names of their manifests, receipts and holds tell
// them. Nothing is read, and no other part of an Item is filled. An error is the last thing that it
// yields.
func (c *Catalog) Names(ctx context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for it, err := range c.walk(ctx, "manifests", "receipts", "holds") {
			if (err != nil || it.Manifest != nil) && !yield(it, err) {
				return
			}
		}
	}
}

// Whole is the ids of which both manifest and bytes are listed, manifests first: what is published
// meanwhile is missed, or whole. Where a manifest lies alone, somebody took the bytes away.
func (c *Catalog) Whole(ctx context.Context) (map[ID]bool, error) {
	archives, whole := map[ID]bool{}, map[ID]bool{}
	manifests, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	for it, err := range c.walk(ctx, "archives") {
		if err != nil {
			return nil, err
		}
		archives[it.ID] = true
	}
	for _, e := range manifests {
		if archives[e.ID] {
			whole[e.ID] = true
		}
	}
	return whole, nil
}

// Future is Entry.Future.
func (it Item) Future() bool { return Entry{ID: it.ID, Written: it.Manifest.ModTime}.Future() }

// Receipt is the deepest level for which a receipt lies there, and when the newest one of that level
// was written; "" where there is none. A name does not tell whether the verification succeeded.
func (it Item) Receipt() (deepest Level, at time.Time) {
	for _, obj := range it.Receipts {
		if level, when, ok := parseReceipt(obj.Key); ok && level.AtLeast(deepest) {
			deepest, at = level, when
		}
	}
	return deepest, at
}

// Held says whether the newest document about holds is another than a release. A hold that has ended
// by itself counts: its name does not tell.
func (it Item) Held() bool {
	if len(it.Holds) == 0 {
		return false
	}
	_, what, ok := parseNote(it.Holds[len(it.Holds)-1].Key)
	return !ok || what != releaseKind
}
