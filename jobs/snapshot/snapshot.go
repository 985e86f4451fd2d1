package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// ErrSuspect marks a snapshot that was committed although its HashKV is not that of the live
// member, whichever member was tried.
var ErrSuspect = errors.New("snapshot does not equal the live member")

// Compare says which members are asked for their HashKV.
type Compare string

// CompareAuto asks the member that served the stream, unless that is a big leader; CompareAll
// asks it and every follower; CompareOff nobody.
const (
	CompareAuto Compare = "auto"
	CompareAll  Compare = "all"
	CompareOff  Compare = "off"
)

// Config says what to take and where to put it. All fields but the last group are needed.
type Config struct {
	Cluster    string
	Etcd       etcd.Config
	Stores     catalog.Stores
	Recipients archive.Recipients
	Place      spool.Place
	Compare    Compare
	Floor      etcd.Floor
	Tool       catalog.Tool
	Runner     catalog.Runner
	Now        func() time.Time
	Random     io.Reader
	Log        *slog.Logger

	Child       dbfile.Child
	IfOlderThan time.Duration // do nothing where an archive is younger; 0: always take one
	Reason      string
	Labels      map[string]string
	Hold        string // keeps the archive out of prune's reach, with this reason; empty: no hold
	DryRun      bool
	Progress    jobs.Progress

	Locker lock.Locker // one run of snapshot or defrag at a time; the zero value: no lock
	Claim  lock.Claim  // who takes it
	Locked lock.Policy // what to do while another holds it
	// Done is asked, before anything is stored, where the lock was lost on the way: whether another run has done by now
	// what this one is for. Then it ends as a skip. nil: nobody can have.
	Done func(ctx context.Context) bool
}

// Run takes one snapshot and commits it. The report is filled as far as the run came, with an
// error too; the caller ends it. Errors wrap ErrSuspect, spool.ErrNoRoom, the sentinels of
// etcd, lock, archive, catalog and bucket, or the cause of ctx.
func Run(ctx context.Context, c Config) (Report, error) {
	r := &run{Config: c, report: Report{Report: jobs.Report{Job: "snapshot", Cluster: c.Cluster, DryRun: c.DryRun, Started: c.Now().UTC()}}}
	err := r.do(ctx)
	return r.report, err
}

type run struct {
	Config
	report   Report
	held     *lock.Held // nil: the lock could not be taken, for the reason in unlocked
	unlocked error
}

func (r *run) do(ctx context.Context) error {
	recent, err := r.recent(ctx)
	if recent || err != nil {
		return err
	}
	if r.DryRun {
		return r.plan(ctx)
	}
	return r.locked(ctx, r.take)
}

// discover asks the cluster who is there. What it finds is newer than the lock.
func (r *run) discover(ctx context.Context) (*etcd.Cluster, error) {
	cluster, err := etcd.Discover(ctx, r.Etcd)
	if err != nil {
		return nil, err
	}
	r.noteCluster(cluster)
	r.noteIdentity(ctx, etcd.HexID(cluster.ID))
	return cluster, nil
}

// take is the run itself.
func (r *run) take(ctx context.Context) error {
	cluster, err := r.discover(ctx)
	if err != nil {
		return err
	}
	r.noteUnlocked()
	t, err := r.takeFromAny(ctx, cluster)
	if err != nil {
		return err
	}
	defer t.Close() //nolint:errcheck // its bytes are stored or given up
	m, err := r.manifest(ctx, cluster, t)
	if err != nil {
		return err
	}
	if m.Lock == lockLost && r.Done != nil && r.Done(ctx) {
		r.report.Skip, r.report.Reason = true, "another run did this while the lock was lost"
		r.Log.Info("snapshot skipped", "reason", r.report.Reason)
		return nil
	}
	if err := r.publish(ctx, m, t); err != nil {
		return err
	}
	if t.outcome.Outcome == catalog.Unequal {
		r.report.Cause = jobs.CauseSuspect
		return fmt.Errorf("archive %s: %s: %w", m.ID, t.outcome.Why, ErrSuspect)
	}
	return nil
}

// maxAhead is how far clocks may differ. What is dated later, by a clock that was wrong once, must not
// keep snapshots from being taken until then.
const maxAhead = 5 * time.Minute

