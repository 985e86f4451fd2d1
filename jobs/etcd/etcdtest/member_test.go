package etcdtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdsafe/etcdsafe/test/child"
	"github.com/etcdsafe/etcdsafe/test/doomed"
)

// put writes one key through a member, within a time.
func put(t *testing.T, client *clientv3.Client, wait time.Duration) error {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), wait)
	defer stop()
	_, err := client.Put(ctx, "k", "v")
	return err
}

func TestPausedMemberAnswersOnlyAfterResume(t *testing.T) {
	for _, version := range Versions {
		t.Run(version, func(t *testing.T) {
			c := Start(t, Options{Version: version})
			m, client := c.Members[0], c.Client(t)
			if err := put(t, client, callWait); err != nil {
				t.Fatalf("put before: %v", err)
			}
			m.Pause(t)
			if states, err := child.ThreadStates(m.proc.PID()); err != nil || strings.Trim(states, "T") != "" {
				t.Errorf("threads after Pause are in states %q, %v", states, err)
			}
			if m.Running() {
				t.Error("Running is true of a paused member")
			}
			if err := put(t, client, 300*time.Millisecond); err == nil {
				t.Error("a put went through a paused member")
			}
			m.Resume(t)
			if err := put(t, client, callWait); err != nil || !m.Running() {
				t.Errorf("put after Resume: %v; Running is %v", err, m.Running())
			}
		})
	}
}

func TestRestartKeepsWhatWasWritten(t *testing.T) {
	for _, end := range []struct {
		name string
		by   func(*Member, testing.TB)
	}{
		{"stop", (*Member).Stop},
		{"kill", (*Member).Kill},
		{"restart alone", func(*Member, testing.TB) {}},
		{"kill while paused", func(m *Member, t testing.TB) { m.Pause(t); m.Kill(t) }},
		{"stop while paused", func(m *Member, t testing.TB) { m.Pause(t); m.Stop(t) }},
	} {
		t.Run(end.name, func(t *testing.T) {
			c := Start(t, Options{})
			m, id := c.Members[0], c.Members[0].ID
			pid := m.proc.PID()
			if err := put(t, c.Client(t), callWait); err != nil {
				t.Fatalf("put: %v", err)
			}
			end.by(m, t)
			m.Restart(t)
			checkHas(t, c, "k")
			if m.ID != id || m.proc.PID() == pid {
				t.Errorf("restarted as member %x in process %d, was %x in %d", m.ID, m.proc.PID(), id, pid)
			}
		})
	}
}

func TestStopIsOrderlyAndKillIsNot(t *testing.T) {
	for _, version := range Versions {
		const farewell = "received signal; shutting down"
		c := Start(t, Options{Version: version})
		m := c.Members[0]
		m.Kill(t)
		if m.Running() || strings.Contains(m.Log(), farewell) {
			t.Errorf("%s: after Kill: running %v, or the log has an orderly end", version, m.Running())
		}
		m.Restart(t)
		m.Stop(t)
		if m.Running() || !strings.Contains(m.Log(), farewell) {
			t.Errorf("%s: after Stop: running %v, or the log has no orderly end", version, m.Running())
		}
	}
}

func TestRestartWithoutQuorumDoesNotWaitForOne(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{Members: 3})
	for _, m := range c.Members {
		m.Kill(t)
	}
	began := time.Now()
	c.Members[0].Restart(t)
	if took := time.Since(began); took > startWait/2 {
		t.Errorf("Restart took %v", took)
	}
	if has := c.Members[0].Metric(t, "etcd_server_has_leader"); has != 0 {
		t.Errorf("has_leader is %v with one of three", has)
	}
	c.Members[1].Restart(t) // two of three: healthy again
	if has := c.Members[0].Metric(t, "etcd_server_has_leader"); has != 1 {
		t.Errorf("has_leader is %v with two of three", has)
	}
}

func TestRestartTakesNewFlagsAndVersion(t *testing.T) {
	c := Start(t, Options{Version: "3.5"})
	m := c.Members[0]
	m.Version, m.Args = "3.6", []string{"--snapshot-count=778"}
	m.Restart(t)
	status, err := c.Client(t).Status(t.Context(), m.ListenURL)
	if err != nil || !strings.HasPrefix(status.Version, "3.6.") || !strings.Contains(m.Log(), `"snapshot-count":778`) {
		t.Errorf("after an upgrade: %v, %v", status, err)
	}
}

