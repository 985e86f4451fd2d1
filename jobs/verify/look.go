package verify

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

var (
	errGone  = errors.New("the archive's object is missing")
	errFacts = errors.New("the manifest says otherwise")
)

// look reads the archive of m at the run's level.
func (r *run) look(ctx context.Context, store *catalog.Catalog, m catalog.Manifest, rep *ArchiveReport) error {
	body, obj, err := store.OpenArchive(ctx, m.ID, m.Codecs)
	if errors.Is(err, bucket.ErrNotExist) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // a reader's Close
	if obj.Size != m.Archive.Bytes {
		return fmt.Errorf("object %s has %d bytes, the manifest says %d: %w", m.Archive.Object, obj.Size, m.Archive.Bytes, archive.ErrCorrupt)
	}
	if r.Level == catalog.Stored {
		return r.stored(body, m)
	}
	facts, err := r.content(ctx, body, m)
	if err != nil {
		return fmt.Errorf("object %s: %w", m.Archive.Object, err)
	}
	if m.Snapshot.Keys < 0 || facts.Keys < 0 {
		r.report.Warnings = append(r.report.Warnings, fmt.Sprintf("archive %s: keys and HashKV are not known, and were not compared", m.ID))
	}
	rep.Hash, rep.Revision, rep.TotalKey, rep.TotalSize = fmt.Sprintf("%08x", facts.Hash), facts.Revision, facts.Keys, facts.Bytes
	return differ(m, facts)
}

// stored compares length and SHA-256.
func (r *run) stored(body io.Reader, m catalog.Manifest) error {
	if _, err := io.Copy(r.Progress.Count("read", m.Archive.Bytes), m.Expect().Sealed(body)); err != nil {
		return fmt.Errorf("object %s: read archive: %w", m.Archive.Object, err)
	}
	return nil
}

// content opens the archive into a spool and walks it.
func (r *run) content(ctx context.Context, body io.Reader, m catalog.Manifest) (dbfile.Facts, error) {
	if err := r.Place.Require(m.Snapshot.Bytes, "the snapshot inside"); err != nil {
		return dbfile.Facts{}, err
	}
	raw, err := spool.New(r.Place)
	if err != nil {
		return dbfile.Facts{}, err
	}
	defer raw.Close() //nolint:errcheck // its bytes are looked at and given up
	if err := archive.Unseal(io.MultiWriter(raw, r.Progress.Count("open", m.Snapshot.Bytes)), body, m.Expect(), r.Identities); err != nil {
		return dbfile.Facts{}, err
	}
	proven := make(chan error, 1)
	go func() { proven <- m.Expect().Prove(raw.Reader()) }()
	facts, err := r.Child.Inspect(ctx, raw.File(), dbfile.Query{Revision: m.HashKV.Revision, CompactRevision: m.HashKV.CompactRevision})
	if bad := <-proven; bad != nil {
		err = bad // whatever the child found follows from it
	}
	return facts, err
}

// differ names what the manifest says otherwise than the bytes.
func differ(m catalog.Manifest, f dbfile.Facts) error {
	s := m.Snapshot
	if s.Keys < 0 || f.Keys < 0 { // one of both walks met too many keys
		s.Keys, m.HashKV.Hash = f.Keys, f.HashKV
	}
	for _, c := range []struct {
		what      string
		says, has any
	}{
		{"revision", s.Revision, f.Revision},
		{"compact revision", s.CompactRevision, f.CompactRevision},
		{"scheduled compact revision", s.ScheduledRev, f.ScheduledRev},
		{"term", s.Term, f.Term},
		{"index", s.Index, f.Index},
		{"key count", s.Keys, f.Keys},
		{"hash", s.Hash, fmt.Sprintf("%08x", f.Hash)},
		{"database size", s.DBBytes, f.Bytes},
		{"Kubernetes", s.Kubernetes, f.Kubernetes},
		{"HashKV revision", m.HashKV.Revision, f.HashRevision},
		{"HashKV compact revision", m.HashKV.CompactRevision, f.HashCompact},
		{"HashKV", m.HashKV.Hash, f.HashKV},
	} {
		if c.says != c.has {
			return fmt.Errorf("%s is %v, the manifest says %v: %w", c.what, c.has, c.says, errFacts)
		}
	}
	return nil
}
