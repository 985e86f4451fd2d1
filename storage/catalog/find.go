package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// ErrNone marks a search that found no archive fit to be chosen.
var ErrNone = errors.New("no archive fits")

// ErrInterleaved marks a store in which archives of two cluster ids alternate: two clusters
// write under one name, and "latest" would be either's.
var ErrInterleaved = errors.New("archives of two cluster ids interleave")

// window is how many of the newest manifests are looked at for interleaving cluster ids. A
// mix-up that was mended long ago shall not block for ever.
const window = 64

// Latest and LatestVerified are names that Find takes besides an id.
const (
	Latest         = "latest"
	LatestVerified = "latest-verified"
)

// Found is an archive that Find chose.
type Found struct {
	Manifest Manifest
	Passed   []Passed // newer archives that were passed over
}

// Passed is an archive that was not chosen, and why.
type Passed struct {
	ID  ID
	Why error
}

// String is what a person is told, who may think of another archive than was chosen.
func (p Passed) String() string { return fmt.Sprintf("archive %s was passed over: %s", p.ID, p.Why) }

// ErrPassed marks archives that are sound but never chosen by a search.
var ErrPassed = errors.New("not chosen by default")

// Find returns the archive that name means: an id, Latest, or LatestVerified (content level or
// better). The last two never choose one that is suspect, in the future of the store's clock or ours,
// later than asOf (zero: no bound), or unreadable, and fail with ErrInterleaved where two
// clusters write here. An id is taken at its word: the caller looks at Suspect.
func (c *Catalog) Find(ctx context.Context, name string, asOf time.Time) (Found, error) {
	if name != Latest && name != LatestVerified {
		return c.findID(ctx, name)
	}
	entries, err := c.List(ctx)
	if err != nil {
		return Found{}, err
	}
	var passed []Passed
	var recent []Manifest
	var found *Found
	var gone error
	for i, e := range entries {
		if !asOf.IsZero() && e.ID.Time().After(asOf) {
			continue // not what is asked for
		}
		if found != nil && i >= window {
			break
		}
		m, err := c.Manifest(ctx, e.ID)
		if err == nil {
			recent = append(recent, m)
		}
		if err == nil && found == nil {
			err = c.fit(ctx, e, m, name)
		}
		switch {
		case err == nil && found == nil:
			found = &Found{Manifest: m, Passed: passed}
		case err == nil:
		case errors.Is(err, bucket.ErrNotExist): // removed since it was listed
		case errors.Is(err, bucket.ErrVanished): // or before that
			gone = err
			if found == nil {
				passed = append(passed, Passed{ID: e.ID, Why: err})
			}
		case isPassed(err):
			passed = append(passed, Passed{ID: e.ID, Why: err})
		default:
			return Found{}, err
		}
	}
	if err := interleaved(recent); err != nil {
		return Found{}, fmt.Errorf("choose %s of %q in %s: %w", name, c.cluster, c.store.URL(), err)
	}
	if found == nil && gone != nil { // perhaps none may be read
		return Found{Passed: passed}, gone
	}
	if found == nil {
		err := fmt.Errorf("choose %s of %q in %s, %d archives: %w", name, c.cluster, c.store.URL(), len(entries), ErrNone)
		if len(passed) > 0 {
			err = fmt.Errorf("%w: the newest, %s: %v", err, passed[0].ID, passed[0].Why) //nolint:errorlint // why one was passed is not why none fits
		}
		return Found{Passed: passed}, err
	}
	return *found, nil
}

// Foreign is the id of the cluster whose archive is the newest, where that is not id, or "". Mixed
// says that archives of id lie before it: two clusters write under one name.
func (c *Catalog) Foreign(ctx context.Context, id string) (other string, mixed bool, err error) {
	entries, err := c.List(ctx)
	if err != nil {
		return "", false, err
	}
	for _, e := range entries[:min(len(entries), window)] {
		m, err := c.Manifest(ctx, e.ID)
		switch {
		case err != nil: // damaged, or gone: a finding of others
		case m.Cluster.ID == id:
			return other, other != "", nil
		case other == "":
			other = m.Cluster.ID
		}
	}
	return other, false, nil
}

// isPassed tells an archive that a search passes over from a store that does not answer.
func isPassed(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrFormat) || errors.Is(err, ErrPassed)
}

func (c *Catalog) findID(ctx context.Context, name string) (Found, error) {
	id, err := ParseID(name)
	if err != nil {
		return Found{}, err
	}
	m, err := c.Manifest(ctx, id)
	if err != nil {
		return Found{}, err
	}
	return Found{Manifest: m}, nil
}

// fit is nil where the archive may be chosen, and why not otherwise.
func (c *Catalog) fit(ctx context.Context, e Entry, m Manifest, name string) error {
	switch {
	case e.Future(time.Time{}):
		return fmt.Errorf("in the future of the store's clock: %w", ErrPassed)
	case c.Now != nil && e.Future(c.Now()):
		return fmt.Errorf("in the future of our own clock, %s: %w", c.Now().UTC().Format(time.RFC3339), ErrPassed)
	case len(m.Suspect) > 0:
		return fmt.Errorf("suspect, %s: %w", m.Suspect[0], ErrPassed)
	case name == Latest:
		return nil
	}
	level, _, err := c.Verified(ctx, m)
	if err != nil {
		return err
	}
	if !level.AtLeast(Content) {
		return fmt.Errorf("not verified at level content: %w", ErrPassed)
	}
	return nil
}

// interleaved looks for a cluster id that comes back after another one. Manifests are in
// order of time, either way round.
func interleaved(manifests []Manifest) error {
	left := map[string]bool{}
	for i, m := range manifests {
		if i > 0 && manifests[i-1].Cluster.ID != m.Cluster.ID {
			left[manifests[i-1].Cluster.ID] = true
		}
		if left[m.Cluster.ID] {
			return fmt.Errorf("%s and %s: %w", m.Cluster.ID, manifests[i-1].Cluster.ID, ErrInterleaved)
		}
	}
	return nil
}
