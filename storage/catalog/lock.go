package catalog

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// LockedUntil is until when the store refuses to remove an archive: the later of its manifest's and
// its bytes'. Zero: it does not.
func (c *Catalog) LockedUntil(ctx context.Context, it Item) (latest time.Time, err error) {
	for _, obj := range it.locked() {
		until, err := c.store.LockedUntil(ctx, obj.Key)
		if err != nil {
			return latest, fmt.Errorf("archive %s in %s: %w", it.ID, c.store.URL(), err)
		}
		if until.After(latest) {
			latest = until
		}
	}
	return latest, nil
}

// LocksOf is LockedUntil of each item, where the store refuses at all.
func (c *Catalog) LocksOf(ctx context.Context, items []Item) (map[ID]time.Time, error) {
	locked := map[ID]time.Time{}
	var mu sync.Mutex
	work, asking := errgroup.WithContext(ctx)
	work.SetLimit(readers)
	for _, it := range items {
		work.Go(func() error {
			until, err := c.LockedUntil(asking, it)
			if err == nil && !until.IsZero() {
				mu.Lock()
				defer mu.Unlock()
				locked[it.ID] = until
			}
			return err
		})
	}
	err := work.Wait()
	return locked, cmp.Or(context.Cause(ctx), err)
}

// Locks says whether the kind of store can lock at all.
func (c *Catalog) Locks() bool { return c.store.Locks() }

// Lock makes the store refuse to remove an archive until then. The error wraps bucket.ErrNoLock.
func (c *Catalog) Lock(ctx context.Context, it Item, until time.Time) error {
	for _, obj := range it.locked() {
		if err := c.store.Lock(ctx, obj.Key, until); err != nil {
			return fmt.Errorf("archive %s in %s: %w", it.ID, c.store.URL(), err)
		}
	}
	return nil
}

// locked is what is locked of an archive.
func (it Item) locked() []bucket.Object {
	if it.Manifest == nil {
		return it.Archives
	}
	return append([]bucket.Object{*it.Manifest}, it.Archives...)
}

// Versioned says whether removals only hide.
func (c *Catalog) Versioned(ctx context.Context) bool { return c.store.Versioned(ctx) }

// Unfinished are uploads of this cluster's objects that were never completed.
func (c *Catalog) Unfinished(ctx context.Context) ([]bucket.Unfinished, error) {
	return c.store.Unfinished(ctx, c.cluster+"/")
}

// Abort gives up an unfinished upload.
func (p Pruner) Abort(ctx context.Context, u bucket.Unfinished) error { return p.remover.Abort(ctx, u) }
