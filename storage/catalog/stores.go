package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// Stores is one cluster's archives over several stores, the one to be read first in front.
type Stores []*Catalog

// Choice is an archive that Stores.Find chose, and where it lies.
type Choice struct {
	Found
	In []*Catalog // whose manifest of it is the same, in the order to be read
	// Faults of stores that did not answer, or hold another manifest under the archive's id.
	Faults map[*Catalog]error
}

// Find is Catalog.Find over all stores that answer: the newest archive that any of them gives. The
// error is ErrInterleaved as soon as one store says so; else, where none finds one, all that they
// said.
func (s Stores) Find(ctx context.Context, name string, asOf time.Time) (Choice, error) {
	choice := Choice{Faults: map[*Catalog]error{}}
	var said []error
	for _, c := range s {
		found, err := c.Find(ctx, name, asOf)
		choice.Passed = append(choice.Passed, found.Passed...)
		switch {
		case errors.Is(err, ErrInterleaved) || ctx.Err() != nil:
			return Choice{}, err
		case err == nil && (choice.In == nil || found.Manifest.ID > choice.Manifest.ID):
			choice.Manifest, choice.In = found.Manifest, []*Catalog{c}
		case err == nil:
		case errors.Is(err, ErrNone), errors.Is(err, bucket.ErrNotExist):
			said = append(said, err)
		default:
			said = append(said, err)
			choice.Faults[c] = err
		}
	}
	if choice.In == nil {
		return choice, errors.Join(said...)
	}
	choice.Passed = newer(choice.Passed, choice.Manifest.ID)
	return choice, choice.complete(ctx, s)
}

// newer is what was passed over beside the chosen one, each once, however many stores have it: what is older
// would not have been chosen.
func newer(passed []Passed, chosen ID) (out []Passed) {
	for _, p := range passed {
		if p.ID > chosen && !slices.ContainsFunc(out, func(o Passed) bool { return o.ID == p.ID }) {
			out = append(out, p)
		}
	}
	return out
}

// complete asks the stores that gave an older archive, or none, for the chosen one.
func (o *Choice) complete(ctx context.Context, s Stores) error {
	first := o.In[0]
	o.In = nil
	var gone error
	for _, c := range s {
		if o.Faults[c] != nil {
			continue
		}
		m, err := c.Manifest(ctx, o.Manifest.ID)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, bucket.ErrNotExist):
			if c == first { // a prune took it since
				gone = err
			}
		case err != nil:
			o.Faults[c] = err
		case m.SHA256 != o.Manifest.SHA256:
			o.Faults[c] = fmt.Errorf("manifest %s in %s is not that in %s: %w", m.ID, c.URL(), first.URL(), ErrConflict)
		default:
			o.In = append(o.In, c)
		}
	}
	if o.In == nil {
		return cmp.Or(gone, o.Faults[first])
	}
	return nil
}

// FaultsOf lists the faults in the order of s.
func (o *Choice) FaultsOf(s Stores) (out []error) {
	for _, c := range s {
		if err := o.Faults[c]; err != nil {
			out = append(out, err)
		}
	}
	return out
}
