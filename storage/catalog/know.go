package catalog

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// readers is how many archives' documents are read at a time.
const readers = 16

// KnowAll is Know of each item that has a manifest, several at a time, while the rest is still listed.
// It calls see for one after the other, in no order; what was removed since it was listed is left
// out. The first call that the store does not answer ends the reading, and is the error. The items
// come back newest first; nil: they could not be listed.
func (c *Catalog) KnowAll(ctx context.Context, items iter.Seq2[Item, error], see func(Item, Known)) ([]Item, error) {
	var mu sync.Mutex
	work, reading := errgroup.WithContext(ctx)
	listed := make(chan Item)
	for range readers { // that live on: each new one would grow its stack anew, which took 4 % of the time of 10,000
		work.Go(func() error {
			for it := range listed {
				k, err := c.Know(reading, it)
				if errors.Is(err, bucket.ErrNotExist) { // removed since it was listed
					continue
				}
				if err != nil {
					return err
				}
				mu.Lock()
				see(it, k)
				mu.Unlock()
			}
			return nil
		})
	}
	all, err := []Item{}, error(nil)
	for it, fault := range items {
		if err = fault; err != nil {
			all = nil
			break
		}
		all = append(all, it)
		if it.Manifest == nil {
			continue
		}
		select {
		case listed <- it:
		case <-reading.Done():
		}
	}
	close(listed)
	fault := work.Wait()
	slices.Reverse(all)
	return all, cmp.Or(context.Cause(ctx), err, fault)
}
