package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// ErrFinding marks archives that are not what their manifests promise.
var ErrFinding = errors.New("not what its manifest promises")

// ErrTooOld marks a newest verified archive that is older than was promised.
var ErrTooOld = errors.New("newest verified archive is too old")

// All means every archive of the cluster, besides an id and the names of catalog.Find.
const All = "all"

// Config says what to verify, and how deep.
type Config struct {
	Cluster    string
	Stores     catalog.Stores
	What       string // All, catalog.Latest, catalog.LatestVerified or an id
	Level      catalog.Level
	Identities archive.Identities
	Place      spool.Place
	Tool       catalog.Tool
	Now        func() time.Time
	Random     io.Reader
	Log        *slog.Logger

	RunKey          bool // Identities is the key of the run that sealed, which receipts say
	Child           dbfile.Child
	Subset          Subset        // of All; the zero value is everything
	MaxAge          time.Duration // fail where no store has a younger archive that is verified, blame one that has none; 0: do not look
	RequireIdentity bool          // MaxAge counts no archive that its own run's key alone opened
	Budget          time.Duration // begin no further archive after this; 0: no bound
	DryRun          bool          // choose, but read no archive and write no receipt
	Progress        jobs.Progress
}

// Report is what a run found.
type Report struct {
	jobs.Report
	Level    catalog.Level   `json:"level"`
	Archives []ArchiveReport `json:"archives"`
	Stores   []StoreReport   `json:"stores,omitempty"`
}

// ArchiveReport is what was found of one archive in one store. Hash, revision, totalKey and
// totalSize are those of `etcdutl snapshot status`, read from the archive at level content.
type ArchiveReport struct {
	ID        catalog.ID    `json:"id"`
	Store     string        `json:"store"`
	Level     catalog.Level `json:"level"`
	Result    jobs.Result   `json:"result"`
	Error     string        `json:"error,omitempty"`
	Hash      string        `json:"hash,omitempty"`
	Revision  int64         `json:"revision,omitempty"`
	TotalKey  int64         `json:"totalKey,omitempty"`
	TotalSize int64         `json:"totalSize,omitempty"`
	Receipt   bool          `json:"receipt"`
}

// Run verifies the archives that c names in each of its stores. A store that does not answer, or has
// none of them while another has, is blamed in the report and no error; so is one that keeps MaxAge's
// promise not while another does. The report is filled as far as
// the run came; the caller ends it. The error wraps ErrFinding where an archive is damaged,
// ErrTooOld, catalog.ErrNone, the sentinels of bucket, archive and spool, or the cause of ctx.
func Run(ctx context.Context, c Config) (Report, error) {
	r := &run{Config: c, report: Report{Level: c.Level, Archives: []ArchiveReport{},
		Report: jobs.Report{Job: "verify", Cluster: c.Cluster, DryRun: c.DryRun, Started: c.Now().UTC()}}}
	err := r.do(ctx)
	return r.report, err
}

type run struct {
	Config
	report Report
	began  time.Time
}

func (r *run) do(ctx context.Context) error {
	var faults, lacks []error
	r.began = r.Now()
	for _, store := range r.Stores {
		wrong := r.store(ctx, store)
		err := errors.Join(wrong...)
		r.report.store(store.URL(), err)
		switch {
		case err != nil && !slices.ContainsFunc(wrong, isMore):
			lacks = append(lacks, err)
		case err != nil:
			faults = append(faults, err)
		}
	}
	if len(lacks) == len(r.Stores) && r.MaxAge > 0 && errors.Is(errors.Join(lacks...), catalog.ErrNone) {
		faults = append(faults, fmt.Errorf("no archive of %q is there to be young enough: %w", r.Cluster, ErrTooOld))
	}
	if len(lacks) == len(r.Stores) || ctx.Err() != nil {
		faults, lacks = append(faults, lacks...), nil
	}
	for _, err := range lacks { // the others were looked at
		r.report.Blame(jobs.CauseStore, jobs.OneLine(err))
	}
	if ctx.Err() == nil && r.MaxAge > 0 && len(faults) == 0 && !r.DryRun {
		faults = append(faults, r.promise(ctx))
	}
	return errors.Join(faults...)
}

