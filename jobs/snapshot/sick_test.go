package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// TestWithoutAQuorumASnapshotIsTaken leaves one of three members with mTLS: a follower or the
// leader, the moment that the others stop or once it knows of no leader.
func TestWithoutAQuorumASnapshotIsTaken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		leader, leadless bool
		version          string
	}{
		{"a follower, at once", false, false, "3.5"},
		{"the leader, at once", true, false, "3.6"},
		{"a leaderless member", false, true, "3.6"},
		{"a leaderless member that led", true, true, "3.7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.Start(t, etcdtest.Options{Version: c.version, Members: 3, TLS: true})
			cluster.Put(t, noise(10, 1000))
			left := cluster.Leader(t)
			if !c.leader {
				left = (left + 1) % 3
			}
			for i, m := range cluster.Members {
				if i != left {
					m.Kill(t)
				}
			}
			if c.leadless {
				waitLeaderless(t, cluster, left)
			}
			r := newRig(t, cluster)
			r.Etcd.Timeout = 2 * time.Second
			report, m := r.taken()
			wantCause(t, report, jobs.CauseCluster, "no quorum")
			if m.Quorum || m.Member.Name != cluster.Members[left].Name || len(m.Members) != 3 || len(m.Suspect) != 0 {
				t.Errorf("manifest says quorum %v, member %+v of %d, suspect %q", m.Quorum, m.Member, len(m.Members), m.Suspect)
			}
			if m.Snapshot.Keys != 10 {
				t.Errorf("snapshot holds %d keys, want 10", m.Snapshot.Keys)
			}
			if m.HashKV.Outcome != catalog.Equal {
				t.Errorf("HashKV is %+v, want equal: a member answers it without a quorum", m.HashKV)
			}
			if c.leadless && !slices.ContainsFunc(m.Alarms, func(a string) bool { return strings.Contains(a, "no leader") }) {
				t.Errorf("manifest's alarms are %q, want that there is no leader", m.Alarms)
			}
		})
	}
}

func waitLeaderless(t *testing.T, c *etcdtest.Cluster, member int) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	for {
		s, err := c.Client(t, member).Status(ctx, c.Members[member].ListenURL)
		if err != nil {
			t.Fatalf("Status: %v", err)
		}
		if s.Leader == 0 {
			return
		}
	}
}

// TestWithoutAQuorumAPasswordIsNoGood: logins go through raft. It must be said, in time.
func TestWithoutAQuorumAPasswordIsNoGood(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3, Auth: true})
	r := newRig(t, c)
	r.Etcd.Timeout = 2 * time.Second
	for _, m := range c.Members[1:] {
		m.Kill(t)
	}
	began := time.Now()
	if _, err := r.refused(); !errors.Is(err, etcd.ErrUnavailable) {
		t.Errorf("Run = %v, want ErrUnavailable", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Run took %s to say so", took)
	}
}

func TestWithNoSpaceASnapshotIsTaken(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Version: version, Members: 3, QuotaBytes: 2 << 20})
			client := c.Client(t)
			for i := 0; ; i++ {
				if i == 1000 {
					t.Fatal("the quota was never reached")
				}
				if _, err := client.Put(t.Context(), fmt.Sprintf("k%d", i), strings.Repeat("x", 50_000)); errors.Is(err, rpctypes.ErrNoSpace) {
					break
				} else if err != nil {
					t.Fatalf("put: %v", err)
				}
			}
			r := newRig(t, c)
			report, m := r.taken()
			wantCause(t, report, jobs.CauseCluster, "NOSPACE")
			if !m.Quorum || len(m.Suspect) != 0 || !strings.Contains(strings.Join(m.Alarms, " "), "NOSPACE") || m.HashKV.Outcome != catalog.Equal {
				t.Errorf("manifest says quorum %v, suspect %q, alarms %q, HashKV %+v", m.Quorum, m.Suspect, m.Alarms, m.HashKV)
			}
			if found, err := r.Stores[0].Find(t.Context(), catalog.Latest, time.Time{}); err != nil || found.Manifest.ID != m.ID {
				t.Errorf("Find(latest) = %v, want the archive", err)
			}
		})
	}
}

func TestWithACorruptAlarmTheSnapshotIsSuspect(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Version: version, Members: 3})
			c.Put(t, noise(10, 1000))
			client := c.Client(t)
			alarm := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: c.Members[1].ID, Alarm: pb.AlarmType_CORRUPT}
			if _, err := pb.NewMaintenanceClient(client.ActiveConnection()).Alarm(t.Context(), alarm); err != nil {
				t.Fatalf("raise the alarm: %v", err)
			}
			r := newRig(t, c)
			report, m := r.taken()
			wantCause(t, report, jobs.CauseCluster, "CORRUPT")
			if !m.Quorum || !strings.Contains(strings.Join(m.Suspect, " "), "CORRUPT") || !strings.Contains(strings.Join(m.Alarms, " "), "CORRUPT") || m.Snapshot.Keys != 10 {
				t.Errorf("manifest says quorum %v, suspect %q, alarms %q, %d keys", m.Quorum, m.Suspect, m.Alarms, m.Snapshot.Keys)
			}
			wantNotLatest(t, r.Stores[0])
		})
	}
}

func TestNoMemberInReachLeavesNothing(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	r := newRig(t, c)
	for _, m := range c.Members {
		m.Kill(t)
	}
	if _, err := r.refused(); !errors.Is(err, etcd.ErrUnavailable) {
		t.Errorf("Run = %v, want ErrUnavailable", err)
	}
}

// TestADeadEndpointIsSaid: the run goes on, and the report tells of it.
func TestADeadEndpointIsSaid(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3, Proxied: true})
	r := newRig(t, c)
	dead := c.Members[0]
	if c.Leader(t) == 0 {
		c.MoveLeader(t, 1)
	}
	dead.Proxy.Refuse()
	report, m := r.taken()
	if !strings.Contains(strings.Join(report.Warnings, " "), dead.Proxy.Addr) || m.Member.Name == dead.Name || !m.Quorum || report.Cause != "" {
		t.Errorf("warnings %q, member %s, quorum %v, cause %q", report.Warnings, m.Member.Name, m.Quorum, report.Cause)
	}
	for _, of := range report.Members {
		if of.Name == dead.Name && of.Verdict != "left out" {
			t.Errorf("member %s is %q, want it left out", of.Name, of.Verdict)
		}
	}
}
