package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// maxSkew is how far our clock may be from a store's before it is said.
const maxSkew = 5 * time.Minute

// manifest makes the manifest of t, all of it but its SHA-256.
func (r *run) manifest(c *etcd.Cluster, t *taken) (catalog.Manifest, error) {
	id, err := catalog.NewID(t.started, t.facts.Revision, r.Random)
	if err != nil {
		return catalog.Manifest{}, err
	}
	codecs := r.Recipients.Codecs()
	m := catalog.Manifest{
		ID: id, Tool: r.Tool, Started: t.started, Source: "live", Lock: "none",
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

// publish stores, reads back and commits the archive in every store, each on its own: one that
// fails does not hide the others. The error comes only when none holds the archive.
func (r *run) publish(ctx context.Context, m catalog.Manifest, t *taken) error {
	m.Finished = r.Now().UTC()
	if _, err := m.Encode(); err != nil {
		return err
	}
	r.report.Archive = reportArchive(m)
	if len(t.outcome.Differed) > 0 {
		r.report.Blame(jobs.CauseCluster, "members differ: "+t.outcome.Why)
	}
	var faults []error
	for _, store := range r.Stores {
		err := r.publishTo(ctx, store, m, t)
		r.report.store(store.URL(), err)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		r.report.Committed = true
	}
	switch {
	case len(faults) == len(r.Stores):
		return errors.Join(faults...)
	case len(faults) > 0:
		for _, err := range faults {
			r.report.Blame(jobs.CauseStore, err.Error())
			r.Log.Error("store did not take the archive", "archive", m.ID, "err", err)
		}
	}
	return nil
}

func (r *run) publishTo(ctx context.Context, store *catalog.Catalog, m catalog.Manifest, t *taken) error {
	began := r.Now()
	src := io.NewSectionReader(t.sealed.File(), 0, m.Archive.Bytes)
	if err := store.PutArchive(ctx, m.ID, m.Codecs, src, m.Archive.Bytes); err != nil {
		return err
	}
	r.Log.Info("archive stored", "archive", m.ID, "store", store.URL(), "bytes", m.Archive.Bytes, "took", r.Now().Sub(began).Round(time.Millisecond).String(), "stage", "upload")
	if err := r.readBack(ctx, store, m); err != nil {
		return err
	}
	r.Log.Debug("archive read back", "archive", m.ID, "store", store.URL(), "stage", "readback")
	if err := store.PutRecovery(ctx, recovery()); err != nil {
		return err
	}
	if err := store.Commit(ctx, m); err != nil {
		return err
	}
	r.Log.Info("archive committed", "archive", m.ID, "store", store.URL(), "revision", m.Snapshot.Revision, "bytes", m.Archive.Bytes, "stage", "commit")
	return nil
}

// readBack compares what the store gives with what it was given.
func (r *run) readBack(ctx context.Context, store *catalog.Catalog, m catalog.Manifest) error {
	body, obj, err := store.OpenArchive(ctx, m.ID, m.Codecs)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // a reader's Close
	if _, err := io.Copy(io.Discard, m.Expect().Sealed(body)); err != nil {
		return fmt.Errorf("read back archive %s in %s: %w", m.ID, store.URL(), err)
	}
	if skew := r.Now().Sub(obj.ModTime); skew.Abs() > maxSkew {
		r.report.Blame(jobs.CauseClock, fmt.Sprintf("our clock is %s from that of %s", skew.Round(time.Second), store.URL()))
	}
	return nil
}
