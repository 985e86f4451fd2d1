package catalog

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// ahead is how many objects a LIST may be ahead of the others: two pages.
const ahead = 2000

// walk yields what lies in folders by id, oldest first, each item as soon as all LISTs, which run side
// by side, have passed its id: its documents can be read while they go on. Names that are not ours
// are left out. An error is the last thing that it yields.
func (c *Catalog) walk(ctx context.Context, folders ...string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		var wait sync.WaitGroup
		defer wait.Wait()
		defer stop()
		var lists []*listing
		for _, folder := range folders {
			l := &listing{found: make(chan found, ahead)}
			lists = append(lists, l)
			wait.Go(func() { c.feed(ctx, folder, l.found) })
		}
		for {
			it, err := nextItem(ctx, lists)
			if err != nil {
				yield(Item{}, err)
				return
			}
			if it.ID == "" || !yield(it, nil) {
				return
			}
		}
	}
}

// feed sends what a folder holds, and then how its LIST ended: without an id. It ends with ctx.
func (c *Catalog) feed(ctx context.Context, folder string, to chan<- found) {
	send := func(f found) bool {
		select {
		case to <- f:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for obj, err := range c.store.List(ctx, c.cluster+"/"+folder+"/") {
		if err != nil {
			send(found{err: fmt.Errorf("list %s of %q in %s: %w", folder, c.cluster, c.store.URL(), err)})
			return
		}
		if id := c.keys.parse(obj.Key); id != "" && !send(found{folder: folder, id: id, obj: obj}) {
			return
		}
	}
	send(found{})
}

// found is an object of an id, or the end of a LIST.
type found struct {
	folder string
	id     ID
	obj    bucket.Object
	err    error
}

// listing is one LIST under way, and the object that it stands at.
type listing struct {
	found  chan found
	at     found
	begun  bool
	passed bool // it has ended, well
}

// need makes it stand at an object, unless it has ended.
func (l *listing) need(ctx context.Context) error {
	if l.begun || l.passed {
		return nil
	}
	select {
	case l.at = <-l.found:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	l.begun, l.passed = l.at.id != "", l.at.id == ""
	return l.at.err
}

// nextItem takes the oldest id from all of them; "" after the last one.
func nextItem(ctx context.Context, lists []*listing) (Item, error) {
	var it Item
	for _, l := range lists {
		if err := l.need(ctx); err != nil {
			return it, err
		}
		if l.begun && (it.ID == "" || l.at.id < it.ID) {
			it.ID = l.at.id
		}
	}
	for _, l := range lists {
		for l.begun && l.at.id == it.ID {
			it.put(l.at.folder, l.at.obj)
			l.begun = false
			if err := l.need(ctx); err != nil {
				return it, err
			}
		}
	}
	return it, nil
}

// put adds an object, which lies in folder.
func (it *Item) put(folder string, obj bucket.Object) {
	switch folder {
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

// Collect is all items, newest first.
func Collect(items iter.Seq2[Item, error]) ([]Item, error) {
	var all []Item
	for it, err := range items {
		if err != nil {
			return nil, err
		}
		all = append(all, it)
	}
	slices.Reverse(all)
	return all, nil
}
