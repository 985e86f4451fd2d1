package snapshot

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

// lockedRig is a rig whose runs take the lock.
func lockedRig(t *testing.T, c *etcdtest.Cluster) *rig {
	r := newRig(t, c)
	r.Locker = lock.Etcd(r.Etcd, lock.Options{Lease: 6 * time.Second})
	r.Claim = claimOf("snapshot")
	return r
}

func claimOf(job string) lock.Claim {
	return lock.Claim{Holder: rand.Text(), Job: job, Cluster: "prod", Host: "node-1", Started: time.Now().UTC()}
}

func (r *rig) locked() lock.State {
	r.t.Helper()
	s, err := r.Locker.Look(context.WithoutCancel(r.t.Context()))
	if err != nil {
		r.t.Errorf("Look: %v", err)
	}
	return s
}

// TestTheLockIsHeldOverStreamAndStores, and by nobody after the run.
func TestTheLockIsHeldOverStreamAndStores(t *testing.T) {
	t.Parallel()
	r := lockedRig(t, etcdtest.Start(t, etcdtest.Options{}))
	seen := map[string]lock.State{}
	var mu sync.Mutex
	r.Progress = func(stage string, _, _ int64) {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := seen[stage]; !ok {
			seen[stage] = r.locked()
		}
	}
	r.log.when("archive committed", func() { seen["commit"] = r.locked() })
	report, m := r.taken()
	if report.Lock != lock.KindEtcd || m.Lock != lock.KindEtcd || report.Cause != "" {
		t.Errorf("report says lock %q, the manifest %q, cause %q", report.Lock, m.Lock, report.Cause)
	}
	for _, stage := range []string{"stream", "commit"} {
		if s := seen[stage]; !s.Held || s.Claim.Holder != r.Claim.Holder || s.Claim.Job != "snapshot" {
			t.Errorf("at %s the lock is %+v, want ours", stage, s)
		}
	}
	if s := r.locked(); s.Held {
		t.Errorf("after the run the lock is %+v", s)
	}
}

// TestASnapshotStandsBackForAHolder: not one stream, not one object.
func TestASnapshotStandsBackForAHolder(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	r := lockedRig(t, c)
	held, err := r.Locker.Take(t.Context(), claimOf("defrag"))
	if err != nil {
		t.Fatal(err)
	}
	report, err := r.run(t.Context())
	if err != nil || !report.Skip || report.Committed || report.Lock != lockHeld || !strings.Contains(report.Reason, "held by defrag of host node-1") {
		t.Errorf("Run = %v with %+v, want a skip that names the holder", err, report.Report)
	}
	r.Locked.IfLocked = lock.Fail
	report, err = r.refused()
	if !errors.Is(err, lock.ErrHeld) || report.Skip || report.Lock != lockHeld {
		t.Errorf("told to fail, Run = %v with %+v", err, report.Report)
	}
	if n := streams(t, c); n != 0 {
		t.Errorf("the member was asked for %d snapshots", n)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Errorf("the holder lost its lock: %v", err)
	}
	r.taken()
}

// TestASnapshotGoesOnWhereThereIsNoLock: NOSPACE, CORRUPT, no quorum.
func TestASnapshotGoesOnWhereThereIsNoLock(t *testing.T) {
	t.Parallel()
	sick := func(kind pb.AlarmType) func(*testing.T, *etcdtest.Cluster) {
		return func(t *testing.T, c *etcdtest.Cluster) {
			_, err := pb.NewMaintenanceClient(c.Client(t).ActiveConnection()).Alarm(t.Context(),
				&pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: c.Members[0].ID, Alarm: kind})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, spoil := range map[string]func(*testing.T, *etcdtest.Cluster){
		"NOSPACE": sick(pb.AlarmType_NOSPACE), "CORRUPT": sick(pb.AlarmType_CORRUPT),
		"quorum": func(t *testing.T, c *etcdtest.Cluster) { c.Members[0].Kill(t); c.Members[1].Pause(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Members: 3})
			r := lockedRig(t, c)
			r.Etcd.Timeout = 2 * time.Second
			spoil(t, c)
			report, m := r.taken()
			if report.Lock != lockUnavailable || m.Lock != lockUnavailable || report.Cause == "" {
				t.Errorf("report says lock %q, the manifest %q, cause %q", report.Lock, m.Lock, report.Cause)
			}
			wantCause(t, report, report.Cause, "lock is not to be had")
		})
	}
}

// TestASnapshotThatLostItsLockSaysSo, and is committed.
func TestASnapshotThatLostItsLockSaysSo(t *testing.T) {
	t.Parallel()
	lose := func(t *testing.T, r *rig, c *etcdtest.Cluster) {
		s := r.locked()
		if ended, _, err := r.Locker.Break(context.WithoutCancel(t.Context()), s, lock.Broken{By: "test"}); !ended || err != nil {
			t.Errorf("Break = %t, %v", ended, err)
		}
	}
	t.Run("in the stream", func(t *testing.T) {
		t.Parallel()
		c := etcdtest.Start(t, etcdtest.Options{})
		r := lockedRig(t, c)
		r.inStream(func() { lose(t, r, c) })
		report, m := r.taken()
		if report.Lock != lockLost || m.Lock != lockLost || report.Cause != "" {
			t.Errorf("report says lock %q, the manifest %q, cause %q", report.Lock, m.Lock, report.Cause)
		}
		wantCause(t, report, "", "lock was lost")
	})
	t.Run("in the stream, and another run did it", func(t *testing.T) {
		t.Parallel()
		c := etcdtest.Start(t, etcdtest.Options{})
		r := lockedRig(t, c)
		r.Done = func(context.Context) bool { return true }
		r.inStream(func() { lose(t, r, c) })
		report, err := r.run(t.Context())
		if err != nil || !report.Skip || report.Committed {
			t.Errorf("Run = %v with %+v, want a skip", err, report.Report)
		}
		for _, store := range r.Stores {
			if entries, err := store.List(t.Context()); err != nil || len(entries) != 0 {
				t.Errorf("%d archives are listed, %v", len(entries), err)
			}
		}
	})
	t.Run("in the upload", func(t *testing.T) {
		t.Parallel()
		c := etcdtest.Start(t, etcdtest.Options{})
		r := lockedRig(t, c)
		r.log.when("archive stored", func() { lose(t, r, c) })
		report, m := r.taken()
		if report.Lock != lockLost || m.Lock != lock.KindEtcd {
			t.Errorf("report says lock %q, the manifest %q", report.Lock, m.Lock)
		}
	})
}

// TestAStoppedSnapshotGivesTheLockBack, and so does one that failed.
func TestAStoppedSnapshotGivesTheLockBack(t *testing.T) {
	t.Parallel()
	c, r := proxied(t, 1)
	r.Locker, r.Claim = lock.Etcd(r.Etcd, lock.Options{}), claimOf("snapshot")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped")
	r.inStream(func() {
		if !r.locked().Held {
			t.Error("the lock is not held in the stream")
		}
		cancel(stop)
	})
	if _, err := r.run(ctx); !errors.Is(err, stop) {
		t.Errorf("Run = %v, want that it was stopped", err)
	}
	if s := r.locked(); s.Held {
		t.Errorf("the lock is left behind: %+v", s)
	}
	c.Members[0].Proxy.CutAfter(200_000, etcdtest.RST)
	r.Progress = jobs.Progress(nil)
	if _, err := r.refused(); err == nil {
		t.Error("Run succeeded over a line that breaks")
	}
	if s := r.locked(); s.Held {
		t.Errorf("a run that failed left the lock behind: %+v", s)
	}
}
