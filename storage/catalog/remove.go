package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// ErrHeld marks an archive that somebody holds.
var ErrHeld = errors.New("held")

// ErrChanged marks an archive that is not any more what it was when its removal was decided.
var ErrChanged = errors.New("changed meanwhile")

// Pruner removes what lies in a Catalog's store. Who takes snapshots never makes one.
type Pruner struct {
	*Catalog
	remover bucket.Remover
}

// NewPruner returns what removes from c's store.
func NewPruner(c *Catalog) Pruner { return Pruner{c, bucket.NewRemover(c.store)} }

// Remove removes an archive and all that belongs to it: its manifest first, so that it is none from
// then on, whatever comes. Just before, hold and manifest are looked at once more: the error wraps
// ErrHeld, or ErrChanged where the manifest is not the one that was decided on. It returns the bytes
// that the archive and its documents took; what an error leaves is garbage, for a later run.
func (p Pruner) Remove(ctx context.Context, it Item, manifestSHA256 string, now time.Time) (int64, error) {
	holds, err := p.Holds(ctx, it.ID, now)
	if err != nil {
		return 0, err
	}
	if len(holds) > 0 {
		return 0, fmt.Errorf("archive %s in %s: %w: %s", it.ID, p.URL(), ErrHeld, holds[0].Reason)
	}
	m, err := p.Manifest(ctx, it.ID)
	switch {
	case errors.Is(err, bucket.ErrNotExist): // another prune was here; its rest is ours to remove
	case err != nil:
		return 0, err
	case m.SHA256 != manifestSHA256:
		return 0, fmt.Errorf("archive %s in %s: %w", it.ID, p.URL(), ErrChanged)
	}
	return p.removeAll(ctx, it)
}

// Garbage removes what lies under an id without a manifest. Just before, the manifest is asked for
// by its name, since a list may miss it: where it is there after all, ErrChanged.
func (p Pruner) Garbage(ctx context.Context, it Item) (int64, error) {
	_, err := p.Manifest(ctx, it.ID)
	if !errors.Is(err, bucket.ErrNotExist) {
		if err == nil || isPassed(err) {
			err = fmt.Errorf("archive %s in %s has a manifest after all: %w", it.ID, p.URL(), ErrChanged)
		}
		return 0, err
	}
	return p.removeAll(ctx, it)
}

func (p Pruner) removeAll(ctx context.Context, it Item) (freed int64, err error) {
	for _, obj := range it.objects() {
		if err := p.remover.Remove(ctx, obj.Key); err != nil {
			return freed, fmt.Errorf("archive %s in %s: %w", it.ID, p.URL(), err)
		}
		freed += obj.Size
	}
	return freed, nil
}

// RemoveProbe removes what a probe left.
func (p Pruner) RemoveProbe(ctx context.Context, obj bucket.Object) error {
	if !strings.HasPrefix(obj.Key, p.keys.probes()) {
		return fmt.Errorf("%q is no probe: %w", obj.Key, ErrBadName)
	}
	return p.remover.Remove(ctx, obj.Key)
}

// Clock is the store's time, by a small object that is written and removed. name tells probes
// apart.
func (p Pruner) Clock(ctx context.Context, name string) (time.Time, error) {
	key := p.keys.probes() + "clock-" + name
	const text = "etcdsafe: what is the time here?\n"
	if err := p.store.Put(ctx, key, strings.NewReader(text), int64(len(text)), false); err != nil && !errors.Is(err, bucket.ErrExists) {
		return time.Time{}, fmt.Errorf("ask for the time of %s: %w", p.URL(), err)
	}
	obj, err := p.store.Stat(ctx, key)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the time of %s: %w", p.URL(), err)
	}
	return obj.ModTime, p.remover.Remove(ctx, key)
}

func (k keys) probes() string { return k.cluster + "/.probe/" }