func TestHashKVIsTheSameOnAllMembersAndFollowsTheData(t *testing.T) {
	for _, version := range Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := Start(t, Options{Version: version, Members: 3})
			client := c.Client(t, 0)
			var revs []int64
			for i := range 10 {
				resp, err := client.Put(t.Context(), fmt.Sprint(i%3), fmt.Sprint(i))
				if err != nil {
					t.Fatalf("put: %v", err)
				}
				revs = append(revs, resp.Header.Revision)
			}
			for i := range c.Members { // a linearizable read, so that each has applied all
				checkHasOn(t, c, i, "0")
			}
			seen := map[uint32]int64{}
			for _, rev := range revs {
				hash, _ := c.HashKV(t, 0, rev)
				if other, ok := seen[hash]; ok {
					t.Errorf("revisions %d and %d have the same hash", other, rev)
				}
				seen[hash] = rev
				for i := range c.Members {
					if h, _ := c.HashKV(t, i, rev); h != hash {
						t.Errorf("at revision %d member %d has hash %d, member 0 has %d", rev, i, h, hash)
					}
				}
			}
			if _, err := client.Compact(t.Context(), revs[5], clientv3.WithCompactPhysical()); err != nil {
				t.Fatalf("compact: %v", err)
			}
			if _, compacted := c.HashKV(t, 0, 0); compacted != revs[5] {
				t.Errorf("compact revision %d, want %d", compacted, revs[5])
			}
		})
	}
}

func checkHasOn(t *testing.T, c *Cluster, member int, key string) {
	t.Helper()
	if resp, err := c.Client(t, member).Get(t.Context(), key); err != nil || len(resp.Kvs) != 1 {
		t.Errorf("get through member %d: %v, %v", member, resp, err)
	}
}

func TestLearnerCatchesUpWithoutAVote(t *testing.T) {
	for _, version := range Versions {
		for _, o := range []Options{{Version: version}, {Version: version, Members: 3, TLS: true, Auth: true}} {
			t.Run(fmt.Sprintf("%s/members=%d", version, o.Members), func(t *testing.T) {
				t.Parallel()
				c := Start(t, o)
				var last int64
				for range 50 {
					resp, err := c.Client(t).Put(t.Context(), "k", "v")
					if err != nil {
						t.Fatalf("put: %v", err)
					}
					last = resp.Header.Revision
				}
				m := c.AddLearner(t)
				if c.Members[len(c.Members)-1] != m || !m.Learner {
					t.Fatal("the learner is not the last of Members, or is no learner")
				}
				if voters := c.Client(t).Endpoints(); len(voters) != len(c.Members)-1 || slices.Contains(voters, m.ListenURL) {
					t.Errorf("a client of the voters has the endpoints %q; the learner is %s", voters, m.ListenURL)
				}
				status, err := c.ClientAs(t, "", "", len(c.Members)-1).Status(t.Context(), m.ListenURL)
				if err != nil || !status.IsLearner || status.Header.Revision < last || status.Header.MemberId != m.ID {
					t.Errorf("status of learner %x is %v, %v; want a learner at revision %d or later", m.ID, status, err, last)
				}
				if m.Metric(t, "etcd_server_is_learner") != 1 {
					t.Error("the metric does not say that it is a learner")
				}
			})
		}
	}
}

func TestMoveLeaderMoves(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{Members: 3, TLS: true, Auth: true})
	for range 3 {
		to := (c.Leader(t) + 1) % 3
		c.MoveLeader(t, to)
		status, err := c.Client(t, to).Status(t.Context(), c.Members[to].ListenURL)
		if err != nil || status.Leader != c.Members[to].ID || c.Leader(t) != to {
			t.Fatalf("after MoveLeader to %d: %v, %v, Leader %d", to, status, err, c.Leader(t))
		}
	}
}

func TestLeaderIsNotAPausedOne(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{Members: 3})
	before := c.Leader(t)
	c.Members[before].Pause(t)
	if after := c.Leader(t); after == before {
		t.Errorf("Leader is %d, which is paused", after)
	}
}

func TestMetricThatIsMissingFails(t *testing.T) {
	c := Start(t, Options{})
	if said := doomed.Said(t, func(t testing.TB) { c.Members[0].Metric(t, "no_such") }); !strings.Contains(said, "no_such") {
		t.Errorf("Metric said %q", said)
	}
}
