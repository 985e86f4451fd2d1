package lock

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

func leaseID(id int64) clientv3.LeaseID { return clientv3.LeaseID(id) }

// TestLockInEtcd holds the lock in etcd to what every kind promises.
func TestLockInEtcd(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	testKind(t, etcdRig(t, c))
}

// testKind is the suite of all kinds.
func testKind(t *testing.T, r rig) {
	t.Run("one of many", func(t *testing.T) { testOneOfMany(t, r) })
	t.Run("loss", func(t *testing.T) { testLoss(t, r) })
	t.Run("stopped holder", func(t *testing.T) { testStoppedHolder(t, r) })
	t.Run("killed holder", func(t *testing.T) { testKilledHolder(t, r) })
	t.Run("show and break", func(t *testing.T) { testShowAndBreak(t, r) })
	t.Run("deadline", func(t *testing.T) { testDeadline(t, r) })
	t.Run("stopped context", func(t *testing.T) { testStoppedContext(t, r) })
	t.Run("acquire", func(t *testing.T) { testAcquire(t, r) })
}

// testOneOfMany: starts at one instant give one holder each time, and the others name it.
func testOneOfMany(t *testing.T, r rig) {
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	for round := range rounds {
		oneOf(t, fmt.Sprintf("round %d", round), 4, r.locker)
	}
	oneOf(t, "all at once", rounds, r.patient)
}

// oneOf starts n of them.
func oneOf(t *testing.T, round string, n int, locker func() Locker) {
	t.Helper()
	type end struct {
		held *Held
		err  error
	}
	var claims []Claim
	var lockers []Locker
	for i := range n {
		claims = append(claims, claim([]string{"snapshot", "defrag"}[i%2]))
		lockers = append(lockers, locker())
	}
	ends := atOnce(n, func(i int) end {
		held, err := lockers[i].Take(t.Context(), claims[i])
		return end{held, err}
	})
	var winner *Held
	for _, e := range ends {
		if e.held != nil && winner != nil {
			t.Fatalf("%s: two holders", round)
		}
		if e.held != nil {
			winner = e.held
		}
	}
	if winner == nil {
		t.Fatalf("%s: no holder: %+v", round, ends)
	}
	for _, e := range ends {
		var held *HeldError
		if e.held == nil && (!errors.As(e.err, &held) || held.Holder != winner.Claim()) {
			t.Errorf("%s: %v, want a refusal that names %v", round, e.err, winner.Claim())
		}
	}
	if err := winner.Prove(t.Context()); err != nil {
		t.Errorf("%s: Prove = %v", round, err)
	}
	release(t, winner)
}

// testLoss: whatever another's hand does, the holder learns of it, asked or not.
func testLoss(t *testing.T, r rig) {
	asked := func(t *testing.T, vanish func(*testing.T) error) {
		held := take(t, r.locker(), claim("defrag"))
		if err := vanish(t); err != nil {
			t.Fatal(err)
		}
		if err := held.Prove(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("Prove = %v, want ErrLost", err)
		}
		if !isLost(held) {
			t.Error("Lost is open after Prove said so")
		}
		if err := held.Release(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("Release = %v, want ErrLost", err)
		}
	}
	for how, vanish := range r.taken {
		t.Run(how, func(t *testing.T) { asked(t, vanish) })
	}
	for how, vanish := range r.vanish {
		t.Run(how, func(t *testing.T) {
			asked(t, vanish)
			unasked := take(t, r.locker(), claim("snapshot"))
			if err := vanish(t); err != nil {
				t.Fatal(err)
			}
			eventually(t, shortLease, "Lost to be closed", func() bool { return isLost(unasked) })
			other := take(t, r.locker(), claim("defrag"))
			if err := unasked.Release(t.Context()); !errors.Is(err, ErrLost) {
				t.Errorf("Release = %v, want ErrLost", err)
			}
			if err := other.Prove(t.Context()); err != nil {
				t.Errorf("the release of a lost lock ended another's: %v", err)
			}
			release(t, other)
		})
	}
}

