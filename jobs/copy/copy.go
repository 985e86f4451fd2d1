package copy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// Config says what is copied, from where to where.
type Config struct {
	Cluster  string
	From     catalog.Stores // the first that has a sound copy is read
	To       catalog.Stores
	What     []string // ids, or catalog.Latest; all where empty
	Place    spool.Place
	Now      func() time.Time
	Log      *slog.Logger
	DryRun   bool
	Progress jobs.Progress
}

// Report is what a run did.
type Report struct {
	jobs.Report
	Archives []ArchiveReport `json:"archives"`
}

// ArchiveReport is one archive that some store lacked, or of which it lacked what people said.
type ArchiveReport struct {
	ID     catalog.ID  `json:"id"`
	From   string      `json:"from,omitempty"`
	To     string      `json:"to"`
	Bytes  int64       `json:"bytes"`
	Marks  int         `json:"marks,omitempty"` // holds, releases and accepts alone: the archive is there
	Result jobs.Result `json:"result"`
	Error  string      `json:"error,omitempty"`
}

// Run copies what To lacks, the newest first; every archive is tried. The report is filled as far
// as the run came; the caller ends it. Where some were copied and some not, the report says so and
// there is no error, unless bytes or a manifest are damaged. Else it wraps the sentinels of bucket, archive, catalog (ErrNone where there is
// nothing to copy) and spool, or is the cause of ctx.
func Run(ctx context.Context, c Config) (Report, error) {
	r := &run{Config: c, report: Report{Archives: []ArchiveReport{},
		Report: jobs.Report{Job: "copy", Cluster: c.Cluster, DryRun: c.DryRun, Started: c.Now().UTC()}}}
	err := r.do(ctx)
	return r.report, err
}

type run struct {
	Config
	report Report
	lies   map[*catalog.Catalog]map[catalog.ID]catalog.Item // of the stores that could be listed
	done   int                                              // archives, or their marks, in a store that lacked them
}

func (r *run) do(ctx context.Context) error {
	faults := r.look(ctx)
	want, unknown := r.wanted(ctx)
	faults = append(faults, unknown...)
	if len(want) == 0 {
		return errors.Join(append(faults, r.nothing(faults))...)
	}
	damaged := r.damaged(ctx, want)
	faults = append(faults, damaged...)
	gaps := r.gaps(want)
	for _, g := range gaps {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.fill(ctx, g); err != nil {
			faults = append(faults, err)
		}
	}
	unmarked := r.unmarked(want)
	for _, u := range unmarked {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.mark(ctx, u); err != nil {
			faults = append(faults, err)
		}
	}
	work := len(gaps) + len(unmarked)
	failed := work > 0 && !r.DryRun || work == 0 && len(damaged) > 0 || !r.answers(r.To)
	if r.done == 0 && failed {
		return errors.Join(faults...)
	}
	r.report.Skip = work == 0
	return r.blame(faults)
}

// blame notes what went wrong beside what was done. Damage is an error all the same, however much was copied.
func (r *run) blame(faults []error) error {
	var damage []error
	for _, err := range faults {
		if errors.Is(err, archive.ErrCorrupt) || errors.Is(err, catalog.ErrCorrupt) {
			damage = append(damage, err)
			continue
		}
		r.report.Blame(jobs.CauseStore, jobs.OneLine(err))
	}
	return errors.Join(damage...)
}

// nothing is the error where no store to be read has an archive, unless faults tell more.
func (r *run) nothing(faults []error) error {
	if len(faults) > 0 {
		return nil
	}
	var in []string
	for _, store := range r.From {
		in = append(in, store.URL())
	}
	return fmt.Errorf("copy %q: nothing to copy lies in %s: %w", r.Cluster, strings.Join(in, ", "), catalog.ErrNone)
}

