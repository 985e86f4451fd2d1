package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// ErrRefused marks what a safety rule forbids.
var ErrRefused = errors.New("refused")

// ErrSetting marks settings that do not go together.
var ErrSetting = errors.New("settings do not go together")

// ErrMismatch marks a restored folder that does not hold what the archive promised.
var ErrMismatch = errors.New("restored folder is not what the archive promised")

// Config says what to restore, and into what. Exactly one of DataDir, DBOnly and FetchOnly is
// set.
type Config struct {
	Cluster    string
	Stores     catalog.Stores // the first is read first
	What       string         // an id, catalog.Latest or catalog.LatestVerified
	File       string         // a local archive or snapshot, instead of What
	AsOf       time.Time      // bounds a search; zero: none
	Identities archive.Identities
	Place      spool.Place
	Now        func() time.Time
	Random     io.Reader
	Log        *slog.Logger
	Child      dbfile.Child

	DataDir   string
	DBOnly    string
	FetchOnly string

	MoveAside    bool
	AllowSuspect bool
	Bump         Bump
	Name         string
	Peers        Peers
	Owner        *Owner // of the folder; nil: whoever runs this
	// Live, where the user named endpoints, is asked whether the archive's cluster is up.
	Live     *etcd.Config
	DryRun   bool
	Progress jobs.Progress
}

// Report is what a run made.
type Report struct {
	jobs.Report
	Archive *ArchiveReport `json:"archive,omitempty"`
	DataDir string         `json:"dataDir,omitempty"`
	File    string         `json:"file,omitempty"`
	// BumpedBy is what was added to the last revision, all before it marked compacted; 0: both
	// were left alone.
	BumpedBy   int64    `json:"bumpedBy"`
	BumpReason string   `json:"bumpReason,omitempty"`
	MovedAside string   `json:"movedAside,omitempty"`
	Start      []string `json:"start,omitempty"` // each member's command line
}

// ArchiveReport names what was restored.
type ArchiveReport struct {
	ID       catalog.ID `json:"id,omitempty"`
	Store    string     `json:"store,omitempty"`
	File     string     `json:"file,omitempty"`
	Taken    *time.Time `json:"taken,omitempty"`
	Age      string     `json:"age,omitempty"`
	Revision int64      `json:"revision"`
	Keys     int64      `json:"keys"`
	SHA256   string     `json:"sha256,omitempty"`
	Suspect  []string   `json:"suspect,omitempty"`
}

// Run restores. The report is filled as far as the run came; the caller ends it. The error
// wraps ErrRefused, ErrSetting, ErrMismatch, the sentinels of archive, catalog, bucket, spool
// and dbfile, or the cause of ctx. After an error nothing lies under the final name that did
// not lie there before, and nothing that this run made is left; but an error of the last sync of
// all leaves what was made, whole, and one of --fetch-only may leave the archive without its
// manifest.
func Run(ctx context.Context, c Config) (Report, error) {
	r := &run{Config: c, report: Report{Report: jobs.Report{Job: "restore", Cluster: c.Cluster, DryRun: c.DryRun, Started: c.Now().UTC()}}}
	err := r.do(ctx)
	return r.report, err
}

type run struct {
	Config
	report Report
}

func (r *run) do(ctx context.Context) error {
	if err := r.check(); err != nil {
		return err
	}
	src, err := r.find(ctx)
	if err != nil {
		return err
	}
	if err := r.consent(ctx, src); err != nil {
		return err
	}
	return r.fromAny(ctx, src)
}

// from restores out of the store that src names.
func (r *run) from(ctx context.Context, src *source) error {
	switch {
	case r.DryRun:
		return r.plan(ctx, src)
	case r.FetchOnly != "":
		return r.fetch(ctx, src)
	}
	raw, err := r.open(ctx, src)
	if err != nil {
		return err
	}
	defer raw.Close() //nolint:errcheck // its bytes are restored or given up
	if r.DBOnly != "" {
		return r.writeDB(raw)
	}
	return r.build(ctx, src, raw)
}