// testStoppedHolder: a process that stood still for longer than its lease must not go on.
func testStoppedHolder(t *testing.T, r rig) {
	h := startHolder(t, r.out(claim("defrag")))
	if got := h.proves(); got != "proven" {
		t.Fatalf("the holder says %q, want proven", got)
	}
	h.signal(syscall.SIGSTOP)
	var other *Held
	eventually(t, 5*shortLease, "another holder", func() bool {
		held, err := r.locker().Take(t.Context(), claim("snapshot"))
		if err != nil && !errors.Is(err, ErrHeld) {
			t.Fatal(err)
		}
		other = held
		return err == nil
	})
	h.signal(syscall.SIGCONT)
	if got := h.proves(); !strings.Contains(got, ErrLost.Error()) {
		t.Errorf("continued, the holder says %q, want that it lost", got)
	}
	if err := other.Prove(t.Context()); err != nil {
		t.Errorf("the second holder: %v", err)
	}
	release(t, other)
}

// testKilledHolder: its claim is gone after a lease, and not much earlier.
func testKilledHolder(t *testing.T, r rig) {
	h := startHolder(t, r.out(claim("defrag")))
	h.signal(syscall.SIGKILL)
	began := time.Now()
	l := r.locker()
	var held *Held
	eventually(t, 5*shortLease, "the claim's end", func() bool {
		var err error
		held, err = l.Take(t.Context(), claim("snapshot"))
		return err == nil
	})
	if took := time.Since(began); took < shortLease/2 {
		t.Errorf("taken over after %v, with a lease of %v", took, shortLease)
	}
	release(t, held)
}

func testShowAndBreak(t *testing.T, r rig) {
	l := r.locker()
	if s, err := l.Look(t.Context()); err != nil || s.Held || s.Kind != r.kind || s.Where == "" {
		t.Errorf("Look = %+v, %v, want no holder", s, err)
	}
	ours := claim("defrag")
	ours.Pod, ours.Deadline = "backup/defrag-1", ours.Started.Add(time.Hour)
	held := take(t, r.locker(), ours)
	s, err := l.Look(t.Context())
	if err != nil || !s.Held || s.Claim != ours || s.Left <= 0 || s.Left > shortLease {
		t.Fatalf("Look = %+v, %v, want %+v", s, err, ours)
	}
	trace := Broken{By: "alice", Reason: "it hangs", At: time.Now().UTC().Truncate(time.Second)}
	ended, traced, err := l.Break(t.Context(), s, trace)
	if err != nil || !ended || !traced {
		t.Fatalf("Break = %t, %t, %v", ended, traced, err)
	}
	if err := held.Prove(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("Prove after Break = %v, want ErrLost", err)
	}
	next := take(t, r.locker(), claim("snapshot"))
	trace.Claim = ours
	after, err := l.Look(t.Context())
	if err != nil || after.Claim != next.Claim() || after.Broken == nil || *after.Broken != trace {
		t.Errorf("Look = %+v, %v, want the next claim and the trace %+v", after, err, trace)
	}
	if ended, _, err := l.Break(t.Context(), s, trace); ended || err != nil {
		t.Errorf("Break of a claim that is gone = %t, %v, want false: another's lies there", ended, err)
	}
	if err := next.Prove(t.Context()); err != nil {
		t.Errorf("Prove = %v after another's was broken", err)
	}
	release(t, next)
}

// testDeadline: nothing is renewed after it.
func testDeadline(t *testing.T, r rig) {
	c := claim("snapshot")
	c.Deadline = time.Now().Add(shortLease / 2)
	held := take(t, r.locker(), c)
	eventually(t, shortLease, "the deadline", func() bool { return isLost(held) })
	if err := held.Prove(t.Context()); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("Prove after the deadline = %v, want ErrLost", err)
	}
	release(t, held)
}

// testStoppedContext: a job that was told to stop still renews, and releases.
func testStoppedContext(t *testing.T, r rig) {
	ctx, cancel := context.WithCancel(t.Context())
	held, err := r.locker().Take(ctx, claim("defrag"))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	pause(t, t.Context(), shortLease*3/2, "a lease and a half")
	if isLost(held) {
		t.Error("the end of the context ended the renewal")
	}
	if err := held.Release(ctx); err != nil {
		t.Errorf("Release with a context that ended = %v", err)
	}
	if s, err := r.locker().Look(t.Context()); err != nil || s.Held {
		t.Errorf("Look after Release = %+v, %v", s, err)
	}
	if _, err := r.locker().Take(ctx, claim("defrag")); !errors.Is(err, context.Canceled) {
		t.Errorf("Take with a context that ended = %v", err)
	}
}

