package defrag

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/defrag/rule"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

// TestFollowersGoFirstAndTheLeaderGivesWay, on each version, with auth and mTLS, under writes.
func TestFollowersGoFirstAndTheLeaderGivesWay(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, etcdtest.Options{Version: version, Members: 3, TLS: true, Auth: true})
			r.fragment(20)
			led := r.c.Members[r.c.Leader(t)].Name
			stop := r.c.Write(t)
			report := r.must()
			stop()
			if got := verdicts(report); got != "m0 defragmented, m1 defragmented, m2 defragmented" {
				t.Errorf("verdicts: %s", got)
			}
			for _, m := range report.Members {
				if m.SizeAfter >= m.SizeBefore || m.SizeBefore < 20e6 || m.Leader != (m.Name == led) || m.Reason == "" {
					t.Errorf("member: %+v", m)
				}
			}
			order := names(r.oneAtATime())
			if len(order) != 3 || order[2] != led || order[0] > order[1] {
				t.Errorf("defragmented %q, want followers by name and then %s, which led", order, led)
			}
			if now := r.c.Members[r.c.Leader(t)].Name; now == led {
				t.Errorf("%s leads still", led)
			}
			if report.Lock != "etcd" {
				t.Errorf("report: %+v", report)
			}
			for _, phrase := range []string{"etcd member has been defragmented: m0, memberID: "} {
				if !strings.Contains(r.log.String(), phrase) {
					t.Errorf("the log lacks %q", phrase)
				}
			}
			r.CoolDown = 6 * time.Hour
			r.fragment(1)
			report = r.must()
			if got := verdicts(report); got != "m0 skipped, m1 skipped, m2 skipped" || !report.Skip || !strings.Contains(report.Members[0].Reason, "cools down") {
				t.Errorf("within the cool-down: %s, %+v", got, report)
			}
			if n := len(r.spells()); n != 3 {
				t.Errorf("%d defragmentations, want no more than 3", n)
			}
		})
	}
}

// TestNothingIsDoneWithoutNeed: each reason is told with the numbers that decided.
func TestNothingIsDoneWithoutNeed(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(5)
	r.Rule = compile(t, rule.Default)
	report := r.must()
	if !report.Skip || verdicts(report) != "m0 skipped, m1 skipped, m2 skipped" || !strings.Contains(report.Members[1].Reason, "the rule says no: ") || !strings.Contains(report.Members[1].Reason, "fragmentation") {
		t.Errorf("the default rule: %+v", report)
	}
	r.Rule = compile(t, always)
	r.DryRun = true
	report = r.must()
	if verdicts(report) != "m0 defragment, m1 defragment, m2 defragment" || report.Members[0].Block <= 0 || len(r.spells()) > 0 {
		t.Errorf("a dry run: %+v", report)
	}
	r.DryRun, r.Member = false, r.c.Members[1].Name
	report = r.must()
	if verdicts(report) != "m0 skipped, m1 defragmented, m2 skipped" {
		t.Errorf("--member: %+v", report)
	}
	r.Member = "nobody"
	if _, err := r.run(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("--member nobody = %v", err)
	}
	r.Member, r.MaxMembers = "", 1
	r.fragment(5)
	report = r.must()
	if n := strings.Count(verdicts(report), "defragmented"); n != 1 || !strings.Contains(report.Members[2].Reason+report.Members[1].Reason, "--max-members") {
		t.Errorf("--max-members 1: %+v", report)
	}
	r.MaxMembers = 0
	led := r.c.Leader(t)
	r.MoveLeader = false
	r.fragment(5)
	report = r.must()
	if !strings.Contains(verdicts(report), r.c.Members[led].Name+" skipped") || strings.Count(verdicts(report), "defragmented") != 2 || r.c.Leader(t) != led {
		t.Errorf("--move-leader=false: %+v", report)
	}
}

