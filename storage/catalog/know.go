package catalog

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// readers is how many archives' documents are read at a time.
const readers = 16

// KnowAll is Know of each item that has a manifest, several at a time. It calls see for one after
// the other, in no order; what was removed since it was listed is left out. The first call that the
// store does not answer ends it.
func (c *Catalog) KnowAll(ctx context.Context, items []Item, now time.Time, see func(Item, Known)) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work := make(chan Item)
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range readers {
		wait.Go(func() {
			for it := range work {
				k, err := c.Know(ctx, it, now)
				mu.Lock()
				switch {
				case errors.Is(err, bucket.ErrNotExist): // removed since it was listed
				case err != nil:
					stop(err)
				default:
					see(it, k)
				}
				mu.Unlock()
			}
		})
	}
	for _, it := range items {
		if it.Manifest != nil && ctx.Err() == nil {
			work <- it
		}
	}
	close(work)
	wait.Wait()
	return context.Cause(ctx)
}
