package catalog

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// Failures reads the newest receipt of each item that is for its manifest, several at a time, and returns
// those that tell of a failure: by what Know calls a finding. It is a mark and no proof: once the store
// does not answer no further one is read, and one that cannot be read tells nothing.
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
			r, err := c.newestReceipt(reading, it)
			if err == nil && r.Finding != "" {
				mu.Lock()
				defer mu.Unlock()
				out[it.ID] = r
			}
			return err
		})
	}
	_ = work.Wait() // see above
	return out
}

// newestReceipt is that for the manifest that lies there, or a zero one. The error is of a store that does
// not answer.
func (c *Catalog) newestReceipt(ctx context.Context, it Item) (Receipt, error) {
	m, err := c.Manifest(ctx, it.ID)
	if isPassed(err) || errors.Is(err, bucket.ErrNotExist) {
		return Receipt{}, nil
	}
	if err != nil {
		return Receipt{}, err
	}
	for _, obj := range slices.Backward(it.Receipts) {
		r, err := c.receiptAt(ctx, it.ID, obj.Key)
		switch {
		case isPassed(err), errors.Is(err, bucket.ErrNotExist): // counts for nothing
		case err != nil, r.ManifestSHA256 == m.SHA256:
			return r, err
		}
	}
	return Receipt{}, nil
}