// fill brings one archive to the stores that lack it.
func (r *run) fill(ctx context.Context, g gap) error {
	choice, err := r.From.Find(ctx, string(g.id), time.Time{})
	if r.removed(choice, err) {
		return nil
	}
	if err != nil {
		return r.note(g, "", 0, err)
	}
	choice.In = g.sources(choice.In)
	m := choice.Manifest
	if r.DryRun {
		return r.note(g, choice.In[0].URL(), m.Archive.Bytes, nil)
	}
	if err := r.Place.Require(m.Archive.Bytes, "the sealed archive"); err != nil {
		return r.note(g, "", m.Archive.Bytes, err)
	}
	sealed, text, from, err := r.fetch(ctx, choice)
	if err != nil && r.removed(r.From.Find(ctx, string(g.id), time.Time{})) {
		return nil
	}
	if err != nil {
		return r.note(g, "", m.Archive.Bytes, err)
	}
	defer sealed.Close() //nolint:errcheck // its bytes are stored or given up
	r.Log.Debug("archive fetched", "archive", g.id, "store", from.URL())
	var faults []error
	for _, store := range g.to {
		err := r.publish(ctx, from, store, m, text, sealed)
		if errors.Is(err, catalog.ErrChanged) && len(r.What) == 0 {
			r.Log.Info("archive pruned meanwhile", "archive", g.id, "store", store.URL(), "err", err)
			continue
		}
		faults = append(faults, r.note(gap{g.id, catalog.Stores{store}}, from.URL(), m.Archive.Bytes, err))
	}
	return errors.Join(faults...)
}

// removed says whether an archive that was listed is in no store any more: a prune took it since, and
// nobody named it.
func (r *run) removed(_ catalog.Choice, err error) bool {
	return len(r.What) == 0 && errors.Is(err, bucket.ErrNotExist) && !errors.Is(err, bucket.ErrUnavailable)
}

// publish brings holds and accept first, from all stores: there is no moment at which prune could come
// between.
func (r *run) publish(ctx context.Context, from, to *catalog.Catalog, m catalog.Manifest, text []byte, sealed *spool.Spool) error {
	for _, store := range r.From {
		if store != from && (store == to || (catalog.Item{}).Lacks(r.lies[store][m.ID]) == 0) {
			continue
		}
		if err := to.Marks(ctx, store, m.ID); err != nil {
			return err
		}
	}
	log := r.Log.With("archive", m.ID, "store", to.URL())
	_, err := to.Publish(ctx, m, text, sealed.File(), catalog.Steps{
		Stored:    func() { log.Debug("archive stored", "stage", "upload") },
		ReadBack:  func() { log.Debug("archive read back", "stage", "readback") },
		Committed: func() { log.Debug("archive committed", "stage", "commit") },
	})
	return err
}

// fetch reads the sealed bytes and the manifest's text from the first store whose copy is sound.
// The caller closes the spool.
func (r *run) fetch(ctx context.Context, choice catalog.Choice) (*spool.Spool, []byte, *catalog.Catalog, error) {
	var faults []error
	for _, store := range choice.In {
		sealed, text, err := r.fetchFrom(ctx, store, choice.Manifest.ID)
		if err == nil {
			for _, fault := range faults {
				r.report.Blame(jobs.CauseStore, jobs.OneLine(fault))
			}
			return sealed, text, store, nil
		}
		faults = append(faults, err)
	}
	return nil, nil, nil, errors.Join(faults...)
}

func (r *run) fetchFrom(ctx context.Context, store *catalog.Catalog, id catalog.ID) (*spool.Spool, []byte, error) {
	m, text, err := store.ManifestText(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	body, _, err := store.OpenArchive(ctx, id, m.Codecs)
	if errors.Is(err, bucket.ErrNotExist) {
		err = fmt.Errorf("%w: %w", err, archive.ErrCorrupt) // its manifest promises it
	}
	if err != nil {
		return nil, nil, err
	}
	defer body.Close() //nolint:errcheck // a reader's Close
	sealed, err := spool.New(r.Place)
	if err != nil {
		return nil, nil, err
	}
	if _, err := io.Copy(io.MultiWriter(sealed, r.Progress.Count("fetch", m.Archive.Bytes)), m.Expect().Sealed(body)); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("archive %s in %s: %w", id, store.URL(), err), sealed.Close())
	}
	return sealed, text, nil
}

// note reports how it ended for each store of a gap, and returns err.
func (r *run) note(g gap, from string, bytes int64, err error) error {
	for _, store := range g.to {
		a := ArchiveReport{ID: g.id, From: from, To: store.URL(), Bytes: bytes, Result: jobs.OK}
		switch {
		case err != nil:
			a.Result, a.Error = jobs.Failed, jobs.OneLine(err)
			r.Log.Warn("archive not copied", "archive", g.id, "store", store.URL(), "err", err)
		case r.DryRun:
			a.Result = jobs.Skipped
		default:
			r.done++
			r.report.Committed = true
			r.Log.Info("archive copied", "archive", g.id, "store", store.URL(), "bytes", bytes)
		}
		r.report.Archives = append(r.report.Archives, a)
	}
	return err
}
