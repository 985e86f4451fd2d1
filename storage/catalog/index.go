package catalog

import (
	"context"
	"iter"
	"path"
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

// Contents is what lies under each id, but for receipts. Manifests are listed first: what is published
// meanwhile is missed, or whole. Where a manifest lies alone, somebody took the bytes away.
func (c *Catalog) Contents(ctx context.Context) (map[ID]Item, error) {
	all := map[ID]Item{}
	for _, folders := range [][]string{{"manifests"}, {"archives", "holds", "accepts"}} {
		for it, err := range c.walk(ctx, folders...) {
			if err != nil {
				return nil, err
			}
			if m := all[it.ID].Manifest; m != nil {
				it.Manifest = m
			}
			all[it.ID] = it
		}
	}
	return all, nil
}

// Future is Entry.Future.
func (it Item) Future(now time.Time) bool {
	return Entry{ID: it.ID, Written: it.Manifest.ModTime}.Future(now)
}

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

// Said is Catalog.Said by names alone, in the store of URL in: reasons and ends are not known, so a
// hold that has ended by itself lasts.
func (it Item) Said(in string) (out []Hold) {
	for _, obj := range it.Holds {
		h := Hold{Archive: it.ID, Kind: holdKind, In: in, name: path.Base(obj.Key)}
		if _, what, ok := parseNote(obj.Key); ok && what == releaseKind {
			h.Kind = releaseKind
		}
		out = append(out, h)
	}
	return out
}
