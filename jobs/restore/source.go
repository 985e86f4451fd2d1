package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// source is what is restored: an archive of a store, or a local file.
type source struct {
	in       []*catalog.Catalog
	store    *catalog.Catalog // of in; the one that is read
	manifest *catalog.Manifest
	file     string
	facts    dbfile.Facts // of the snapshot; set by open
}

// find settles what is restored, and says so.
func (r *run) find(ctx context.Context) (*source, error) {
	if r.File != "" {
		r.report.Archive = &ArchiveReport{File: r.File}
		return &source{file: r.File}, nil
	}
	choice, err := r.Stores.Find(ctx, r.What, r.AsOf)
	if err != nil {
		return nil, err
	}
	for _, fault := range choice.FaultsOf(r.Stores) {
		r.warn("store passed over", fault)
	}
	for _, p := range choice.Passed {
		r.report.Warnings = append(r.report.Warnings, p.String())
		r.Log.Warn("archive passed over", "archive", p.ID, "err", p.Why)
	}
	src := &source{in: choice.In, manifest: &choice.Manifest}
	src.take(r, choice.In[0])
	return src, nil
}

// take makes store the one that the archive is read from.
func (s *source) take(r *run, store *catalog.Catalog) {
	s.store = store
	m := s.manifest
	age := r.Now().Sub(m.Started).Round(time.Second)
	r.report.Archive = &ArchiveReport{ID: m.ID, Store: store.URL(), Taken: &m.Started, Age: age.String(),
		Revision: m.Snapshot.Revision, Keys: m.Snapshot.Keys, SHA256: m.Archive.SHA256, Suspect: m.Suspect}
	r.Log.Info("archive chosen", "archive", m.ID, "store", store.URL(), "revision", m.Snapshot.Revision, "reason", "taken "+age.String()+" ago", "stage", "choose")
}

// fromAny carries the restore out from one store after another, until one's copy is sound.
func (r *run) fromAny(ctx context.Context, src *source) error {
	for i, store := range src.in {
		if i > 0 {
			src.take(r, store)
		}
		if failed := store.Failed(ctx, *src.manifest); failed != "" {
			r.warn("the newest verification of archive "+string(src.manifest.ID)+" failed", errors.New(failed))
		}
		err := r.from(ctx, src)
		if i == len(src.in)-1 || ctx.Err() != nil || !nextMayHelp(err) {
			return err
		}
		r.warn("the next store is tried", err)
	}
	return r.from(ctx, src) // a local file
}

// nextMayHelp says whether err is about one store's copy.
func nextMayHelp(err error) bool {
	for _, is := range []error{archive.ErrCorrupt, ErrMismatch, bucket.ErrUnavailable, bucket.ErrNotExist, dbfile.ErrCorrupt, dbfile.ErrCrashed} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// warn records what the run goes on in spite of.
func (r *run) warn(what string, err error) {
	r.report.Warnings = append(r.report.Warnings, what+": "+jobs.OneLine(err))
	r.Log.Warn("fault passed over", "reason", what, "err", err)
}

// unsealed is a snapshot in a spool. Nobody may trust its bytes before proven says nil; it
// hashes them while they are worked on, and waits. Close it.
type unsealed struct {
	*spool.Spool
	proven func() error
}

// blame names the archive in an error about its bytes, and who could open it.
func (s *source) blame(err error) error {
	switch {
	case err == nil:
		return nil
	case s.manifest == nil:
		return fmt.Errorf("%q: %w", s.file, err)
	case errors.Is(err, archive.ErrKey), errors.Is(err, archive.ErrNoIdentity):
		return fmt.Errorf("archive %s, sealed to %s: %w", s.manifest.ID, strings.Join(s.manifest.Recipients, " and "), err)
	}
	return fmt.Errorf("archive %s in %s: %w", s.manifest.ID, s.store.URL(), err)
}

// open writes the snapshot inside src into a spool.
func (r *run) open(ctx context.Context, src *source) (*unsealed, error) {
	body, expect, err := r.body(ctx, src)
	if err != nil {
		return nil, err
	}
	defer body.Close() //nolint:errcheck // a reader's Close
	spooled, err := spool.New(r.Place)
	if err != nil {
		return nil, err
	}
	r.Log.Info("archive opened", "bytes", expect.ArchiveBytes, "stage", "open")
	if err := r.unseal(spooled, body, expect); err != nil {
		return nil, errors.Join(src.blame(err), spooled.Close())
	}
	result := make(chan error, 1)
	go func() { result <- expect.Prove(spooled.Reader()) }()
	raw := &unsealed{Spool: spooled, proven: sync.OnceValue(func() error { return src.blame(<-result) })}
	if err := r.learn(ctx, src, raw); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return raw, nil
}

// body returns the sealed bytes, and what is promised of them: little where src is a file.
func (r *run) body(ctx context.Context, src *source) (io.ReadCloser, archive.Expect, error) {
	if m := src.manifest; m != nil {
		if err := r.Place.Require(m.Snapshot.Bytes, "the snapshot inside"); err != nil {
			return nil, archive.Expect{}, err
		}
		body, _, err := src.store.OpenArchive(ctx, m.ID, m.Codecs)
		if errors.Is(err, bucket.ErrNotExist) {
			err = fmt.Errorf("%w: %w", err, ErrMismatch) // its manifest promises it
		}
		return body, m.Expect(), err
	}
	f, err := os.Open(src.file)
	if err != nil {
		return nil, archive.Expect{}, fmt.Errorf("read %q: %w", src.file, bare(err))
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, archive.Expect{}, errors.Join(fmt.Errorf("%q is no file: %w", src.file, ErrSetting), err, f.Close())
	}
	// Nothing promises the snapshot's size here; the spool's limit or the disk bounds it.
	return f, archive.Found(info.Size(), maxLocal, codecsOf(src.file)), nil
}

// maxLocal bounds what a local archive without a manifest may grow to: etcd's own advice ends
// at 8 GiB of database, so 64 GiB is somebody's bomb.
const maxLocal = 64 << 30

// codecsOf goes by the file's name; nil means a plain snapshot.
func codecsOf(file string) []string {
	var out []string
	for _, ext := range strings.Split(filepath.Base(file), ".")[1:] {
		switch ext {
		case "zst":
			out = append(out, "zstd")
		case "age":
			out = append(out, "age")
		}
	}
	return out
}

func (r *run) unseal(dst io.Writer, body io.Reader, expect archive.Expect) error {
	dst = io.MultiWriter(dst, r.Progress.Count("open", expect.SnapshotBytes))
	if expect.Codecs != nil {
		return archive.Unseal(dst, body, expect, r.Identities)
	}
	if _, err := io.Copy(dst, body); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	return nil
}

// learn reads what the snapshot holds. A manifest tells it already: then the restored folder
// is held to that.
func (r *run) learn(ctx context.Context, src *source, raw *unsealed) error {
	if m := src.manifest; m != nil {
		src.facts = dbfile.Facts{Revision: m.Snapshot.Revision, Keys: m.Snapshot.Keys, Kubernetes: m.Snapshot.Kubernetes,
			HashKV: m.HashKV.Hash, HashRevision: m.HashKV.Revision, HashCompact: m.HashKV.CompactRevision}
		return nil
	}
	if err := raw.proven(); err != nil {
		return err
	}
	facts, err := r.Child.Inspect(ctx, raw.File(), dbfile.Query{})
	if err != nil {
		return err
	}
	src.facts = facts
	r.report.Archive.Revision, r.report.Archive.Keys = facts.Revision, facts.Keys
	return nil
}
