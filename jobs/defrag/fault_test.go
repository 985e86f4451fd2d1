package defrag

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// slow makes each defragmentation of a member last so long, inside the server's locks.
func (r *rig) slow(d time.Duration, members ...int) {
	r.t.Helper()
	for _, i := range members {
		r.c.Members[i].Failpoint(r.t, "defragBeforeCopy", fmt.Sprintf("sleep(%d)", d.Milliseconds()))
	}
}

// whenBegun does something once a member's defragmentation is in flight, by its own metrics.
func (r *rig) whenBegun(member int, do func()) (wait func()) {
	var all sync.WaitGroup
	all.Go(func() {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if r.c.Members[member].Metric(r.t, "etcd_disk_defrag_inflight") == 1 {
				do()
				return
			}
		}
		r.t.Errorf("%s was not defragmented", r.c.Members[member].Name)
	})
	return all.Wait
}

// followers are the members that do not lead, in the order of their names.
func (r *rig) followers() (out []int) {
	led := r.c.Leader(r.t)
	for i := range r.c.Members {
		if i != led {
			out = append(out, i)
		}
	}
	return out
}

// TestACutConnectionIsNoEnd: the member goes on, is followed by its metrics, and only then comes the
// next one. On each version.
func TestACutConnectionIsNoEnd(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, etcdtest.Options{Version: version, Members: 3, Failpoints: true, Proxied: true})
			r.fragment(5)
			first := r.followers()[0]
			r.slow(5*time.Second, first)
			wait := r.whenBegun(first, func() {
				time.Sleep(time.Second)
				r.c.Members[first].Proxy.CutAfter(0, etcdtest.RST)
				time.Sleep(500 * time.Millisecond)
				r.c.Members[first].Proxy.Heal(t)
			})
			report := r.must()
			wait()
			if got := verdicts(report); got != "m0 defragmented, m1 defragmented, m2 defragmented" {
				t.Errorf("verdicts: %s", got)
			}
			if all := r.oneAtATime(); len(all) != 3 {
				t.Errorf("%d defragmentations, want 3: none is sent twice", len(all))
			}
			if !strings.Contains(r.log.String(), "defragmentation was not answered") {
				t.Errorf("nothing was cut:\n%s", r.log)
			}
			if n := strings.Count(r.log.String(), "defragmentation goes on in the server"); n != 1 {
				t.Errorf("told %d times that it goes on, want once:\n%s", n, r.log)
			}
		})
	}
}

// TestGivingUpLeavesItRunning, and touches no other member.
func TestGivingUpLeavesItRunning(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, Failpoints: true})
	r.fragment(2)
	first := r.followers()[0]
	r.slow(18*time.Second, first)
	r.GiveUp = 3 * time.Second
	report, err := r.run()
	name := r.c.Members[first].Name
	if !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), name) || !strings.Contains(verdicts(report), name+" running") || len(r.spells()) != 1 {
		t.Errorf("Run = %v, %+v", err, report)
	}
	if !strings.Contains(r.log.String(), "failed defrag on member: "+name+", memberID: ") {
		t.Errorf("the log lacks the phrase:\n%s", r.log)
	}
	if n := r.note(first); n == nil || !n.Running || time.Since(n.Finished) > time.Minute {
		t.Errorf("the note of %s: %+v, want that it was left at work", name, n)
	}
	// The next run meets it still at work.
	r.Etcd.Timeout = time.Second
	report, err = r.run()
	if !errors.Is(err, ErrRefused) && !errors.Is(err, ErrUnhealthy) || strings.Contains(verdicts(report), "defragmented") {
		t.Errorf("a second run meanwhile: %v, %+v", err, report)
	}
	r.c.Members[first].Failpoint(t, "defragBeforeCopy", "")
	r.wait("end of the first", func() bool { return r.c.Members[first].Metric(t, "etcd_disk_defrag_inflight") == 0 })
	r.oneAtATime()
}