// TestARuleThatCannotDecideIsNoYes.
func TestARuleThatCannotDecideIsNoYes(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{})
	r.AllowSingle = true
	r.fragment(2)
	r.Rule = compile(t, "dbSizeFree / (dbSize - dbSize) > 1")
	report, err := r.run()
	if !errors.Is(err, rule.ErrUndecided) || verdicts(report) != "m0 skipped" || len(r.spells()) > 0 {
		t.Errorf("Run = %v, %+v", err, report)
	}
}

// TestTheOnlyVoterNeedsAWord, and its lease may lapse in its own defragmentation.
func TestTheOnlyVoterNeedsAWord(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{})
	r.fragment(5)
	if report, err := r.run(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "--allow-single") || len(report.Members) != 1 {
		t.Errorf("Run = %v, %+v", err, report)
	}
	r.AllowSingle = true
	if report := r.must(); verdicts(report) != "m0 defragmented" {
		t.Errorf("--allow-single: %+v", report)
	}
}

// TestALearnerIsLeftOut: etcd refuses it.
func TestALearnerIsLeftOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	learner := r.c.AddLearner(t)
	r.fragment(5)
	report := r.must()
	for _, m := range report.Members {
		if m.Name == learner.Name && (m.Verdict != Skipped || !strings.Contains(m.Reason, "learner")) || m.Name != learner.Name && m.Verdict != Defragmented {
			t.Errorf("member: %+v", m)
		}
	}
}

// TestASickClusterIsLeftAlone: one voter less is enough.
func TestASickClusterIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(5)
	patient := r.Etcd.Timeout
	r.Etcd.Timeout = time.Second
	r.c.Members[1].Pause(t)
	report, err := r.run()
	if !errors.Is(err, ErrUnhealthy) || !strings.Contains(err.Error(), "m1") || len(report.Members) != 3 {
		t.Errorf("with a member that stands still: %v, %+v", err, report)
	}
	r.c.Members[2].Pause(t)
	if _, err := r.run(); !errors.Is(err, ErrUnhealthy) && !errors.Is(err, etcd.ErrUnavailable) {
		t.Errorf("without a quorum: %v", err)
	}
	r.c.Members[1].Resume(t)
	r.c.Members[2].Resume(t)
	r.c.WaitHealthy(t)
	r.Etcd.Timeout = patient
	if n := len(r.spells()); n > 0 {
		t.Errorf("%d defragmentations, want none", n)
	}
	if report := r.must(); strings.Count(verdicts(report), "defragmented") != 3 {
		t.Errorf("well again: %+v", report)
	}
}

// TestAnOpenSnapshotStreamRefuses, whoever opened it: a defragmentation would stand still until it
// ends, and the member with it.
func TestAnOpenSnapshotStreamRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(60)
	r.c.Put(t, filler(400, 100_000)) // more than the buffers between
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := r.c.Client(t, 0).Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	r.Member = r.c.Members[0].Name
	report, err := r.run()
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "snapshot stream") || !strings.Contains(verdicts(report), "m0 refused") {
		t.Errorf("Run = %v, %+v", err, report)
	}
	cancel()
	_ = stream.Close()
	deadline := time.Now().Add(20 * time.Second)
	for err != nil && time.Now().Before(deadline) {
		report, err = r.run()
	}
	if err != nil || !strings.Contains(verdicts(report), "m0 defragmented") {
		t.Errorf("after the stream: %v, %+v", err, report)
	}
}