// store verifies what was asked for in one store, and returns each fault. All archives are tried.
func (r *run) store(ctx context.Context, store *catalog.Catalog) []error {
	ids, faults := r.choose(ctx, store)
	for i, id := range ids {
		if ctx.Err() != nil {
			return append(faults, context.Cause(ctx))
		}
		if r.Budget > 0 && r.Now().Sub(r.began) > r.Budget {
			r.report.Warnings = append(r.report.Warnings, fmt.Sprintf("budget of %s spent: %d of %d archives not looked at in %s", r.Budget, len(ids)-i, len(ids), store.URL()))
			break
		}
		if err := r.archive(ctx, store, id); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// choose lists the archives to look at, newest first. Manifests that a search passed over
// because they are damaged are findings already.
func (r *run) choose(ctx context.Context, store *catalog.Catalog) ([]catalog.ID, []error) {
	if r.What == All {
		entries, err := store.List(ctx)
		if err != nil {
			return nil, []error{err}
		}
		if len(entries) == 0 {
			return nil, []error{fmt.Errorf("verify all of %q in %s: %w", r.Cluster, store.URL(), catalog.ErrNone)}
		}
		var ids []catalog.ID
		for _, e := range entries {
			if r.Subset.has(e.ID) {
				ids = append(ids, e.ID)
			}
		}
		return ids, nil
	}
	if id, err := catalog.ParseID(r.What); err == nil {
		return []catalog.ID{id}, nil
	}
	found, err := store.Find(ctx, r.What, time.Time{})
	var ids []catalog.ID
	for _, p := range found.Passed {
		if errors.Is(p.Why, catalog.ErrCorrupt) {
			ids = append(ids, p.ID) // looked at, so that its finding is reported
			continue
		}
		r.report.Warnings = append(r.report.Warnings, p.String())
	}
	if err != nil {
		return ids, []error{err}
	}
	return append(ids, found.Manifest.ID), nil
}

// archive verifies one archive and records it, in the report and as a receipt.
func (r *run) archive(ctx context.Context, store *catalog.Catalog, id catalog.ID) error {
	began := r.Now().UTC()
	rep := ArchiveReport{ID: id, Store: store.URL(), Level: r.Level}
	m, err := store.Manifest(ctx, id)
	if err == nil && !r.DryRun {
		err = r.look(ctx, store, m, &rep)
	}
	if r.removed(ctx, store, id, err) {
		rep.Result, rep.Error = jobs.Skipped, "removed meanwhile"
		r.report.Archives = append(r.report.Archives, rep)
		r.Log.Info("archive looked at", "archive", id, "store", store.URL(), "depth", r.Level, "reason", rep.Error)
		return nil
	}
	finding := isFinding(err)
	if finding {
		err = fmt.Errorf("%w: %w", err, ErrFinding)
	}
	rep.Result = jobs.OK
	if r.DryRun {
		rep.Result = jobs.Skipped
	}
	if errors.Is(err, archive.ErrKey) {
		err = fmt.Errorf("sealed to %s: %w", strings.Join(m.Recipients, " and "), err)
	}
	if err != nil {
		err = fmt.Errorf("archive %s in %s: %w", id, store.URL(), err)
		rep.Result, rep.Error = jobs.Failed, err.Error()
	}
	if (err == nil || finding) && m.ID != "" && !r.DryRun && ctx.Err() == nil {
		rep.Receipt = r.receipt(ctx, store, m, began, err)
	}
	r.report.Archives = append(r.report.Archives, rep)
	if err == nil && r.Level != catalog.Stored && !r.DryRun {
		err = r.receipts(ctx, store, id)
	}
	r.Log.Info("archive looked at", "archive", id, "store", store.URL(), "depth", r.Level, "reason", rep.Result, "took", r.Now().Sub(began).Round(time.Millisecond).String())
	return err
}

// removed says whether what was wrong with an archive that was listed is that a prune took it since:
// its manifest goes first, so bytes that are missing are a finding only while it is there.
func (r *run) removed(ctx context.Context, store *catalog.Catalog, id catalog.ID, err error) bool {
	if !errors.Is(err, bucket.ErrNotExist) && !isFinding(err) || string(id) == r.What {
		return false
	}
	_, err = store.Manifest(ctx, id)
	return errors.Is(err, bucket.ErrNotExist)
}

// receipts looks at the receipts of a sound archive. A damaged one is a finding, but none about
// the archive, which stays verified.
func (r *run) receipts(ctx context.Context, store *catalog.Catalog, id catalog.ID) error {
	_, err := store.Receipts(ctx, id, catalog.Stored)
	if isFinding(err) {
		return fmt.Errorf("receipts of archive %s in %s: %w: %w", id, store.URL(), err, ErrFinding)
	}
	return err
}

// isFinding tells a damaged archive from a broken line, a full disk or a key that does not fit:
// who holds another identity learns nothing about the archive.
func isFinding(err error) bool {
	for _, is := range []error{archive.ErrCorrupt, catalog.ErrCorrupt, catalog.ErrFormat, dbfile.ErrCorrupt, dbfile.ErrCrashed, errGone, errFacts} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// receipt writes down what was found. A store that does not let us is said, not failed for.
func (r *run) receipt(ctx context.Context, store *catalog.Catalog, m catalog.Manifest, began time.Time, found error) bool {
	suffix, err := catalog.Suffix(r.Random)
	if err == nil {
		rec := catalog.Receipt{Archive: m.ID, ManifestSHA256: m.SHA256, Cluster: r.Cluster, Level: r.Level,
			OK: found == nil, Started: began, Finished: r.Now().UTC(), Tool: r.Tool, Key: r.key(m)}
		if found != nil {
			rec.Finding = found.Error()
		}
		err = store.PutReceipt(ctx, rec, suffix)
	}
	if err != nil {
		r.report.Warnings = append(r.report.Warnings, jobs.OneLine(err))
		r.Log.Warn("receipt not written", "archive", m.ID, "err", err)
	}
	return err == nil
}

// key says what opened the archive.
func (r *run) key(m catalog.Manifest) string {
	if r.Level == catalog.Stored || len(m.Recipients) == 0 {
		return catalog.KeyNone
	}
	if r.RunKey {
		return catalog.KeyRun
	}
	return catalog.KeyIdentity
}
