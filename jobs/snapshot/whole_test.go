package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

const canary = "canary-value-in-etcd-8841"

// writes keeps c busy without compacting, until the test ends or stop is called.
func writes(t *testing.T, client *clientv3.Client) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if n%7 == 6 {
				_, _ = client.Delete(ctx, fmt.Sprintf("/registry/pods/p%03d", (n-3)%100))
				continue
			}
			_, _ = client.Put(ctx, fmt.Sprintf("/registry/pods/p%03d", n%100), strings.Repeat(canary, 1+n%20))
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// TestAWholeSnapshotOfEachVersion takes one from three members with mTLS and auth, written to
// all the while, and holds report and manifest to what the members and the bytes say.
func TestAWholeSnapshotOfEachVersion(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Version: version, Members: 3, TLS: true, Auth: true})
			client := c.Client(t)
			stop := writes(t, client)
			waitForRevision(t, client, 300)
			if _, err := client.Compact(t.Context(), 200); err != nil {
				t.Fatalf("Compact: %v", err)
			}
			r := newRig(t, c)
			r.Reason, r.Labels = "nightly", map[string]string{"team": "a"}
			report, m := r.taken()
			stop()
			if t.Failed() {
				return
			}
			checkSource(t, c, m)
			checkBytes(t, r, m)
			checkReport(t, r, report, m)
			checkHash(t, c, m)
			said := everything(t, r, report, nil)
			for _, secret := range []string{canary, etcdtest.RootPassword, "AGE-SECRET"} {
				if strings.Contains(said, secret) {
					t.Errorf("log, report or manifest hold %q", secret)
				}
			}
		})
	}
}

func waitForRevision(t *testing.T, client *clientv3.Client, least int64) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
	defer stop()
	for {
		resp, err := client.Get(ctx, "x")
		if err != nil {
			t.Fatalf("get: %v", err)
		}
		if resp.Header.Revision >= least {
			return
		}
	}
}

// checkSource compares the manifest with the members' own words.
func checkSource(t *testing.T, c *etcdtest.Cluster, m catalog.Manifest) {
	t.Helper()
	i, from := named(t, c, m.Member.Name)
	status, err := c.Client(t, i).Status(t.Context(), from.ListenURL)
	if err != nil {
		t.Fatalf("Status: %v", err)
	}
	want := catalog.Source{ID: etcd.HexID(from.ID), Name: from.Name, Endpoint: from.ClientURL, Version: status.Version}
	if m.Member != want || i == c.Leader(t) {
		t.Errorf("manifest's member is %+v, want %+v, a follower", m.Member, want)
	}
	if want := (catalog.Cluster{Name: "prod", ID: etcd.HexID(status.Header.ClusterId)}); m.Cluster != want {
		t.Errorf("manifest's cluster is %+v, want %+v", m.Cluster, want)
	}
	if len(m.Members) != len(c.Members) {
		t.Fatalf("manifest has %d members, want %d", len(m.Members), len(c.Members))
	}
	for i, of := range c.Members {
		got := m.Members[i]
		if got.ID != etcd.HexID(of.ID) || got.Name != of.Name || got.Learner || !slices.Equal(got.ClientURLs, []string{of.ClientURL}) || !slices.Equal(got.PeerURLs, []string{of.PeerURL}) {
			t.Errorf("manifest's member %d is %+v, want %s", i, got, of.Name)
		}
	}
	s := m.Snapshot
	if s.Term != status.RaftTerm || s.Index == 0 || s.Index > status.RaftAppliedIndex || s.Revision > status.Header.Revision || s.Revision < 300 || s.CompactRevision != 200 && s.ScheduledRev != 200 {
		t.Errorf("manifest's snapshot is %+v, the member's status %+v", s, status)
	}
	if !m.Quorum || len(m.Alarms) != 0 || len(m.Suspect) != 0 || m.Source != "live" || m.Kind != "full" || m.Reason != "nightly" || m.Labels["team"] != "a" {
		t.Errorf("manifest tells of a sound cluster as %+v", m)
	}
}

// checkBytes opens the archive with the identity and reads everything again.
func checkBytes(t *testing.T, r *rig, m catalog.Manifest) {
	t.Helper()
	var db bytes.Buffer
	if err := r.content(r.Stores[0], m, &db); err != nil {
		t.Fatalf("open the archive: %v", err)
	}
	body, digest := db.Bytes()[:db.Len()-sha256.Size], db.Bytes()[db.Len()-sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], digest) {
		t.Error("the snapshot does not end in the SHA-256 of the rest")
	}
	whole := sha256.Sum256(db.Bytes())
	s, f := m.Snapshot, inspect(t, db.Bytes())
	if s.SHA256 != hex.EncodeToString(whole[:]) || s.Bytes != int64(db.Len()) {
		t.Errorf("manifest's snapshot is %+v, its bytes are %d with SHA-256 %x", s, db.Len(), whole)
	}
	if s.Revision != f.Revision || s.CompactRevision != f.CompactRevision || s.ScheduledRev != f.ScheduledRev || s.Term != f.Term || s.Index != f.Index ||
		s.Keys != f.Keys || s.Hash != fmt.Sprintf("%08x", f.Hash) || s.DBBytes != f.Bytes || !s.Kubernetes || m.HashKV.Hash != f.HashKV {
		t.Errorf("manifest tells %+v and %+v, the bytes %+v", s, m.HashKV, f)
	}
	if s.Keys < 50 || s.Keys > 100 {
		t.Errorf("manifest tells of %d keys, the writer keeps at most 100 alive", s.Keys)
	}
	name := "prod/" + m.Archive.Object
	wantFiles(t, r.store, "prod/RECOVERY.md", name, "prod/manifests/"+string(m.ID)+".json")
	if !strings.HasSuffix(name, ".db.zst.age") || len(m.Recipients) != 1 || !slices.Equal(m.Recipients, r.Recipients.Fingerprints()) {
		t.Errorf("archive %s is sealed to %q", name, m.Recipients)
	}
}

