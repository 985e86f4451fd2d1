package snapshot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// proxied is n members with some MB in them, each behind a proxy.
func proxied(t *testing.T, n int) (*etcdtest.Cluster, *rig) {
	t.Helper()
	c := etcdtest.Start(t, etcdtest.Options{Members: n, Proxied: true})
	c.Put(t, noise(40, 100_000))
	return c, newRig(t, c)
}

// inStream calls f once, at the first message of the first stream.
func (r *rig) inStream(f func()) {
	done := false
	r.Progress = func(string, int64, int64) {
		if !done {
			done = true
			f()
		}
	}
}

// TestAMemberThatFailsInMidStreamIsPassedOver breaks the first candidate in each way, and looks
// at whom the archive is of.
func TestAMemberThatFailsInMidStreamIsPassedOver(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		fail func(t *testing.T, m *etcdtest.Member)
		says string
	}{
		{"cut by reset", func(_ *testing.T, m *etcdtest.Member) { m.Proxy.CutAfter(200_000, etcdtest.RST) }, "connection"},
		{"cut by an orderly end", func(_ *testing.T, m *etcdtest.Member) { m.Proxy.CutAfter(200_000, etcdtest.FIN) }, "connection"},
		{"stalled", func(_ *testing.T, m *etcdtest.Member) { m.Proxy.StallAfter(200_000) }, "slower than the floor"},
		{"slow", func(_ *testing.T, m *etcdtest.Member) { m.Proxy.Rate(100_000) }, "slower than the floor"},
		{"killed", func(t *testing.T, m *etcdtest.Member) { m.Kill(t) }, "connection"},
		{"frozen", func(t *testing.T, m *etcdtest.Member) { m.Pause(t) }, "slower than the floor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cluster, r := proxied(t, 3)
			r.Floor.Window = 700 * time.Millisecond
			names := order(t, r)
			_, first := named(t, cluster, names[0])
			r.inStream(func() { c.fail(t, first) })
			report, m := r.taken()
			wantTaken(t, report, names[1], map[string]string{names[0]: "failed", names[1]: "taken", names[2]: "candidate"})
			if reason := report.Members[0].Reason; !strings.Contains(reason, c.says) {
				t.Errorf("member %s failed for %q, want %q in it", names[0], reason, c.says)
			}
			if m.Member.Leader || report.Cause != "" {
				t.Errorf("archive is of %+v with cause %q, want a follower's and none", m.Member, report.Cause)
			}
		})
	}
}

// TestTheLeaderIsTakenLast fails both followers.
func TestTheLeaderIsTakenLast(t *testing.T) {
	t.Parallel()
	c, r := proxied(t, 3)
	names := order(t, r)
	leader := c.Members[c.Leader(t)].Name
	for _, m := range c.Members {
		if m.Name != leader {
			m.Proxy.CutAfter(1_000_000, etcdtest.RST)
		}
	}
	report, m := r.taken()
	wantTaken(t, report, leader, map[string]string{names[0]: "failed", names[1]: "failed", leader: "taken"})
	if !m.Member.Leader {
		t.Errorf("manifest says of its member %+v, want the leader", m.Member)
	}
}

// TestNoMembersStreamLeavesNothing cuts, stalls or slows all of them.
func TestNoMembersStreamLeavesNothing(t *testing.T) {
	t.Parallel()
	c, r := proxied(t, 3)
	r.Floor.Window = 500 * time.Millisecond
	for _, fail := range []struct {
		name string
		how  func(p *etcdtest.Proxy)
		want error
	}{
		{"cut", func(p *etcdtest.Proxy) { p.CutAfter(1_000_000, etcdtest.RST) }, etcd.ErrUnavailable},
		{"stalled", func(p *etcdtest.Proxy) { p.StallAfter(1_000_000) }, etcd.ErrSlow},
		{"slow", func(p *etcdtest.Proxy) { p.Rate(200_000) }, etcd.ErrSlow},
	} {
		t.Run(fail.name, func(t *testing.T) {
			r.t = t
			for _, m := range c.Members {
				m.Proxy.Heal(t)
				fail.how(m.Proxy)
			}
			report, err := r.refused()
			if !errors.Is(err, fail.want) || strings.Contains(err.Error(), "seal") {
				t.Errorf("Run = %v, want %v of the stream, not of its seal", err, fail.want)
			}
			for _, m := range report.Members {
				if m.Verdict != "failed" || !strings.Contains(err.Error(), m.Name) {
					t.Errorf("member %s is %q, and the error is %v", m.Name, m.Verdict, err)
				}
			}
		})
	}
}

// TestACutAtAnyByteLeavesNothing cuts one member's connections at places over the whole run,
// from the first byte of discovery to the last of the comparison.
func TestACutAtAnyByteLeavesNothing(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c.Put(t, noise(4, 100_000))
	proxy := c.Members[0].Proxy
	most := int64(600_000) // of one connection: the stream's
	failed, step := 0, int64(1)
	if testing.Short() {
		step = 4
	}
	for i := int64(0); i < 24; i += step {
		r := newRig(t, c)
		proxy.Heal(t)
		proxy.CutAfter(i*i*most/(23*23), []etcdtest.Cut{etcdtest.RST, etcdtest.FIN}[i%2])
		report, err := r.run(t.Context())
		if err == nil {
			if !report.Committed {
				t.Errorf("cut %d: nothing was committed, and no error", i)
			}
			continue
		}
		failed++
		wantFiles(t, r.store)
		if !errors.Is(err, etcd.ErrUnavailable) || report.Committed {
			t.Errorf("cut %d: Run = %v, committed %v; want ErrUnavailable", i, err, report.Committed)
		}
	}
	if failed < 15/int(step) {
		t.Errorf("%d of %d cuts made a run fail, want most", failed, 24/step)
	}
}

// TestAStoppedRunLeavesNothing cancels in mid-stream.
func TestAStoppedRunLeavesNothing(t *testing.T) {
	t.Parallel()
	c, r := proxied(t, 3)
	mine := errors.New("stopped by hand")
	for _, stalled := range []bool{false, true} {
		t.Run(fmt.Sprintf("stalled=%v", stalled), func(t *testing.T) {
			r.t = t
			before := streams(t, c)
			ctx, stop := context.WithCancelCause(t.Context())
			defer stop(nil)
			r.inStream(func() {
				for _, m := range c.Members {
					if stalled {
						m.Proxy.StallAfter(0)
					}
				}
				time.AfterFunc(100*time.Millisecond, func() { stop(mine) })
			})
			if !stalled {
				for _, m := range c.Members {
					m.Proxy.Rate(2 << 20)
				}
			}
			began := time.Now()
			_, err := r.run(ctx)
			if !errors.Is(err, mine) || errors.Is(err, etcd.ErrUnavailable) {
				t.Errorf("Run after a cancel = %v, want the context's cause alone", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("Run took %s to stop", took)
			}
			wantFiles(t, r.store)
			if n := streams(t, c) - before; n != 1 {
				t.Errorf("%d streams were opened, want one: no other member is tried after a cancel", n)
			}
		})
	}
}

func TestACanceledRunAsksNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Start(t, etcdtest.Options{}))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := r.run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want context.Canceled", err)
	}
	wantFiles(t, r.store)
}
