package verify

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
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

// promise looks in each store that was verified whether an archive younger than MaxAge is verified there
// at the run's level or better. The error comes where no store has one; a store that lags behind
// another is blamed, for it is the one that may be left.
func (r *run) promise(ctx context.Context) error {
	var late []error
	kept := 0
	for i, store := range r.Stores {
		s := &r.report.Stores[i]
		if s.Result == jobs.Failed { // told of already
			continue
		}
		if err := r.promised(ctx, store, s); err != nil {
			s.Result, s.Error = jobs.Failed, jobs.OneLine(err)
			late = append(late, err)
			continue
		}
		kept++
	}
	if kept == 0 || ctx.Err() != nil {
		return errors.Join(late...)
	}
	for _, err := range late {
		r.report.Blame(jobs.CauseStore, jobs.OneLine(err))
	}
	return nil
}

// promised fills in the newest verified archive of a store, and fails unless it is young enough.
func (r *run) promised(ctx context.Context, store *catalog.Catalog, s *StoreReport) error {
	m, err := r.newestVerified(ctx, store)
	if err != nil {
		return err
	}
	if m.ID == "" {
		return fmt.Errorf("no archive of %q is verified at level %s in %s: %w", r.Cluster, r.depth(), store.URL(), ErrTooOld)
	}
	age := r.Now().Sub(m.Started)
	s.NewestVerified, s.AgeSeconds = m.ID, int64(age.Seconds())
	if age > r.MaxAge {
		return fmt.Errorf("newest archive of %q verified at level %s in %s is %s old, promised were %s: %w", r.Cluster, r.depth(), store.URL(), age.Round(time.Second), r.MaxAge, ErrTooOld)
	}
	return nil
}

func (r *run) depth() string {
	if r.RequireIdentity {
		return string(r.Level) + " with a lasting key"
	}
	return string(r.Level)
}

// newestVerified is the newest archive that is verified at the run's level, or the zero one. The
// first that fits decides.
func (r *run) newestVerified(ctx context.Context, store *catalog.Catalog) (catalog.Manifest, error) {
	entries, err := store.List(ctx)
	if err != nil {
		return catalog.Manifest{}, err
	}
	for _, e := range entries {
		if e.Future(r.Now()) {
			continue
		}
		m, err := store.Manifest(ctx, e.ID)
		if errors.Is(err, catalog.ErrCorrupt) || errors.Is(err, catalog.ErrFormat) || err == nil && len(m.Suspect) > 0 {
			continue
		}
		if err != nil {
			return catalog.Manifest{}, err
		}
		level, key, err := store.Verified(ctx, m)
		if err != nil {
			return catalog.Manifest{}, err
		}
		if level.AtLeast(r.Level) && (!r.RequireIdentity || key == catalog.KeyIdentity || len(m.Recipients) == 0) {
			return m, nil
		}
	}
	return catalog.Manifest{}, nil
}