// recent says whether an archive younger than IfOlderThan is committed in every store that
// answers: a rerun of the same slot has nothing to do there. Suspect archives, and those in the
// future, do not count. A store that does not answer is said; where none does, that is the error.
func (r *run) recent(ctx context.Context) (bool, error) {
	if r.IfOlderThan <= 0 {
		return false, nil
	}
	var faults []error
	var newest catalog.Manifest
	for _, store := range r.Stores {
		found, err := store.Find(ctx, catalog.Latest, time.Time{})
		switch {
		case errors.Is(err, catalog.ErrNone), errors.Is(err, catalog.ErrInterleaved):
			return false, nil
		case err != nil:
			faults = append(faults, err)
		case r.Now().Sub(found.Manifest.Started) >= r.IfOlderThan, found.Manifest.Started.Sub(r.Now()) > maxAhead:
			return false, nil
		default:
			newest = found.Manifest
		}
	}
	if len(faults) == len(r.Stores) {
		return false, errors.Join(faults...)
	}
	for _, fault := range faults {
		r.report.Blame(jobs.CauseStore, fault.Error())
	}
	r.report.Skip = true
	r.report.Archive = reportArchive(newest)
	r.Log.Info("snapshot skipped", "archive", newest.ID, "reason", "younger than --if-older-than")
	return true, nil
}

// noteCluster records what is wrong with the cluster: the snapshot is taken all the same.
func (r *run) noteCluster(c *etcd.Cluster) {
	for _, fault := range c.Faults {
		r.report.Warnings = append(r.report.Warnings, jobs.OneLine(fault))
		r.Log.Warn("endpoint did not answer", "err", fault)
	}
	if !c.Quorum {
		r.report.Blame(jobs.CauseCluster, "the cluster has no quorum")
	}
	for _, alarm := range alarms(c) {
		r.report.Blame(jobs.CauseCluster, alarm)
	}
	r.Log.Info("members found", "members", len(c.Members), "quorum", c.Quorum)
}

// identityWait is how long stores are asked for a mere warning: one that hangs must not keep the snapshot
// from the others.
const identityWait = 15 * time.Second

// noteIdentity says when the stores hold archives of another cluster under this name: as after a
// restore, or, where ours come and go between them, because two clusters write here. The snapshot
// is taken all the same. A store that cannot be read, or not soon enough, is found out later.
func (r *run) noteIdentity(ctx context.Context, id string) {
	ctx, stop := context.WithTimeout(ctx, identityWait)
	defer stop()
	type answer struct {
		other string
		mixed bool
	}
	answers := make([]answer, len(r.Stores))
	var all sync.WaitGroup
	for i, store := range r.Stores {
		all.Go(func() {
			if other, mixed, err := store.Foreign(ctx, id); err == nil {
				answers[i] = answer{other, mixed}
			}
		})
	}
	all.Wait()
	for i, a := range answers {
		url := r.Stores[i].URL()
		switch {
		case a.other == "":
		case a.mixed:
			r.report.Blame(jobs.CauseCluster, fmt.Sprintf("two clusters write under the name %q in %s: %s before, %s now; give each its own --cluster", r.Cluster, url, a.other, id))
		default:
			r.report.Warnings = append(r.report.Warnings, fmt.Sprintf("archives in %s are of cluster %s until now, this is %s: right after a restore, wrong otherwise", url, a.other, id))
		}
	}
}

// alarms is what the members report, each named.
func alarms(c *etcd.Cluster) []string {
	out := []string{}
	for _, m := range c.Members {
		if m.Err != nil {
			continue
		}
		for _, e := range m.Status.Errors {
			out = append(out, fmt.Sprintf("member %s (%s) reports %s", etcd.HexID(m.ID), m.Name, e))
		}
	}
	return out
}

// plan is what --dry-run prints: the order in which members would be tried.
func (r *run) plan(ctx context.Context) error {
	c, err := r.discover(ctx)
	if err != nil {
		return err
	}
	r.lookAtLock(ctx)
	order, out := c.Candidates()
	r.report.candidates(order, out)
	if len(order) == 0 {
		return fmt.Errorf("no member to take a snapshot from: %w", etcd.ErrUnavailable)
	}
	return r.Place.Require(need(order[0].Member.Status.DBBytes), needWhy)
}
