package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// Steps is told what Publish has done so far, one call each, in this order. Nil is told nothing.
type Steps struct {
	Stored, ReadBack, Committed func()
}

func tell(step func()) {
	if step != nil {
		step()
	}
}

// Publish makes m's archive exist in the store: uploads sealed, which several goroutines may read
// at once, reads back what the store now holds, and writes RECOVERY.md, where there is none, and
// then text, the manifest. Where bytes lie there already, they must be these, else the error wraps
// ErrConflict; where the store gives back others than it took, archive.ErrCorrupt. Written is when
// the store took the archive, by its own clock. After an error the archive is not listed, unless
// it was before, or a prune was at its bytes at the same time (ErrChanged).
func (c *Catalog) Publish(ctx context.Context, m Manifest, text []byte, sealed io.ReaderAt, steps Steps) (written time.Time, err error) {
	taken, err := c.putArchive(ctx, m.ID, m.Codecs, sealed, m.Archive.Bytes)
	if err != nil {
		return time.Time{}, err
	}
	tell(steps.Stored)
	written, err = c.readBack(ctx, m)
	switch {
	case taken && errors.Is(err, archive.ErrCorrupt): // not ours, and whole for all that we know
		return time.Time{}, fmt.Errorf("store archive %s in %s: %w", m.ID, c.store.URL(), ErrConflict)
	case err != nil:
		return time.Time{}, err
	}
	tell(steps.ReadBack)
	if err := c.putRecovery(ctx); err != nil {
		return written, err
	}
	if err := c.commit(ctx, m.ID, text); err != nil {
		return written, err
	}
	tell(steps.Committed)
	return written, c.keep(ctx, m, sealed)
}

// keep brings the bytes again where they are gone, now that their manifest is there: bytes of old
// that lay there may have been garbage to a prune that removed them after they were read back.
// Such a prune looks for the manifest after that, and takes it away where it finds no bytes.
func (c *Catalog) keep(ctx context.Context, m Manifest, sealed io.ReaderAt) error {
	_, err := c.store.Stat(ctx, c.keys.archive(m.ID, m.Codecs))
	if !errors.Is(err, bucket.ErrNotExist) { // a store that does not answer took nothing away
		return nil
	}
	if _, err := c.putArchive(ctx, m.ID, m.Codecs, sealed, m.Archive.Bytes); err != nil {
		return err
	}
	if _, err := c.readBack(ctx, m); err != nil {
		return err
	}
	_, err = c.store.Stat(ctx, c.keys.manifest(m.ID))
	if errors.Is(err, bucket.ErrNotExist) {
		return fmt.Errorf("archive %s in %s was removed while it was stored: %w", m.ID, c.URL(), ErrChanged)
	}
	return err
}

// readBack compares what the store gives with what was promised.
func (c *Catalog) readBack(ctx context.Context, m Manifest) (time.Time, error) {
	body, obj, err := c.OpenArchive(ctx, m.ID, m.Codecs)
	if errors.Is(err, bucket.ErrNotExist) {
		return time.Time{}, fmt.Errorf("store said that it took it: %w: %w", err, archive.ErrCorrupt)
	}
	if err != nil {
		return time.Time{}, err
	}
	defer body.Close() //nolint:errcheck // a reader's Close
	if _, err := io.Copy(io.Discard, m.Expect().Sealed(body)); err != nil {
		return time.Time{}, fmt.Errorf("read back archive %s in %s: %w", m.ID, c.store.URL(), err)
	}
	return obj.ModTime, nil
}
