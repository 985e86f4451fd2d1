package defrag

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/defrag/rule"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

// second is a rig for another run on the same cluster.
func (r *rig) second() *rig {
	other := *r
	other.log = &buffer{}
	other.Log = logTo(other.log)
	other.Claim.Holder = fmt.Sprintf("second-%d", time.Now().UnixNano())
	return &other
}

// TestARunBesideALongStepNamesTheHolder, instead of telling that a member does not answer; one that waits begins anew
// when the holder is gone.
func TestARunBesideALongStepNamesTheHolder(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, Failpoints: true})
	r.fragment(2)
	first := r.followers()[0]
	r.slow(15*time.Second, first)
	r.Member = r.c.Members[first].Name
	var beside, waiting Report
	var besideErr, failErr, dryErr, waitErr error
	wait := r.whenBegun(first, func() {
		other := r.second()
		other.Member, other.Etcd.Timeout = "", time.Second
		other.Policy.IfLocked = lock.Skip
		beside, besideErr = Run(t.Context(), other.Config)
		other.Policy.IfLocked, other.DryRun = lock.Fail, true
		_, dryErr = Run(t.Context(), other.Config)
		other.DryRun = false
		_, failErr = Run(t.Context(), other.Config)
		other.Policy.IfLocked, other.CoolDown, other.Rule = lock.Wait, time.Hour, compile(t, "dbSize > 0")
		other.Member = r.Member
		waiting, waitErr = Run(t.Context(), other.Config)
	})
	r.must()
	wait()
	if besideErr != nil || !beside.Skip || beside.Lock != "held" || !strings.Contains(beside.Reason, "held by defrag of host here") {
		t.Errorf("told to skip: %v, %+v", besideErr, beside)
	}
	for what, err := range map[string]error{"told to fail": failErr, "a dry run": dryErr} {
		if !errors.Is(err, lock.ErrHeld) || errors.Is(err, ErrUnhealthy) {
			t.Errorf("%s: %v, want ErrHeld", what, err)
		}
	}
	if waitErr != nil || !waiting.Skip || !strings.Contains(waiting.Members[first].Reason, "cools down") || len(r.oneAtATime()) != 1 {
		t.Errorf("told to wait: %v, %+v", waitErr, waiting)
	}
}

// TestAfterTheWaitAllIsAskedAgain: whoever held the lock did what this run had decided on.
func TestAfterTheWaitAllIsAskedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(2)
	held, err := r.Lock.Take(t.Context(), lock.Claim{Holder: "other", Job: "defrag", Host: "there", Started: time.Now(), Deadline: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	r.Policy = lock.Policy{IfLocked: lock.Wait, Poll: 100 * time.Millisecond}
	r.CoolDown = time.Hour
	r.Log = logTo(hook{r.log, "lock waited for", func() {
		one := r.single()
		s, err := one.look(t.Context())
		if err != nil {
			t.Errorf("look: %v", err)
		}
		for _, m := range s.voters() {
			one.leaveNote(t.Context(), m, MemberReport{Verdict: Defragmented})
		}
		if err := held.Release(t.Context()); err != nil {
			t.Errorf("release: %v", err)
		}
	}})
	report := r.must()
	if !report.Skip || verdicts(report) != "m0 skipped, m1 skipped, m2 skipped" || !strings.Contains(report.Members[2].Reason, "cools down") || len(r.spells()) > 0 {
		t.Errorf("Run = %+v", report)
	}
	r.CoolDown = 0
	if report := r.must(); strings.Count(verdicts(report), "defragmented") != 3 {
		t.Errorf("without a cool-down: %+v", report)
	}
}

// TestADryRunTellsWhatARunWouldDo: whom it leaves out, of whom it cannot decide, and who holds the lock.
func TestADryRunTellsWhatARunWouldDo(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Version: "3.5", Members: 3, QuotaBytes: 64 << 20})
	r.fragment(2)
	r.DryRun = true
	order, led := r.followers(), r.c.Leader(t)
	r.MaxMembers = 1
	report := r.must()
	for i, m := range report.Members {
		if left := strings.Contains(m.Reason, "--max-members reached"); left != (i != order[0]) {
			t.Errorf("--max-members 1, with %d to be the first: %+v", order[0], m)
		}
	}
	r.MaxMembers, r.MoveLeader = 0, false
	report = r.must()
	if strings.Count(verdicts(report), "defragment") != 2 || report.Members[led].Verdict != Skipped || !strings.Contains(report.Members[led].Reason, "--move-leader=false") {
		t.Errorf("--move-leader=false: %+v", report)
	}
	r.MoveLeader = true
	held, err := r.Lock.Take(t.Context(), lock.Claim{Holder: "other", Job: "snapshot", Host: "there", Started: time.Now(), Deadline: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if report, err := r.run(); !errors.Is(err, lock.ErrHeld) || !strings.Contains(report.Members[0].Reason, "held by snapshot") {
		t.Errorf("told to fail: %v, %+v", err, report)
	}
	r.Policy.IfLocked = lock.Skip
	if report := r.must(); !report.Skip || report.Lock != "held" || !strings.Contains(report.Reason, "held by snapshot") {
		t.Errorf("told to skip: %+v", report)
	}
	r.Policy.IfLocked = lock.Wait
	if report := r.must(); report.Skip || !strings.Contains(strings.Join(report.Warnings, " "), "a run would wait") {
		t.Errorf("told to wait: %+v", report)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	// One member's metrics, by which alone 3.5 tells its quota, are not had.
	r.Rule, r.BlindOK = compile(t, "dbQuotaUsage >= 0.01 && dbSizeFree > 0"), true
	r.Etcd.MetricsEndpoints = []string{r.c.Members[0].MetricsURL, r.c.Members[1].MetricsURL}
	report, err = r.run()
	if got := verdicts(report); !errors.Is(err, rule.ErrUndecided) || got != "m0 defragment, m1 defragment, m2 skipped" || len(r.spells()) > 0 {
		t.Errorf("Run = %v, %+v", err, report)
	}
}