// TestAStopLeavesOneRunning: SIGTERM's context ends, no further member is begun.
func TestAStopLeavesOneRunning(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, Failpoints: true})
	r.fragment(2)
	first := r.followers()[0]
	r.slow(6*time.Second, first)
	stopped := errors.New("stopped by a signal")
	ctx, stop := context.WithCancelCause(t.Context())
	wait := r.whenBegun(first, func() { stop(stopped) })
	began := time.Now()
	report, err := r.runWith(ctx)
	wait()
	if !errors.Is(err, stopped) || !errors.Is(err, ErrRunning) || strings.Count(verdicts(report), "running") != 1 || time.Since(began) > 15*time.Second {
		t.Errorf("Run = %v after %s, %+v", err, time.Since(began), report)
	}
	if n := r.note(first); n == nil || !n.Running {
		t.Errorf("the note: %+v, want that it was left at work", n)
	}
	if holder, err := r.Lock.Look(t.Context()); err != nil || holder.Held {
		t.Errorf("the lock is held still: %+v, %v", holder, err)
	}
	r.wait("end of it", func() bool { return r.c.Members[first].Metric(t, "etcd_disk_defrag_inflight") == 0 })
	if all := r.oneAtATime(); len(all) != 1 {
		t.Errorf("%d defragmentations, want 1", len(all))
	}
	r.slow(0, first)
	r.Rule, r.CoolDown, r.Member = compile(t, "dbSize > 0"), time.Hour, r.c.Members[first].Name
	if report := r.must(); !report.Skip || !strings.Contains(report.Members[first].Reason, "at work when a run left it") {
		t.Errorf("an hour has not passed: %+v", report)
	}
}

// TestAMemberThatDiesEndsTheRun.
func TestAMemberThatDiesEndsTheRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, Failpoints: true})
	r.fragment(2)
	first := r.followers()[0]
	r.slow(20*time.Second, first)
	wait := r.whenBegun(first, func() {
		r.c.Members[first].Kill(t)
		time.Sleep(2 * time.Second)
		r.c.Members[first].Restart(t)
	})
	report, err := r.run()
	wait()
	if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "restarted") || !strings.Contains(verdicts(report), "failed") || len(r.spells()) != 1 {
		t.Errorf("Run = %v, %+v", err, report)
	}
	if n := strings.Count(verdicts(report), "defragment"); n != 2 { // still planned
		t.Errorf("verdicts: %s", verdicts(report))
	}
}

// TestAMemberThatStandsStillIsWaitedFor.
func TestAMemberThatStandsStillIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, Failpoints: true})
	r.fragment(2)
	first := r.followers()[0]
	r.slow(2*time.Second, first)
	wait := r.whenBegun(first, func() {
		r.c.Members[first].Pause(t)
		time.Sleep(25 * time.Second) // more than the connection bears
		r.c.Members[first].Resume(t)
	})
	report := r.must()
	wait()
	if strings.Count(verdicts(report), "defragmented") != 3 || len(r.oneAtATime()) != 3 {
		t.Errorf("verdicts: %s", verdicts(report))
	}
}

// TestAnothersDefragmentationIsNotJoined.
func TestAnothersDefragmentationIsNotJoined(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, Failpoints: true})
	r.fragment(2)
	last := r.followers()[1]
	r.slow(15*time.Second, last)
	go func() {
		_, _ = r.c.Client(t, last).Defragment(context.WithoutCancel(t.Context()), r.c.Endpoints()[last])
	}()
	r.wait("defragmentation of another", func() bool { return r.c.Members[last].Metric(t, "etcd_disk_defrag_inflight") == 1 })
	report, err := r.run()
	if !errors.Is(err, ErrRefused) && !errors.Is(err, ErrUnhealthy) || len(r.spells()) != 1 {
		t.Errorf("Run = %v, %+v", err, report)
	}
	r.wait("end of it", func() bool { return r.c.Members[last].Metric(t, "etcd_disk_defrag_inflight") == 0 })
}

// TestLeadershipThatMovesInThePause is asked for again: whoever leads then is the last.
func TestLeadershipThatMovesInThePause(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(2)
	r.Wait = 3 * time.Second
	to := r.followers()[1] // it would be the second
	wait := r.afterTheFirst(func() {
		r.c.MoveLeader(t, to)
	})
	report := r.must()
	wait()
	order := names(r.oneAtATime())
	if strings.Count(verdicts(report), "defragmented") != 3 || order[2] != r.c.Members[to].Name {
		t.Errorf("order %q, want %s last, which led by then", order, r.c.Members[to].Name)
	}
	if now := r.c.Members[r.c.Leader(t)].Name; now == order[2] {
		t.Errorf("%s leads still", now)
	}
}

