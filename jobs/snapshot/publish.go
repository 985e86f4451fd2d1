package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// maxSkew is how far our clock may be from a store's before it is said.
const maxSkew = 5 * time.Minute

// manifest makes the manifest of t, all of it but its SHA-256.
func (r *run) manifest(ctx context.Context, c *etcd.Cluster, t *taken) (catalog.Manifest, error) {
	id, err := catalog.NewID(t.started, t.facts.Revision, r.Random)
	if err != nil {
		return catalog.Manifest{}, err
	}
	codecs := r.Recipients.Codecs()
	m := catalog.Manifest{
		ID: id, Tool: r.Tool, Runner: &r.Runner, Started: t.started, Source: "live", Lock: r.proveLock(ctx),
		Cluster: catalog.Cluster{Name: r.Cluster, ID: etcd.HexID(c.ID)},
		Member: catalog.Source{ID: etcd.HexID(t.member.ID), Name: t.member.Name, Endpoint: t.member.Endpoint(),
			Version: t.before.Version, Leader: t.before.IsLeader()},
		Members: members(c),
		Snapshot: catalog.Snapshot{
			Bytes: t.snapshotBytes, SHA256: t.snapshotSHA256,
			Revision: t.facts.Revision, CompactRevision: t.facts.CompactRevision, ScheduledRev: t.facts.ScheduledRev,
			Term: t.facts.Term, Index: t.facts.Index, Keys: t.facts.Keys, Hash: fmt.Sprintf("%08x", t.facts.Hash),
			DBBytes: t.facts.Bytes, DBInUseBytes: t.before.InUseBytes, Kubernetes: t.facts.Kubernetes,
		},
		HashKV: t.outcome, Quorum: c.Quorum, Alarms: alarms(c), Suspect: suspicions(c, t),
		Archive: catalog.Archive{Object: catalog.ArchiveObject(id, codecs), Bytes: t.archive.Bytes, SHA256: t.archive.SHA256},
		Codecs:  codecs, Recipients: append([]string{}, r.Recipients.Fingerprints()...),
		Tripwires: []string{}, Reason: r.Reason, Labels: r.Labels,
	}
	if m.Labels == nil {
		m.Labels = map[string]string{}
	}
	return m, nil
}

func members(c *etcd.Cluster) []catalog.Member {
	var out []catalog.Member
	for _, m := range c.Members {
		out = append(out, catalog.Member{ID: etcd.HexID(m.ID), Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, Learner: m.Learner})
	}
	return out
}

// suspicions is why the archive must never be chosen by default, or nothing.
func suspicions(c *etcd.Cluster, t *taken) []string {
	var out []string
	if t.outcome.Outcome == catalog.Unequal {
		out = append(out, t.outcome.Why)
	}
	for _, m := range c.Members {
		if m.Err == nil && m.Status.Corrupt() {
			out = append(out, fmt.Sprintf("member %s (%s) reports alarm CORRUPT", etcd.HexID(m.ID), m.Name))
		}
	}
	return out
}

// publish stores, reads back and commits the archive in every store at once, each on its own: one
// that fails does not hide the others. The error comes only when none holds the archive, or when ctx
// ended before all did: then the report tells which do.
func (r *run) publish(ctx context.Context, m catalog.Manifest, t *taken) error {
	m.Finished = r.Now().UTC()
	text, err := m.Encode()
	if err != nil {
		return err
	}
	r.report.Archive = reportArchive(m)
	if len(t.outcome.Differed) > 0 {
		r.report.Blame(jobs.CauseCluster, "members differ: "+t.outcome.Why)
	}
	ends := make([]published, len(r.Stores))
	var wait sync.WaitGroup
	for i, store := range r.Stores {
		wait.Go(func() { ends[i] = r.publishTo(ctx, store, m, text, t) })
	}
	wait.Wait()
	var faults []error
	for i, store := range r.Stores {
		r.report.store(store.URL(), ends[i].err)
		for _, note := range store.Notes() {
			r.report.Warnings = append(r.report.Warnings, store.URL()+": "+note)
		}
		if ends[i].err != nil {
			faults = append(faults, ends[i].err)
			continue
		}
		r.report.Committed = true
		if ends[i].skew.Abs() > maxSkew {
			r.report.Blame(jobs.CauseClock, fmt.Sprintf("our clock is %s from that of %s", ends[i].skew.Round(time.Second), store.URL()))
		}
	}
	if len(faults) == len(r.Stores) || len(faults) > 0 && ctx.Err() != nil {
		return errors.Join(faults...)
	}
	for _, err := range faults {
		r.report.Blame(jobs.CauseStore, jobs.OneLine(err))
		r.Log.Error("store did not take the archive", "archive", m.ID, "err", err)
	}
	return nil
}

// published is how it ended in one store, and how far our clock is from its.
type published struct {
	skew time.Duration
	err  error
}

func (r *run) publishTo(ctx context.Context, store *catalog.Catalog, m catalog.Manifest, text []byte, t *taken) published {
	began := r.Now()
	var stored time.Time
	log := r.Log.With("archive", m.ID, "store", store.URL())
	if err := r.hold(ctx, store, m); err != nil {
		return published{err: err}
	}
	written, err := store.Publish(ctx, m, text, t.sealed.File(), catalog.Steps{
		Stored: func() {
			stored = r.Now()
			log.Info("archive stored", "bytes", m.Archive.Bytes, "took", r.Now().Sub(began).Round(time.Millisecond).String(), "stage", "upload")
		},
		ReadBack: func() { log.Debug("archive read back", "stage", "readback") },
		Committed: func() {
			log.Info("archive committed", "revision", m.Snapshot.Revision, "bytes", m.Archive.Bytes, "stage", "commit")
		},
	})
	if err != nil {
		return published{err: err}
	}
	return published{skew: outside(written, began, stored)}
}

// hold is written before the manifest: there is no moment at which prune could come between.
func (r *run) hold(ctx context.Context, store *catalog.Catalog, m catalog.Manifest) error {
	if r.Hold == "" {
		return nil
	}
	return store.PutHold(ctx, catalog.Hold{Archive: m.ID, Reason: r.Hold, Written: m.Started, Tool: r.Tool}, false, string(m.ID[len(m.ID)-4:]))
}

// outside is how far t lies outside the time between two others: 0 within. A store's time of an
// object may be that of any moment of its upload.
func outside(t, from, to time.Time) time.Duration {
	switch {
	case t.Before(from):
		return from.Sub(t)
	case t.After(to):
		return to.Sub(t)
	}
	return 0
}
