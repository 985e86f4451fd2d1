package copy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// damaged reports archives of which a store that is to have them has bytes that were cut or emptied, and
// returns what is wrong. They are not brought again: copy overwrites nothing, and deletes nothing.
func (r *run) damaged(ctx context.Context, want []catalog.ID) (faults []error) {
	for _, id := range want {
		for _, to := range r.To {
			if !r.differs(to, id) {
				continue
			}
			if err := r.wrongSize(ctx, to, id); err != nil {
				r.report.Archives = append(r.report.Archives, ArchiveReport{ID: id, To: to.URL(), Result: jobs.Failed, Error: jobs.OneLine(err)})
				r.Log.Warn("archive not copied", "archive", id, "store", to.URL(), "err", err)
				faults = append(faults, err)
			}
		}
	}
	return faults
}

// differs says whether the bytes in a store have another size than in one to be read. So manifests,
// which tell whose is right, need not all be read.
func (r *run) differs(to *catalog.Catalog, id catalog.ID) bool {
	it := r.lies[to][id]
	return whole(it) && slices.ContainsFunc(r.From, func(from *catalog.Catalog) bool {
		other := r.lies[from][id]
		return whole(other) && !slices.ContainsFunc(other.Archives, func(obj bucket.Object) bool { return it.Has(obj.Size) })
	})
}

// wrongSize is nil where the bytes have the size that their manifest promises, or a prune took them since.
func (r *run) wrongSize(ctx context.Context, store *catalog.Catalog, id catalog.ID) error {
	m, err := store.Manifest(ctx, id)
	it := r.lies[store][id]
	switch {
	case errors.Is(err, bucket.ErrNotExist):
		return nil
	case err != nil:
		return err
	case it.Has(m.Archive.Bytes):
		return nil
	}
	obj := it.Archives[0]
	return fmt.Errorf("archive %s in %s: object %s has %d bytes, its manifest says %d; copy overwrites nothing: remove that object, and copy brings it again: %w",
		id, store.URL(), obj.Key, obj.Size, m.Archive.Bytes, archive.ErrCorrupt)
}
