package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// Index is the archives, newest first, as the names of their manifests, receipts and holds tell
// them: three LISTs, side by side. Nothing is read, and no other part of an Item is filled.
func (c *Catalog) Index(ctx context.Context) ([]Item, error) {
	folders := []string{"manifests", "receipts", "holds"}
	objects, faults := make([][]bucket.Object, len(folders)), make([]error, len(folders))
	var wait sync.WaitGroup
	for i, folder := range folders {
		wait.Go(func() { objects[i], faults[i] = c.folder(ctx, folder) })
	}
	wait.Wait()
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	all := shelf{}
	for _, obj := range slices.Concat(objects...) {
		if folder, id := c.keys.parse(obj.Key); id != "" {
			all.put(folder, id, obj)
		}
	}
	return slices.DeleteFunc(all.items(), func(it Item) bool { return it.Manifest == nil }), nil
}

// Whole is the ids of which both manifest and bytes are listed, manifests first: what is published
// meanwhile is missed, or whole. Where a manifest lies alone, somebody took the bytes away.
func (c *Catalog) Whole(ctx context.Context) (map[ID]bool, error) {
	archives, whole := map[ID]bool{}, map[ID]bool{}
	manifests, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	objects, err := c.folder(ctx, "archives")
	if err != nil {
		return nil, err
	}
	for _, obj := range objects {
		_, id := c.keys.parse(obj.Key)
		archives[id] = true
	}
	for _, e := range manifests {
		if archives[e.ID] {
			whole[e.ID] = true
		}
	}
	return whole, nil
}

func (c *Catalog) folder(ctx context.Context, name string) (out []bucket.Object, err error) {
	for obj, err := range c.store.List(ctx, c.cluster+"/"+name+"/") {
		if err != nil {
			return nil, fmt.Errorf("list %s of %q in %s: %w", name, c.cluster, c.store.URL(), err)
		}
		out = append(out, obj)
	}
	return out, nil
}

// shelf is items by id.
type shelf map[ID]*Item

// put adds an object to its item, as keys.parse took its name apart.
func (s shelf) put(folder string, id ID, obj bucket.Object) {
	if s[id] == nil {
		s[id] = &Item{ID: id}
	}
	switch it := s[id]; folder {
	case "manifests":
		it.Manifest = &obj
	case "archives":
		it.Archives = append(it.Archives, obj)
	case "receipts":
		it.Receipts = append(it.Receipts, obj)
	case "holds":
		it.Holds = append(it.Holds, obj)
	case "accepts":
		it.Accept = &obj
	}
}

// items are all, newest first.
func (s shelf) items() []Item {
	var out []Item
	for _, it := range s {
		out = append(out, *it)
	}
	slices.SortFunc(out, func(a, b Item) int { return strings.Compare(string(b.ID), string(a.ID)) })
	return out
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