// TestCannotIsNotHeld: where etcd gives no lease, the job decides, and knows why.
func TestCannotIsNotHeld(t *testing.T) {
	t.Parallel()
	cannot := func(t *testing.T, l Locker, why error) {
		t.Helper()
		_, err := l.Take(t.Context(), claim("snapshot"))
		if !errors.Is(err, ErrCannot) || errors.Is(err, ErrHeld) || !errors.Is(err, why) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Take = %q, want ErrCannot with %q", err, why)
		}
	}
	c := etcdtest.Start(t, etcdtest.Options{Auth: true})
	l := etcdRig(t, c).locker()
	for kind, why := range map[pb.AlarmType]error{pb.AlarmType_NOSPACE: etcd.ErrNoSpace, pb.AlarmType_CORRUPT: etcd.ErrAlarmCorrupt} {
		alarm(t, c, kind, pb.AlarmRequest_ACTIVATE)
		cannot(t, l, why)
		alarm(t, c, kind, pb.AlarmRequest_DEACTIVATE)
	}
	reader := configOf(c)
	reader.User, reader.Password = etcdtest.ReaderUser, etcdtest.ReaderPassword
	cannot(t, Etcd(reader, Options{}), etcd.ErrNoRight)
	cannot(t, Etcd(etcd.Config{Endpoints: []string{"127.0.0.1:1"}}, Options{}), etcd.ErrUnavailable)

	held := take(t, l, claim("defrag"))
	alarm(t, c, pb.AlarmType_NOSPACE, pb.AlarmRequest_ACTIVATE)
	if _, err := l.Take(t.Context(), claim("snapshot")); !errors.Is(err, ErrHeld) {
		t.Errorf("with NOSPACE and a holder Take = %v, want ErrHeld", err)
	}
	s, err := l.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if ended, traced, err := l.Break(t.Context(), s, Broken{}); !ended || traced || err != nil {
		t.Errorf("with NOSPACE Break = %t, traced %t, %v; want it ended without a trace", ended, traced, err)
	}
	if err := held.Prove(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("Prove = %v", err)
	}

	t.Run("no quorum", func(t *testing.T) {
		c := etcdtest.Start(t, etcdtest.Options{Members: 3})
		l := etcdRig(t, c).locker()
		held := take(t, l, claim("defrag"))
		c.Members[0].Kill(t)
		c.Members[1].Pause(t)
		cannot(t, l, etcd.ErrUnavailable)
		if err := held.Prove(t.Context()); !errors.Is(err, ErrCannot) && !errors.Is(err, ErrLost) {
			t.Errorf("Prove = %v, want that it cannot be told", err)
		}
		eventually(t, 3*shortLease, "the loss", func() bool { return isLost(held) })
	})
}

func alarm(t *testing.T, c *etcdtest.Cluster, kind pb.AlarmType, action pb.AlarmRequest_AlarmAction) {
	t.Helper()
	_, err := pb.NewMaintenanceClient(c.Client(t).ActiveConnection()).Alarm(t.Context(),
		&pb.AlarmRequest{Action: action, MemberID: c.Members[0].ID, Alarm: kind})
	if err != nil {
		t.Fatalf("%v %v: %v", action, kind, err)
	}
}

// TestTheLockOutlivesAnyOneMember: frozen for longer than a lease, the leader too, under writes: on an
// idle cluster a leader that stands still loses nothing.
func TestTheLockOutlivesAnyOneMember(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3, TLS: true, Auth: true})
	c.Write(t)
	cfg := configOf(c)
	const lease = 10 * time.Second
	held := take(t, Etcd(cfg, Options{Lease: lease}), claim("defrag"))
	order := []int{c.Leader(t)} // through which it is renewed
	if !testing.Short() {
		order = append(order, (order[0]+1)%3, (order[0]+2)%3)
	}
	for _, i := range order {
		c.Members[i].Pause(t)
		pause(t, t.Context(), lease+time.Second, "a lease")
		if err := held.Prove(t.Context()); err != nil {
			t.Fatalf("Prove while member %d is frozen: %v", i, err)
		}
		c.Members[i].Resume(t)
		c.WaitHealthy(t)
	}
	release(t, held)
}

