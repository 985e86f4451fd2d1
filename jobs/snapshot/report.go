package snapshot

import (
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// Report is what a run did.
type Report struct {
	jobs.Report
	Archive *ArchiveReport `json:"archive,omitempty"`
	Stores  []StoreReport  `json:"stores,omitempty"`
	Members []MemberReport `json:"members,omitempty"`
}

// ArchiveReport names an archive. Hash, revision, totalKey and totalSize are those of
// `etcdutl snapshot status`.
type ArchiveReport struct {
	ID             catalog.ID     `json:"id"`
	Revision       int64          `json:"revision"`
	SHA256         string         `json:"sha256"`
	Bytes          int64          `json:"bytes"`
	SnapshotBytes  int64          `json:"snapshotBytes"`
	SnapshotSHA256 string         `json:"snapshotSHA256"`
	Hash           string         `json:"hash"`
	TotalKey       int64          `json:"totalKey"`
	TotalSize      int64          `json:"totalSize"`
	HashKV         catalog.HashKV `json:"hashKV"`
	Encrypted      bool           `json:"encrypted"`
	Suspect        []string       `json:"suspect,omitempty"`
	Member         catalog.Source `json:"member"`
	ClusterID      string         `json:"clusterId"`
}

// StoreReport is how one store took the archive.
type StoreReport struct {
	URL    string      `json:"url"`
	Result jobs.Result `json:"result"`
	Error  string      `json:"error,omitempty"`
}

// MemberReport is why a member was tried or not, and what came of it.
type MemberReport struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Leader  bool   `json:"leader"`
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
}

func reportArchive(m catalog.Manifest) *ArchiveReport {
	return &ArchiveReport{
		ID: m.ID, Revision: m.Snapshot.Revision, SHA256: m.Archive.SHA256, Bytes: m.Archive.Bytes,
		SnapshotBytes: m.Snapshot.Bytes, SnapshotSHA256: m.Snapshot.SHA256,
		Hash: m.Snapshot.Hash, TotalKey: m.Snapshot.Keys, TotalSize: m.Snapshot.DBBytes,
		HashKV: m.HashKV, Encrypted: len(m.Recipients) > 0, Suspect: m.Suspect, Member: m.Member, ClusterID: m.Cluster.ID,
	}
}

func (r *Report) candidates(order, out []etcd.Candidate) {
	for _, c := range order {
		r.Members = append(r.Members, memberReport(c, "candidate"))
	}
	for _, c := range out {
		r.Members = append(r.Members, memberReport(c, "left out"))
	}
}

func memberReport(c etcd.Candidate, verdict string) MemberReport {
	return MemberReport{ID: etcd.HexID(c.Member.ID), Name: c.Member.Name, Leader: c.Member.Status.IsLeader(), Verdict: verdict, Reason: c.Why}
}

// tried replaces a candidate's verdict by what came of it.
func (r *Report) tried(c etcd.Candidate, t *taken, err error) {
	for i := range r.Members {
		m := &r.Members[i]
		switch {
		case m.ID != etcd.HexID(c.Member.ID):
		case err != nil:
			m.Verdict, m.Reason = "failed", err.Error()
		case t.outcome.Outcome == catalog.Unequal:
			m.Verdict, m.Reason = "unequal", t.outcome.Why
		default:
			m.Verdict = "taken"
		}
	}
}

func (r *Report) store(url string, err error) {
	s := StoreReport{URL: url, Result: jobs.OK}
	if err != nil {
		s.Result, s.Error = jobs.Failed, err.Error()
	}
	r.Stores = append(r.Stores, s)
}