// TestTheLockIsHeldByOne: who comes second stands back, or is told to skip.
func TestTheLockIsHeldByOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(2)
	held, err := r.Lock.Take(t.Context(), lock.Claim{Holder: "other", Job: "snapshot", Host: "there", Started: time.Now(), Deadline: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	report, err := r.run()
	if !errors.Is(err, lock.ErrHeld) || !strings.Contains(err.Error(), "snapshot of host there") || !strings.Contains(verdicts(report), "m0 defragment,") {
		t.Errorf("Run = %v, %+v", err, report)
	}
	r.Policy.IfLocked = lock.Skip
	report = r.must()
	if !report.Skip || report.Lock != "held" || !strings.Contains(report.Reason, "snapshot of host there") || !strings.Contains(report.Members[0].Reason, "snapshot of host there") {
		t.Errorf("told to skip: %+v", report)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if report := r.must(); strings.Count(verdicts(report), "defragmented") != 3 {
		t.Errorf("released: %+v", report)
	}
}

// TestALostLockEndsTheRun before the next member.
func TestALostLockEndsTheRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(2)
	r.Wait = 3 * time.Second
	wait := r.afterTheFirst(func() {
		if _, err := r.c.Client(t).Delete(t.Context(), etcd.Prefix+"lock"); err != nil {
			t.Errorf("delete the lock: %v", err)
		}
	})
	report, err := r.run()
	wait()
	if !errors.Is(err, lock.ErrLost) || strings.Count(err.Error(), lock.ErrLost.Error()) != 1 || strings.Count(verdicts(report), "defragmented") != 1 || len(r.spells()) != 1 {
		t.Errorf("Run = %v, %+v", err, report)
	}
}

// TestNoSpaceIsBroughtBack by one command, on each version: without --disarm it stops before and says
// the next one.
func TestNoSpaceIsBroughtBack(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, etcdtest.Options{Version: version, Members: 3, QuotaBytes: 64 << 20})
			r.fillUp()
			if _, err := r.c.Client(t).Put(t.Context(), "/full", "x"); err == nil {
				t.Fatal("the cluster takes writes at its quota")
			}
			r.Rule = compile(t, "dbSize < 0") // it is not asked
			r.Sustain, r.CoolDown = time.Hour, time.Hour
			r.CompactKeep = 5
			report, err := r.run()
			if err != nil || report.Cause != "cluster" || !strings.Contains(strings.Join(report.Warnings, " "), "defrag --disarm") || report.Lock != "unavailable" || report.Compacted == 0 {
				t.Fatalf("without --disarm: %v, %+v\n%s", err, report, r.log)
			}
			if got := r.alarms(); !strings.Contains(got, "NOSPACE") {
				t.Fatalf("without --disarm the alarms are %q", got)
			}
			r.Disarm = true
			report = r.must()
			if len(report.Disarmed) == 0 || report.Cause != "" || r.alarms() != "" {
				t.Errorf("with --disarm: %+v, alarms %q", report, r.alarms())
			}
			if _, err := r.c.Client(t).Put(t.Context(), "/full", "x"); err != nil {
				t.Errorf("put: %v", err)
			}
			r.oneAtATime()
		})
	}
}

// fillUp writes and deletes until the alarm.
func (r *rig) fillUp() {
	r.t.Helper()
	client := r.c.Client(r.t)
	value := strings.Repeat("x", 500_000)
	for range 1000 {
		if _, err := client.Put(r.t.Context(), "/filler/one", value); err != nil {
			break
		}
	}
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(r.alarms(), "NOSPACE"); {
		if time.Now().After(deadline) {
			r.t.Fatal("no alarm NOSPACE")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestCorruptIsNeverTouched.
func TestCorruptIsNeverTouched(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(2)
	r.corruptAlarm()
	r.Disarm = true
	report, err := r.run()
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "CORRUPT") || len(r.spells()) > 0 || len(report.Members) != 3 {
		t.Errorf("Run = %v, %+v", err, report)
	}
	if got := r.alarms(); got != "CORRUPT" {
		t.Errorf("alarms: %q", got)
	}
}

// TestOrderIsThatOfNames for whoever looks, so that two runs that cannot lock begin with the same member.
func TestOrderIsThatOfNames(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 5})
	r.fragment(2)
	led := r.c.Members[r.c.Leader(t)].Name
	r.must()
	order := names(r.oneAtATime())
	if len(order) != 5 || order[4] != led || !slices.IsSorted(order[:4]) {
		t.Errorf("order %q, %s led", order, led)
	}
}