// TestAVoterThatLeavesInThePause is not asked for any more.
func TestAVoterThatLeavesInThePause(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(2)
	r.Wait = 6 * time.Second
	order := r.followers()
	gone := r.c.Members[order[1]]
	wait := r.afterTheFirst(func() {
		if _, err := r.c.Client(t, order[0]).MemberRemove(t.Context(), gone.ID); err != nil {
			t.Errorf("remove: %v", err)
		}
	})
	report := r.must()
	wait()
	if !strings.Contains(verdicts(report), gone.Name+" skipped") || strings.Count(verdicts(report), "defragmented") != 2 {
		t.Errorf("verdicts: %s", verdicts(report))
	}
}

// TestQuorumLostInThePauseEndsTheRun.
func TestQuorumLostInThePauseEndsTheRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(2)
	r.Wait = 2 * time.Second
	r.Etcd.Timeout, r.pace.recover = time.Second, time.Second
	order := r.followers()
	wait := r.afterTheFirst(func() {
		r.c.Members[order[1]].Pause(t)
		r.c.Members[order[0]].Pause(t)
	})
	report, err := r.run()
	wait()
	r.c.Members[order[0]].Resume(t)
	r.c.Members[order[1]].Resume(t)
	if err == nil || strings.Count(verdicts(report), "defragmented") != 1 || len(r.spells()) != 1 {
		t.Errorf("Run = %v, %+v", err, report)
	}
}

// TestOneMemberWithTwoURLsIsOne, and one endpoint is not the cluster: where the others cannot be
// reached by what they advertise, nobody is defragmented thrice.
func TestOneMemberWithTwoURLsIsOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, Args: []string{"--advertise-client-urls=http://127.0.0.1:1"}})
	r.fragment(2)
	all := r.Etcd.Endpoints
	r.Etcd.Endpoints = all[:1]
	if _, err := r.run(); !errors.Is(err, ErrUnhealthy) || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("by one endpoint: %v", err)
	}
	r.Etcd.Endpoints = slices.Concat(all, []string{strings.Replace(all[0], "127.0.0.1", "localhost", 1)})
	report := r.must()
	if strings.Count(verdicts(report), "defragmented") != 3 || len(r.oneAtATime()) != 3 {
		t.Errorf("by four endpoints: %s", verdicts(report))
	}
}

// TestMetricsThatTellNothingRefuse, unless they are optional.
func TestMetricsThatTellNothingRefuse(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(2)
	for name, answer := range map[string]http.HandlerFunc{
		"404": http.NotFound,
		"HTML": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<html><body>hello</body></html>\n"))
		},
		"nothing": func(http.ResponseWriter, *http.Request) {},
	} {
		server := httptest.NewServer(answer)
		r.Etcd.MetricsEndpoints = []string{server.URL}
		report, err := r.run()
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "--metrics optional") || !strings.Contains(verdicts(report), "refused") || len(r.spells()) > 0 {
			t.Errorf("%s: %v, %+v", name, err, report)
		}
		server.Close()
	}
	r.BlindOK = true
	if report := r.must(); strings.Count(verdicts(report), "defragmented") != 3 {
		t.Errorf("optional: %+v", report)
	}
	r.oneAtATime()
}

