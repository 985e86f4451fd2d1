package prune

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/bucket/buckettest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// wantWarned fails unless a run that met a fault at the record of runs did all else, and says so.
func (r *rig) wantWarned(report Report, err error) {
	r.t.Helper()
	s := report.Stores[0]
	if err != nil || report.Cause != "" || s.Result != jobs.OK || s.Error != "" || s.Removed != len(r.go4) || s.RunsRemoved != 0 {
		r.t.Errorf("Run = %v, cause %q, with %+v, want all done but for the record", err, report.Cause, s)
	}
	if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], r.store.URL()) || !strings.Contains(report.Warnings[0], buckettest.ErrBroken.Error()) {
		r.t.Errorf("Run warns %q, want one that names store and fault", report.Warnings)
	}
	if !r.has(r.claim) {
		r.t.Error("the claim of old is gone")
	}
	if again := r.again(); again.Stores[0].RunsRemoved != 1 {
		r.t.Errorf("the next run tells of %+v, want the claim removed", again.Stores[0])
	}
	r.wantPruned()
}

// record is one that the store took at that time.
func record(job, line string, slot, written time.Time) catalog.Record {
	return catalog.Record{Job: job, Line: line, Slot: slot, Object: bucket.Object{Key: fmt.Sprint(job, line, slot.Unix()), ModTime: written}}
}

// TestTheRecordOfRunsIsBounded: by the newest of each job, and claims by their age.
func TestTheRecordOfRunsIsBounded(t *testing.T) {
	var all []catalog.Record
	var want []string
	add := func(r catalog.Record, goes bool) {
		all = append(all, r)
		if goes {
			want = append(want, r.Object.Key)
		}
	}
	for n := range keepRuns + 3 {
		at := noon.Add(-time.Duration(n) * time.Hour)
		add(record("prune", "", at, at), n >= keepRuns)
		add(record("defrag", "", at, noon), n >= keepRuns)
	}
	for n := range keepRuns {
		at := noon.Add(-time.Duration(n) * day)
		add(record("verify", "", at, at), false)
	}
	add(record("verify", "", noon.AddDate(1, 0, 0), noon), true) // by a clock that was ahead
	add(record("", "prune", noon, noon.Add(-keepClaims)), true)
	add(record("", "prune", noon.Add(-2*keepClaims), noon.Add(-keepClaims+time.Second)), false)
	for range 2 {
		var got []string
		for _, r := range surplus(all, noon) {
			got = append(got, r.Object.Key)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("surplus = %q, want %q", got, want)
		}
		slices.Reverse(all)
	}
}

// TestADryRunTellsOfTheRecordOfRuns, and removes nothing of it.
func TestADryRunTellsOfTheRecordOfRuns(t *testing.T) {
	r := newLiarRig(t)
	r.DryRun = true
	before := r.names()
	if report := r.again(); report.Stores[0].RunsRemoved != 1 {
		t.Errorf("report tells of %+v, want one record that would go", report.Stores[0])
	}
	if got := r.names(); !slices.Equal(got, before) {
		t.Errorf("store holds %q, want %q", got, before)
	}
	r.DryRun = false
	if report := r.again(); report.Stores[0].RunsRemoved != 1 {
		t.Errorf("report tells of %+v, want one record removed", report.Stores[0])
	}
	r.wantPruned()
}

// TestARefusedPlanLeavesTheRecordOfRuns: by a clock that is wrong nothing goes.
func TestARefusedPlanLeavesTheRecordOfRuns(t *testing.T) {
	r := newLiarRig(t)
	r.Now = func() time.Time { return noon.AddDate(1, 0, 0) }
	if report, err := Run(t.Context(), r.Config); err == nil || report.Stores[0].RunsRemoved != 0 || !r.has(r.claim) {
		t.Errorf("Run = %v with %+v, want a refusal and nothing removed", err, report.Stores[0])
	}
}

// TestNoRecordOfRunsCostsOneList and nothing else.
func TestNoRecordOfRunsCostsOneList(t *testing.T) {
	r := newLiarRig(t)
	r.again()
	for key := range r.liar.objects {
		if strings.Contains(key, "/runs/") {
			delete(r.liar.objects, key)
		}
	}
	r.liar.calls = nil
	if report := r.again(); report.Stores[0].RunsRemoved != 0 || len(report.Warnings) != 0 {
		t.Errorf("report tells of %+v, %q, want nothing", report.Stores[0], report.Warnings)
	}
	var got []string
	for _, c := range r.liar.calls {
		if strings.Contains(c.key, "/runs/") {
			got = append(got, kindOf(c))
		}
	}
	if !slices.Equal(got, []string{"list runs"}) {
		t.Errorf("calls about runs: %q, want one LIST", got)
	}
}