// TestTheLockOutlivesItsLogin: a token of one second, a lock of many.
func TestTheLockOutlivesItsLogin(t *testing.T) {
	t.Parallel()
	for _, version := range etcdtest.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Version: version, Auth: true, Args: []string{"--auth-token-ttl=1"}})
			held := take(t, etcdRig(t, c).locker(), claim("defrag"))
			pause(t, t.Context(), shortLease*2, "two leases")
			if isLost(held) {
				t.Error("it was lost")
			}
			if err := held.Prove(t.Context()); err != nil {
				t.Errorf("Prove = %v", err)
			}
			release(t, held)
		})
	}
}

// TestALockThatEtcdDoesNotLetLiveIsToldLost: a single member that stands still for longer than the
// lease, as in its own defragmentation.
func TestALockThatEtcdDoesNotLetLiveIsToldLost(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	held := take(t, etcdRig(t, c).locker(), claim("defrag"))
	c.Members[0].Pause(t)
	eventually(t, 3*shortLease, "the loss", func() bool { return isLost(held) })
	c.Members[0].Resume(t)
	c.WaitHealthy(t)
	if err := held.Prove(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("Prove = %v, want ErrLost", err)
	}
}

func TestNoLockGivesItselfToAll(t *testing.T) {
	var l Locker
	for range 2 {
		held, err := Acquire(t.Context(), l, claim("snapshot"), Policy{})
		if err != nil || held.Kind() != KindNone || held.Prove(t.Context()) != nil || isLost(held) || held.Release(t.Context()) != nil {
			t.Errorf("no lock: %+v, %v", held, err)
		}
	}
	if s, err := None().Look(t.Context()); err != nil || s.Held || s.Kind != KindNone {
		t.Errorf("Look = %+v, %v", s, err)
	}
}

// TestAClaimCutAnywhereStillHolds: what cannot be read is somebody's all the same.
func TestAClaimCutAnywhereStillHolds(t *testing.T) {
	c := claim("snapshot")
	text, err := c.encode()
	if err != nil {
		t.Fatal(err)
	}
	if got := decodeClaim(text); got != c {
		t.Errorf("decodeClaim = %+v, want %+v", got, c)
	}
	for n := range text {
		if got := decodeClaim(text[:n]); got != (Claim{}) {
			t.Errorf("cut after %d bytes: %+v", n, got)
		}
	}
	e := &HeldError{Where: "lock"}
	if got := e.Error(); got != "lock: held by something that is no claim of etcdsafe" {
		t.Errorf("Error = %q", got)
	}
}

// TestARefusalIsOneShortLine, whatever was written into the claim.
func TestARefusalIsOneShortLine(t *testing.T) {
	at := time.Date(2026, 11, 23, 14, 5, 9, 0, time.UTC)
	e := &HeldError{Where: "lock x", Age: 61 * time.Second, Holder: Claim{Holder: "h", Job: "defrag", Host: "node-1", Pod: "ns/pod-1", Started: at}}
	if got, want := e.Error(), "lock x: held by defrag of pod ns/pod-1 on host node-1, since 2026-11-23T14:05:09Z (1m1s)"; got != want {
		t.Errorf("Error = %q, want %q", got, want)
	}
	e.Holder.Host, e.Holder.Pod = "a\nb\x1b[31m", strings.Repeat("x", 5000)
	if got := e.Error(); strings.ContainsAny(got, "\n\x1b") || len(got) > 400 || !strings.Contains(got, strconv.Quote(e.Holder.Host)) {
		t.Errorf("Error = %q", got)
	}
	for _, err := range []error{fmt.Errorf("x: %w", e), errors.Join(e)} {
		if !errors.Is(err, ErrHeld) || errors.Is(err, ErrStuck) || Skipped(err) != nil {
			t.Errorf("%v is not ErrHeld alone", err)
		}
	}
	e.Stuck = true
	if !errors.Is(e, ErrStuck) || !errors.Is(e, ErrHeld) {
		t.Error("a stuck lock is not held")
	}
}