func checkReport(t *testing.T, r *rig, report Report, m catalog.Manifest) {
	t.Helper()
	a := report.Archive
	if a.ID != m.ID || a.Revision != m.Snapshot.Revision || a.SHA256 != m.Archive.SHA256 || a.Bytes != m.Archive.Bytes || a.SnapshotBytes != m.Snapshot.Bytes ||
		a.SnapshotSHA256 != m.Snapshot.SHA256 || a.Hash != m.Snapshot.Hash || a.TotalKey != m.Snapshot.Keys || a.TotalSize != m.Snapshot.DBBytes || !a.Encrypted ||
		len(a.Suspect) != 0 || a.Member != m.Member || a.ClusterID != m.Cluster.ID || a.HashKV.Outcome != m.HashKV.Outcome {
		t.Errorf("report's archive is %+v, the manifest %+v", a, m)
	}
	if len(report.Stores) != 1 || report.Stores[0] != (StoreReport{URL: "file://" + r.store, Result: "ok"}) || report.Cause != "" || len(report.Warnings) != 0 {
		t.Errorf("report tells of stores %+v, cause %q, warnings %q", report.Stores, report.Cause, report.Warnings)
	}
	want := map[string]string{}
	for _, member := range report.Members {
		want[member.Name] = "candidate"
	}
	want[m.Member.Name] = "taken"
	wantTaken(t, report, m.Member.Name, want)
	if last := report.Members[len(report.Members)-1]; !last.Leader || len(report.Members) != 3 {
		t.Errorf("members are %+v, want three and the leader last", report.Members)
	}
}

// checkHash asks each member for its hash at the archive's revision, as it is today.
func checkHash(t *testing.T, c *etcdtest.Cluster, m catalog.Manifest) {
	t.Helper()
	if m.HashKV.Outcome != catalog.Equal || !slices.Equal(m.HashKV.Agreed, []string{m.Member.ID}) || m.HashKV.Revision != m.Snapshot.Revision {
		t.Errorf("manifest's HashKV is %+v, want equal with the member that served", m.HashKV)
	}
	for i := range c.Members {
		if hash, at := c.HashKV(t, i, m.Snapshot.Revision); hash != m.HashKV.Hash || at != m.HashKV.CompactRevision {
			t.Errorf("HashKV of member %d is %d at compaction %d, the manifest says %+v", i, hash, at, m.HashKV)
		}
	}
}

func TestCompareAllAsksEveryFollower(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c.Put(t, noise(10, 100))
	r := newRig(t, c)
	r.Compare = CompareAll
	_, m := r.taken()
	var followers []string
	for i, member := range c.Members {
		if i != c.Leader(t) {
			followers = append(followers, etcd.HexID(member.ID))
		}
	}
	for _, id := range followers {
		if m.HashKV.Outcome != catalog.Equal || !slices.Contains(m.HashKV.Agreed, id) || len(m.HashKV.Differed) != 0 {
			t.Errorf("HashKV is %+v, want the followers %q to agree", m.HashKV, followers)
		}
	}
}

func TestCompareOffAsksNobody(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	r := newRig(t, c)
	r.Compare = CompareOff
	report, m := r.taken()
	if m.HashKV.Outcome != catalog.Off || len(m.HashKV.Agreed) != 0 || report.Cause != "" {
		t.Errorf("HashKV is %+v, cause %q; want off", m.HashKV, report.Cause)
	}
	if asked := c.Members[0].Metric(t, `grpc_server_started_total{grpc_method="HashKV",grpc_service="etcdserverpb.Maintenance",grpc_type="unary"}`); asked != 0 {
		t.Errorf("%v members were asked for HashKV, want none", asked)
	}
}

func TestAnEmptyClusterIsTaken(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		r := newRig(t, etcdtest.Start(t, etcdtest.Options{Version: version}))
		_, m := r.taken()
		if m.Snapshot.Keys != 0 || m.Snapshot.Revision != 1 || m.Snapshot.Kubernetes || m.HashKV.Outcome != catalog.Equal || !m.Member.Leader {
			t.Errorf("%s: manifest of an empty cluster is %+v, %+v", version, m.Snapshot, m.HashKV)
		}
	}
}

func TestDryRunTakesNothing(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	r := newRig(t, c)
	r.DryRun = true
	report, err := r.run(t.Context())
	if err != nil || report.Committed || report.Archive != nil || len(report.Members) != 3 || !report.Members[2].Leader {
		t.Errorf("a dry run = %v, %+v; want three members, the leader last, and no archive", err, report)
	}
	wantFiles(t, r.store)
	if n := streams(t, c); n != 0 {
		t.Errorf("%d streams were opened", n)
	}
}
