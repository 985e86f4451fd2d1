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

// TestAFullClusterIsNotDisarmed: what is written is no garbage, and the alarm would be back at once.
func TestAFullClusterIsNotDisarmed(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, QuotaBytes: 16 << 20})
	client := r.c.Client(t)
	for i := range 1000 { // small ones: of large ones a slow machine leaves so many pages free that there is room afterwards
		if _, err := client.Put(t.Context(), fmt.Sprintf("/full/%d", i), strings.Repeat("x", 50_000)); err != nil {
			break
		}
	}
	r.wait("alarm", func() bool { return strings.Contains(r.alarms(), "NOSPACE") })
	r.Disarm, r.CompactKeep = true, 0
	report := r.must()
	if said := strings.Join(report.Warnings, " "); report.Cause != "cluster" || !strings.Contains(said, "alarm NOSPACE stays") || !strings.Contains(said, "% of its quota") || len(report.Disarmed) > 0 {
		t.Errorf("report: %+v", report)
	}
	if got := verdicts(report); got != "m0 defragmented, m1 defragmented, m2 defragmented" || !strings.Contains(r.alarms(), "NOSPACE") {
		t.Errorf("verdicts %s, alarms %q", got, r.alarms())
	}
}

// TestNoSpaceDoesNotBreakALock that was taken before the alarm and is renewed.
func TestNoSpaceDoesNotBreakALock(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, QuotaBytes: 16 << 20})
	held, err := r.Lock.Take(t.Context(), lock.Claim{Holder: "other", Job: "snapshot", Host: "there", Started: time.Now(), Deadline: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	r.fillUp()
	r.Disarm, r.CompactKeep = true, 5
	if report, err := r.run(); !errors.Is(err, lock.ErrHeld) || !strings.Contains(err.Error(), "snapshot of host there") || len(r.spells()) > 0 {
		t.Errorf("Run = %v, %+v", err, report)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if report := r.must(); strings.Count(verdicts(report), "defragmented") != 3 || r.alarms() != "" {
		t.Errorf("released: %+v, alarms %q", report, r.alarms())
	}
}

// TestAFullLearnerKeepsTheAlarm: etcd defragments none, and would raise the alarm for it again. Whoever asks
// for it alone is told so.
func TestAFullLearnerKeepsTheAlarm(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, QuotaBytes: 16 << 20})
	learner := r.c.AddLearner(t)
	r.fillUp()
	r.Disarm, r.CompactKeep = true, 5
	r.Member = learner.Name
	if report, err := r.run(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "is a learner") || len(r.spells()) > 0 {
		t.Errorf("--member LEARNER: %v, %+v", err, report)
	}
	r.Member = ""
	report := r.must()
	if said := strings.Join(report.Warnings, " "); report.Cause != "cluster" || !strings.Contains(said, "alarm NOSPACE stays") || !strings.Contains(said, "("+learner.Name+") fills") || len(report.Disarmed) > 0 {
		t.Errorf("report: %+v", report)
	}
	if strings.Count(verdicts(report), "defragmented") != 3 || !strings.Contains(r.alarms(), "NOSPACE") {
		t.Errorf("verdicts %s, alarms %q", verdicts(report), r.alarms())
	}
}

// TestAnAlarmIsNotDisarmedByHalf: with one member alone the others may be full still.
func TestAnAlarmIsNotDisarmedByHalf(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, QuotaBytes: 16 << 20})
	r.fillUp()
	r.Disarm, r.CompactKeep, r.MaxMembers = true, 5, 1
	report := r.must()
	if report.Cause != "cluster" || !strings.Contains(strings.Join(report.Warnings, " "), "not all members") || len(report.Disarmed) > 0 || !strings.Contains(r.alarms(), "NOSPACE") {
		t.Errorf("report: %+v, alarms %q", report, r.alarms())
	}
	if n := len(r.spells()); n != 1 {
		t.Errorf("%d defragmentations, want 1", n)
	}
}

// TestASizeThatStaysIsAWarning, not a failure: what was defragmented just now shrinks no more.
func TestASizeThatStaysIsAWarning(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(2)
	r.Rule, r.Wait = compile(t, "dbSize > 0"), 10*time.Millisecond
	stayed := 0
	for round := 0; round < 20 && stayed == 0; round++ {
		report := r.must()
		if got := verdicts(report); got != "m0 defragmented, m1 defragmented, m2 defragmented" {
			t.Errorf("verdicts: %s", got)
		}
		for _, m := range report.Members {
			warned := strings.Contains(strings.Join(report.Warnings, "\n"), "("+m.Name+") did not shrink")
			if warned != (m.SizeAfter >= m.SizeBefore) {
				t.Errorf("%s: %d bytes before, %d after, warnings %q", m.Name, m.SizeBefore, m.SizeAfter, report.Warnings)
			}
			if warned {
				stayed++
			}
		}
	}
	if stayed == 0 {
		t.Error("in 20 runs all members shrank each time")
	}
}

// TestALongBlockIsRefused with both numbers.
func TestALongBlockIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(2)
	r.MaxBlock = time.Nanosecond
	report, err := r.run()
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "--max-block is 1ns") || strings.Count(verdicts(report), "refused") != 1 || len(r.spells()) > 0 {
		t.Errorf("Run = %v, %+v", err, report)
	}
}

// TestAQuotaIsAssumedWhereNoneIsTold: etcd 3.5 tells it by metrics alone.
func TestAQuotaIsAssumedWhereNoneIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Version: "3.5", Members: 3, QuotaBytes: 64 << 20})
	r.fragment(20)
	r.Rule = compile(t, "dbQuotaUsage >= 0.1 && dbSizeFree > 0")
	r.Etcd.MetricsEndpoints, r.BlindOK = []string{"http://127.0.0.1:1"}, true
	if report, err := r.run(); !errors.Is(err, rule.ErrUndecided) || len(r.spells()) > 0 {
		t.Errorf("without metrics: %v, %+v", err, report)
	}
	r.Quota = 1 << 30
	if report := r.must(); !report.Skip || !strings.Contains(report.Members[0].Reason, "the rule says no") {
		t.Errorf("by a quota of 1 GiB: %+v", report)
	}
	r.Quota = 64 << 20
	if report := r.must(); strings.Count(verdicts(report), "defragmented") != 3 {
		t.Errorf("by a quota of 64 MiB: %+v", report)
	}
	r.oneAtATime()
}
