package catalog

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Failures reads the newest receipt of each item, several at a time, and returns those that tell of a
// failure. It is a mark and no proof: once the store does not answer no further one is read, and one
// that cannot be read tells nothing.
func (c *Catalog) Failures(ctx context.Context, items []Item) map[ID]Receipt {
	var mu sync.Mutex
	out := map[ID]Receipt{}
	work, reading := errgroup.WithContext(ctx)
	work.SetLimit(readers)
	for _, it := range items {
		if len(it.Receipts) == 0 {
			continue
		}
		work.Go(func() error {
			if reading.Err() != nil {
				return nil
			}
			r, err := c.receiptAt(reading, it.ID, it.Receipts[len(it.Receipts)-1].Key)
			if err == nil && !r.OK {
				mu.Lock()
				defer mu.Unlock()
				out[it.ID] = r
			}
			if isPassed(err) {
				return nil
			}
			return err
		})
	}
	_ = work.Wait() // see above
	return out
}
