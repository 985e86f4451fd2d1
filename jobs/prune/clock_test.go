package prune

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"

	"github.com/etcdsafe/etcdsafe/jobs/prune/plan"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

var errFull = errors.New("no space left on the device of a test")

// newFullRig has a store that takes nothing more.
func newFullRig(t *testing.T) *rig {
	t.Helper()
	r := newLiarRig(t)
	store := bucket.New(blob.NewBucket(r.liar), "liar://store", bucket.Kind{Refuses: func(err error) bool { return errors.Is(err, errFull) }})
	t.Cleanup(func() { _ = store.Close() })
	var err error
	if r.store, err = catalog.Open(store, "prod"); err != nil {
		t.Fatal(err)
	}
	r.Stores = catalog.Stores{r.store}
	r.liar.step = func(c call) error {
		if c.what == "create" {
			return errFull
		}
		return nil
	}
	return r
}

// TestAFullStoreIsPruned: its clock cannot be asked, and whoever prunes is told by what ages went.
func TestAFullStoreIsPruned(t *testing.T) {
	r := newFullRig(t)
	report, err := Run(t.Context(), r.Config)
	if err != nil || report.Cause != "" {
		t.Errorf("Run = %v, cause %q; want neither", err, report.Cause)
	}
	if said := strings.Join(report.Warnings, "; "); !strings.Contains(said, errFull.Error()) || !strings.Contains(said, "as of its youngest object, "+noon.Add(-time.Hour).Format(time.RFC3339)) {
		t.Errorf("warnings are %q, want the fault and the time", report.Warnings)
	}
	r.wantPruned()
}

// TestAFullStoreAndAWrongClock: ages are told as of the youngest object, so that a clock that is ahead
// makes nothing old; one that is behind is refused.
func TestAFullStoreAndAWrongClock(t *testing.T) {
	for off, want := range map[time.Duration]error{365 * day: nil, -6 * time.Minute: nil, -365 * day: plan.ErrSkew} {
		r := newFullRig(t)
		_, bytes := objects(r.waste)
		r.aged(bytes, noon.Add(-time.Hour-day+time.Second)) // too young by a second
		until := noon.Add(-30 * time.Minute)                // over by our clock, and not as of the youngest object
		r.honest()
		r.hold(r.go4[0], "a little longer", &until, false)
		r.aged("prod/holds/"+string(r.go4[0])+"/"+r.go4[0].Time().Add(time.Second).Format("20060102T150405Z")+"-hold-0a1b.json", noon.Add(-day))
		r.liar.step = func(c call) error {
			if c.what == "create" {
				return errFull
			}
			return nil
		}
		r.Policy.StaleAfter = 1000 * day
		r.Now = func() time.Time { return noon.Add(off) }
		report, err := Run(t.Context(), r.Config)
		if !errors.Is(err, want) {
			t.Errorf("clock %s off: Run = %v, want %v", off, err, want)
		}
		if !r.has(bytes) {
			t.Errorf("clock %s off: garbage went that may be young: %+v", off, report.Stores)
		}
		r.wantWhole(r.go4[0])
		if n := report.Stores[0].Removed; n != map[bool]int{true: 3}[want == nil] {
			t.Errorf("clock %s off: %d removed", off, n)
		}
	}
}

// TestOnlyAStoreThatAnswersIsPrunedWithoutItsClock: a line that breaks is no refusal.
func TestOnlyAStoreThatAnswersIsPrunedWithoutItsClock(t *testing.T) {
	r := newFullRig(t)
	before := r.names()
	r.liar.step = func(c call) error {
		if c.what == "create" {
			return errors.New("the line broke")
		}
		return nil
	}
	if _, err := Run(t.Context(), r.Config); !errors.Is(err, bucket.ErrUnavailable) || len(r.names()) != len(before) {
		t.Errorf("Run = %v, want ErrUnavailable and nothing removed", err)
	}
}

// TestADryRunPlansAsARealOneBesideAnArchiveDatedAhead: the store's clock was wrong once, and is no more.
// Whether it is still, a dry run cannot tell, and says so.
func TestADryRunPlansAsARealOneBesideAnArchiveDatedAhead(t *testing.T) {
	r := newLiarRig(t)
	ahead := r.archive(noon.Add(30 * day)).ID
	r.DryRun = true
	dry := r.again()
	if got := verdicts(dry)[ahead]; got != plan.Ignored || !strings.Contains(told(dry, nil), "[future]") {
		t.Errorf("a dry run says of it %q, want %q: future", got, plan.Ignored)
	}
	if said := strings.Join(dry.Warnings, "; "); !strings.Contains(said, "ahead of our clock") {
		t.Errorf("warnings of a dry run are %q", dry.Warnings)
	}
	r.DryRun = false
	if real := r.again(); real.PlanHash != dry.PlanHash || strings.Contains(told(real, nil), "ahead of our clock") {
		t.Errorf("a dry run planned %v, a real one %v", verdicts(dry), verdicts(real))
	}
	r.wantPruned()
	r.wantWhole(ahead)
}
