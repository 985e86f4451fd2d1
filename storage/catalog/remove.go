package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// ErrHeld marks an archive that somebody holds.
var ErrHeld = errors.New("held")

// ErrChanged marks an archive that is not any more what it was when its removal was decided.
var ErrChanged = errors.New("changed meanwhile")

// ErrUnwritable marks a store in which nothing can be written: it is full, or we have no right to.
var ErrUnwritable = errors.New("nothing can be written there")

// Pruner removes what lies in a Catalog's store. Who takes snapshots never makes one.
type Pruner struct {
	*Catalog
	remover bucket.Remover
}

// NewPruner returns what removes from c's store.
func NewPruner(c *Catalog) Pruner { return Pruner{c, bucket.NewRemover(c.store)} }

// Remove removes an archive and all that belongs to it: its manifest first, so that it is none from
// then on, whatever comes; unlisted is told, unless it is nil. Just before, holds and manifest are
// looked at once more: the error wraps ErrHeld where a hold lasts at now, by what is said here and,
// in elsewhere, in other stores; or ErrChanged where the manifest is not the one that was decided on.
// One that is gone by now is removed already, and its rest left to whoever did that.
// It returns the bytes that the archive and its documents took; what an error leaves is garbage, for
// a later run.
func (p Pruner) Remove(ctx context.Context, it Item, manifestSHA256 string, elsewhere []Hold, now time.Time, unlisted func()) (int64, error) {
	if err := p.free(ctx, it.ID, elsewhere, now); err != nil {
		return 0, fmt.Errorf("archive %s in %s: %w", it.ID, p.URL(), err)
	}
	m, err := p.Manifest(ctx, it.ID)
	switch {
	case errors.Is(err, bucket.ErrNotExist): // what lies there by now may be a copy under way
		return 0, nil
	case err != nil:
		return 0, err
	case m.SHA256 != manifestSHA256:
		return 0, fmt.Errorf("archive %s in %s: %w", it.ID, p.URL(), ErrChanged)
	}
	freed, err := p.removeEach(ctx, it.ID, []bucket.Object{*it.Manifest})
	if err != nil {
		return freed, err
	}
	tell(unlisted)
	rest, err := p.removeRest(ctx, it, it.marks())
	return freed + rest, err
}

// free is nil where no hold lasts.
func (p Pruner) free(ctx context.Context, id ID, elsewhere []Hold, now time.Time) error {
	said, err := p.Said(ctx, id)
	if err != nil {
		return err
	}
	if holds := Lasting(slices.Concat(said, elsewhere), now); len(holds) > 0 {
		return fmt.Errorf("%w: %s", ErrHeld, holds[0].Reason)
	}
	return nil
}

// Garbage removes what lies under an id without a manifest, unless a hold lasts here at now: ErrHeld, since
// somebody wants the archive, whose manifest may come, or come back. Just before, the manifest is
// asked for by its name, since a list may miss it: where it is there after all, ErrChanged.
func (p Pruner) Garbage(ctx context.Context, it Item, now time.Time) (int64, error) {
	if err := p.free(ctx, it.ID, nil, now); err != nil {
		return 0, fmt.Errorf("bytes of %s in %s: %w", it.ID, p.URL(), err)
	}
	_, err := p.Manifest(ctx, it.ID)
	if !errors.Is(err, bucket.ErrNotExist) {
		if err == nil || isPassed(err) {
			err = fmt.Errorf("archive %s in %s has a manifest after all: %w", it.ID, p.URL(), ErrChanged)
		}
		return 0, err
	}
	return p.removeRest(ctx, it, it.marks())
}

// removeRest removes all but the manifest, which is gone. Marks go before the bytes by which a later
// run would know that something was left.
func (p Pruner) removeRest(ctx context.Context, it Item, marks []bucket.Object) (int64, error) {
	freed, err := p.removeEach(ctx, it.ID, slices.Concat(marks, it.Archives))
	if err = errors.Join(err, p.settle(ctx, it)); err != nil {
		return freed, err
	}
	rest, err := p.removeEach(ctx, it.ID, it.Receipts)
	return freed + rest, err
}

// settle looks whether a manifest has come meanwhile: a copy may have met the bytes, read them back
// and committed them just before they went. Either it brings them again (Publish), or its manifest
// goes too. It is asked for even where ctx has ended: no later run could tell it from damage.
func (p Pruner) settle(ctx context.Context, it Item) error {
	if len(it.Archives) == 0 {
		return nil
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	m, err := p.Manifest(ctx, it.ID)
	if errors.Is(err, bucket.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := p.store.Stat(ctx, p.keys.archive(it.ID, m.Codecs)); !errors.Is(err, bucket.ErrNotExist) {
		return err
	}
	_, err = p.removeEach(ctx, it.ID, []bucket.Object{{Key: p.keys.manifest(it.ID)}})
	return err
}

func (p Pruner) removeEach(ctx context.Context, id ID, objects []bucket.Object) (freed int64, err error) {
	for _, obj := range objects {
		if err := p.remover.Remove(ctx, obj.Key); err != nil {
			return freed, fmt.Errorf("archive %s in %s: %w", id, p.URL(), err)
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
	return p.removeProbe(ctx, obj.Key)
}

func (p Pruner) removeProbe(ctx context.Context, key string) error {
	if err := p.remover.Remove(ctx, key); err != nil {
		return fmt.Errorf("probe in %s: %w", p.URL(), err)
	}
	return nil
}

// RemoveRecord removes what lies under runs/. One that is gone is removed already: nil.
func (p Pruner) RemoveRecord(ctx context.Context, r Record) error {
	if _, ok := p.keys.parseRun(r.Object.Key); !ok {
		return fmt.Errorf("%q is no record of a run: %w", r.Object.Key, ErrBadName)
	}
	if err := p.remover.Remove(ctx, r.Object.Key); err != nil {
		return fmt.Errorf("record of a run in %s: %w", p.URL(), err)
	}
	return nil
}

// Clock is the store's time, by a small object that is written and removed. name tells probes
// apart. The error wraps ErrUnwritable where the store takes none.
func (p Pruner) Clock(ctx context.Context, name string) (time.Time, error) {
	key := p.keys.probes() + "clock-" + name
	const text = "etcdsafe: what is the time here?\n"
	err := p.store.Put(ctx, key, strings.NewReader(text), int64(len(text)), false)
	if p.store.Refuses(err) {
		return time.Time{}, fmt.Errorf("ask for the time of %s: %w: %w", p.URL(), ErrUnwritable, err)
	}
	if err != nil && !errors.Is(err, bucket.ErrExists) {
		return time.Time{}, fmt.Errorf("ask for the time of %s: %w", p.URL(), err)
	}
	obj, err := p.store.Stat(ctx, key)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the time of %s: %w", p.URL(), err)
	}
	return obj.ModTime, p.removeProbe(ctx, key)
}

func (k keys) probes() string { return k.cluster + "/.probe/" }