// TestObjections, each alone, of a scene that is made by hand: no server shows an old version or a
// member far behind at will.
func TestObjections(t *testing.T) {
	t.Parallel()
	fresh := func() scene {
		var s scene
		for i := range 3 {
			id := uint64(i + 1)
			s.seen = append(s.seen, seen{Member: etcd.Member{ID: id, Name: fmt.Sprintf("m%d", i),
				Status: etcd.Status{MemberID: id, Leader: 3, Term: 7, Applied: 10_000, Version: "3.6.16", DBBytes: 2e9, InUseBytes: 1e9}}})
		}
		return s
	}
	r := &run{Config: Config{}}
	if err := r.objections(fresh(), fresh().seen[0]); err != nil || len(fresh().ills()) > 0 {
		t.Errorf("nothing is wrong: %v, %q", err, fresh().ills())
	}
	for _, c := range []struct {
		what  string
		spoil func(*scene)
		cfg   Config
		want  string
	}{
		{"3.5.5", func(s *scene) { s.seen[0].Status.Version = "3.5.5" }, Config{}, "#14733"},
		{"3.5.16", func(s *scene) { s.seen[0].Status.Version = "3.5.16" }, Config{}, "#18842"},
		{"3.5.22", func(s *scene) { s.seen[0].Status.Version = "3.5.22" }, Config{}, "#20653"},
		{"3.5.23", func(s *scene) { s.seen[0].Status.Version = "3.5.23" }, Config{}, ""},
		{"3.6.4", func(s *scene) { s.seen[0].Status.Version = "3.6.4" }, Config{}, "#20650"},
		{"3.6.5", func(s *scene) { s.seen[0].Status.Version = "3.6.5" }, Config{}, ""},
		{"3.5.5, forced", func(s *scene) { s.seen[0].Status.Version = "3.5.5" }, Config{Force: true}, ""},
		{"3.5.5 of another member", func(s *scene) { s.seen[1].Status.Version = "3.5.5" }, Config{}, ""},
		{"a stream", func(s *scene) { s.seen[0].metrics.SnapshotStreams = 2 }, Config{}, "2 snapshot streams"},
		{"a stream from another", func(s *scene) { s.seen[1].metrics.SnapshotStreams = 2 }, Config{}, ""},
		{"one in flight elsewhere", func(s *scene) { s.seen[2].metrics.Defragmenting = true }, Config{}, "in flight on member 3 (m2)"},
		{"a call elsewhere", func(s *scene) { s.seen[1].metrics.DefragCalls = 1 }, Config{}, "in flight on member 2 (m1)"},
		{"no metrics", func(s *scene) { s.seen[1].blind = errors.New("404") }, Config{}, "--metrics optional"},
		{"no metrics, optional", func(s *scene) { s.seen[1].blind = errors.New("404") }, Config{BlindOK: true}, ""},
		{"too long", func(*scene) {}, Config{MaxBlock: 14 * time.Second}, "would not serve for 15s"},
		{"not too long", func(*scene) {}, Config{MaxBlock: 16 * time.Second}, ""},
	} {
		s := fresh()
		c.spoil(&s)
		err := (&run{Config: c.cfg}).objections(s, s.seen[0])
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
	for what, c := range map[string]struct {
		spoil func(*scene)
		want  string
	}{
		"terms differ":   {func(s *scene) { s.seen[1].Status.Term = 6 }, "member 2 (m1) is in term 6, others in 7"},
		"leaders differ": {func(s *scene) { s.seen[1].Status.Leader = 2 }, "different leaders"},
		"no leader":      {func(s *scene) { s.seen[1].Status.Leader = 0 }, "knows no leader"},
		"far behind":     {func(s *scene) { s.seen[1].Status.Applied = 4_999 }, "5001 entries behind"},
		"not so far":     {func(s *scene) { s.seen[1].Status.Applied = 5_000 }, ""},
		"an error":       {func(s *scene) { s.seen[1].Status.Errors = []string{"etcdserver: no leader"} }, "reports etcdserver: no leader"},
		"an alarm":       {func(s *scene) { s.seen[1].Status.Errors = []string{"memberID:2 alarm:NOSPACE "} }, ""},
		"dead":           {func(s *scene) { s.seen[1].Err = errors.New("refused") }, "does not answer: refused"},
	} {
		s := fresh()
		c.spoil(&s)
		if got := strings.Join(s.ills(), "; "); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}

// TestCorruptInThePauseEndsTheRun, at once: no wait mends it.
func TestCorruptInThePauseEndsTheRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(2)
	r.Wait = 2 * time.Second
	wait := r.afterTheFirst(func() {
		r.corruptAlarm()
	})
	began := time.Now()
	report, err := r.run()
	wait()
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "CORRUPT") || len(r.spells()) != 1 || time.Since(began) > time.Minute {
		t.Errorf("Run = %v after %s, %+v", err, time.Since(began), report)
	}
}

// TestAStreamThatOpensAtTheLastMomentIsSeen, between the look at the whole and the call.
func TestAStreamThatOpensAtTheLastMomentIsSeen(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.c.Put(t, filler(400, 100_000))
	one := r.single()
	s, err := one.wellScene(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	one.tellOf(s)
	m := s.seen[r.followers()[0]]
	conn, err := s.cluster.Connect(t.Context(), m.Member)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := one.lastLook(t.Context(), s, m, conn); err != nil {
		t.Errorf("nothing is in flight: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := r.c.Client(t, r.followers()[0]).Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if _, err := stream.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := one.lastLook(t.Context(), s, m, conn); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "snapshot stream") {
		t.Errorf("with a stream that came since: %v, want ErrRefused", err)
	}
}
