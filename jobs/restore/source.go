package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// source is what is restored: an archive of a store, or a local file.
type source struct {
	store    *catalog.Catalog
	manifest *catalog.Manifest
	file     string
	facts    dbfile.Facts // of the snapshot; set by open
}

// find settles what is restored, and says so. The first store that has it is taken.
func (r *run) find(ctx context.Context) (*source, error) {
	if r.File != "" {
		r.report.Archive = &ArchiveReport{File: r.File}
		return &source{file: r.File}, nil
	}
	var faults []error
	for _, store := range r.Stores {
		found, err := store.Find(ctx, r.What, r.AsOf)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		for _, fault := range faults {
			r.report.Warnings = append(r.report.Warnings, fault.Error())
			r.Log.Warn("store passed over", "err", fault)
		}
		for _, p := range found.Passed {
			r.report.Warnings = append(r.report.Warnings, fmt.Sprintf("archive %s was passed over: %s", p.ID, p.Why))
			r.Log.Warn("archive passed over", "archive", p.ID, "err", p.Why)
		}
		m := found.Manifest
		age := r.Now().Sub(m.Started).Round(time.Second)
		r.report.Archive = &ArchiveReport{ID: m.ID, Store: store.URL(), Taken: &m.Started, Age: age.String(),
			Revision: m.Snapshot.Revision, Keys: m.Snapshot.Keys, SHA256: m.Archive.SHA256, Suspect: m.Suspect}
		r.Log.Info("archive chosen", "archive", m.ID, "store", store.URL(), "revision", m.Snapshot.Revision, "reason", "taken "+age.String()+" ago", "stage", "choose")
		return &source{store: store, manifest: &m}, nil
	}
	return nil, errors.Join(faults...)
}

// open writes the snapshot inside src into a spool, proven to its last byte.
func (r *run) open(ctx context.Context, src *source) (*spool.Spool, error) {
	body, size, expect, err := r.body(ctx, src)
	if err != nil {
		return nil, err
	}
	defer body.Close() //nolint:errcheck // a reader's Close
	raw, err := spool.New(r.Place)
	if err != nil {
		return nil, err
	}
	r.Log.Info("archive opened", "bytes", size, "stage", "open")
	if err := r.unseal(raw, body, expect); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	if err := r.learn(ctx, src, raw); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return raw, nil
}

// body returns the sealed bytes, and what is promised of them; nothing where src is a plain
// snapshot.
func (r *run) body(ctx context.Context, src *source) (io.ReadCloser, int64, *archive.Expect, error) {
	if m := src.manifest; m != nil {
		if err := r.Place.Require(m.Snapshot.Bytes, "the snapshot inside"); err != nil {
			return nil, 0, nil, err
		}
		body, _, err := src.store.OpenArchive(ctx, m.ID, m.Codecs)
		expect := m.Expect()
		return body, m.Archive.Bytes, &expect, err
	}
	f, err := os.Open(src.file)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("read %q: %w", src.file, err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0, nil, errors.Join(fmt.Errorf("%q is no file: %w", src.file, ErrSetting), err, f.Close())
	}
	codecs := codecsOf(src.file)
	if codecs == nil {
		return f, info.Size(), nil, nil
	}
	// Nothing promises the snapshot's size here; the spool's limit or the disk bounds it.
	expect := archive.Found(info.Size(), maxLocal, codecs)
	return f, info.Size(), &expect, nil
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

func (r *run) unseal(raw *spool.Spool, body io.Reader, expect *archive.Expect) error {
	if expect != nil {
		opened, err := archive.Open(body, *expect, r.Identities)
		if err != nil {
			return err
		}
		defer opened.Close() //nolint:errcheck // a reader's Close
		_, err = io.Copy(io.MultiWriter(raw, r.counter("open", expect.SnapshotBytes)), opened)
		return err
	}
	digest := archive.NewDigest()
	if _, err := io.Copy(io.MultiWriter(raw, digest), body); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	return digest.Check()
}

// learn reads what the snapshot holds. A manifest tells it already: then the restored folder
// is held to that.
func (r *run) learn(ctx context.Context, src *source, raw *spool.Spool) error {
	if m := src.manifest; m != nil {
		src.facts = dbfile.Facts{Revision: m.Snapshot.Revision, Keys: m.Snapshot.Keys, Kubernetes: m.Snapshot.Kubernetes,
			HashKV: m.HashKV.Hash, HashRevision: m.HashKV.Revision, HashCompact: m.HashKV.CompactRevision}
		return nil
	}
	facts, err := r.Child.Inspect(ctx, raw.File(), dbfile.Query{})
	if err != nil {
		return err
	}
	src.facts = facts
	r.report.Archive.Revision, r.report.Archive.Keys = facts.Revision, facts.Keys
	return nil
}

func (r *run) counter(stage string, total int64) io.Writer {
	return &counter{stage: stage, total: total, tell: r.Progress}
}

type counter struct {
	stage       string
	done, total int64
	tell        func(stage string, done, total int64)
}

func (c *counter) Write(p []byte) (int, error) {
	c.done += int64(len(p))
	if c.tell != nil {
		c.tell(c.stage, c.done, c.total)
	}
	return len(p), nil
}