// check refuses what can be refused before anything is read.
func (r *run) check() error {
	targets := 0
	for _, t := range []string{r.DataDir, r.DBOnly, r.FetchOnly} {
		if t != "" {
			targets++
		}
	}
	if targets != 1 {
		return fmt.Errorf("restore needs exactly one of --data-dir, --db-only and --fetch-only: %w", ErrSetting)
	}
	if _, err := r.Bump.resolve(false); err != nil {
		return err
	}
	if r.What != "" && !r.AsOf.IsZero() {
		if _, err := catalog.ParseID(r.What); err == nil {
			return fmt.Errorf("--as-of chooses an archive, and %s names one: %w", r.What, ErrSetting)
		}
	}
	for _, path := range []string{r.DBOnly, r.FetchOnly} {
		if err := folderOf(path, path == r.FetchOnly); err != nil {
			return err
		}
	}
	if r.DBOnly != "" {
		return absent(r.DBOnly)
	}
	if r.DataDir == "" {
		return nil
	}
	peers, err := r.Peers.resolve(r.Name)
	if err != nil {
		return err
	}
	if len(peers.members) > 1 && r.File == "" {
		if _, err := catalog.ParseID(r.What); err != nil {
			return fmt.Errorf("restore of %d members from %q: name one archive by its id, so that all members get the same: %w", len(peers.members), r.What, ErrRefused)
		}
	}
	_, err = openTarget(r.DataDir, r.MoveAside)
	return err
}

// consent looks at what only the archive tells: a mark, and whether its cluster still runs.
func (r *run) consent(ctx context.Context, src *source) error {
	if m := src.manifest; m != nil && len(m.Suspect) > 0 && (!r.AllowSuspect || r.What != string(m.ID)) {
		return fmt.Errorf("archive %s is suspect (%s): name it by its id and add --allow-suspect: %w", m.ID, m.Suspect[0], ErrRefused)
	}
	if r.Live == nil || src.manifest == nil || r.DataDir == "" {
		return nil
	}
	live, err := etcd.Discover(ctx, *r.Live)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil { // as on the day of a disaster; but a wrong password must not pass for one
		r.warn("whether the cluster is up could not be told", err)
	}
	if err == nil && live.Quorum && etcd.HexID(live.ID) == src.manifest.Cluster.ID {
		return fmt.Errorf("cluster %s of archive %s is up and has a quorum at the endpoints given: %w", src.manifest.Cluster.ID, src.manifest.ID, ErrRefused)
	}
	return nil
}

// folderOf fails unless the folder that path is to be written into is there.
func folderOf(path string, isFolder bool) error {
	if path == "" {
		return nil
	}
	if !isFolder {
		path = filepath.Dir(path)
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return fmt.Errorf("%q is no folder: %w", path, ErrSetting)
	}
	return nil
}

// plan says what would be done, and fails where it would: it opens the archive as far as the key
// shows, and looks at the room for what is in it.
func (r *run) plan(ctx context.Context, src *source) error {
	body, expect, err := r.body(ctx, src)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // a reader's Close
	r.report.File = cmp.Or(r.DBOnly, r.FetchOnly)
	if r.FetchOnly != "" {
		return nil
	}
	if err := archive.Unlock(body, expect, r.Identities); err != nil {
		return src.blame(err)
	}
	if r.DataDir == "" || src.manifest == nil {
		return nil
	}
	return r.planFolder(src)
}

func (r *run) planFolder(src *source) error {
	m := src.manifest
	bump, err := r.Bump.resolve(m.Snapshot.Kubernetes)
	if err != nil {
		return err
	}
	p, err := r.Peers.resolve(r.Name)
	if err != nil {
		return err
	}
	t, err := openTarget(r.DataDir, r.MoveAside)
	if err != nil {
		return err
	}
	if t.full {
		r.report.MovedAside = t.dir + asidePrefix + "…"
	}
	r.report.BumpedBy, r.report.BumpReason, r.report.DataDir = bump.by, bump.why, r.DataDir
	r.report.Start = startLines(p, r.token(src), r.DataDir)
	return t.room(m.Snapshot.Bytes)
}
