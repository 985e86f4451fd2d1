package verify

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// Subset is part N of Of of all archives, N from 1. An archive is always in the same part, so
// that Of runs see all. The zero value is everything.
type Subset struct{ N, Of int }

// has goes by the id's random digits.
func (s Subset) has(id catalog.ID) bool {
	if s.Of == 0 {
		return true
	}
	draw, err := strconv.ParseInt(string(id[len(id)-8:]), 16, 64)
	return err == nil && draw%int64(s.Of) == int64(s.N-1)
}

// promise fails unless an archive younger than MaxAge is verified at the run's level or better
// in some store.
func (r *run) promise(ctx context.Context) error {
	newest := time.Time{}
	for _, store := range r.Stores {
		at, err := r.newestVerified(ctx, store)
		if err != nil {
			return err
		}
		if at.After(newest) {
			newest = at
		}
	}
	switch age := r.Now().Sub(newest); {
	case newest.IsZero():
		return fmt.Errorf("no archive of %q is verified at level %s: %w", r.Cluster, r.Level, ErrTooOld)
	case age > r.MaxAge:
		return fmt.Errorf("newest archive of %q verified at level %s is %s old, promised were %s: %w", r.Cluster, r.Level, age.Round(time.Second), r.MaxAge, ErrTooOld)
	}
	return nil
}

// newestVerified is when the newest archive verified at the run's level was taken. The
// first that fits decides.
func (r *run) newestVerified(ctx context.Context, store *catalog.Catalog) (time.Time, error) {
	entries, err := store.List(ctx)
	if err != nil {
		return time.Time{}, err
	}
	for _, e := range entries {
		if e.Future() {
			continue
		}
		m, err := store.Manifest(ctx, e.ID)
		if errors.Is(err, catalog.ErrCorrupt) || errors.Is(err, catalog.ErrFormat) || err == nil && len(m.Suspect) > 0 {
			continue
		}
		if err != nil {
			return time.Time{}, err
		}
		level, _, err := store.Verified(ctx, m)
		if err != nil {
			return time.Time{}, err
		}
		if level.AtLeast(r.Level) {
			return m.Started, nil
		}
	}
	return time.Time{}, nil
}
