package prune

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/storage/bucket/buckettest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// newTwinRig is two stores with the same archives: the first one's rig, with both in its Config, and
// the second's.
func newTwinRig(t *testing.T) (first, second *rig) {
	t.Helper()
	first = newLiarRig(t)
	s := newLiarStore(func() time.Time { return noon })
	s.objects = maps.Clone(first.liar.objects)
	twin := *first
	twin.liar, twin.store = s, openBlob(t, blob.NewBucket(s), "liar://second")
	first.Stores = catalog.Stores{first.store, twin.store}
	return first, &twin
}

// say adds a hold, or a release, so many seconds after noon of the day before.
func (r *rig) say(id catalog.ID, reason string, release bool, second int) {
	r.t.Helper()
	written := noon.Add(-day + time.Duration(second)*time.Second)
	if err := r.store.PutHold(r.t.Context(), catalog.Hold{Archive: id, Reason: reason, Written: written}, release, "0a1b"); err != nil {
		r.t.Fatal(err)
	}
}

// take removes an archive, and leaves what was said of it.
func (r *rig) take(id catalog.ID) {
	manifest, bytes := objects(id)
	delete(r.liar.objects, manifest)
	delete(r.liar.objects, bytes)
}

// TestWhatIsSaidOfHoldsInOneStoreIsSaidInAll: the holds and releases of all stores are one log.
func TestWhatIsSaidOfHoldsInOneStoreIsSaidInAll(t *testing.T) {
	for _, c := range []struct {
		name  string
		say   func(first, second *rig, id catalog.ID)
		stays bool
	}{
		{"held in the first", func(first, _ *rig, id catalog.ID) { first.say(id, "legal", false, 1) }, true},
		{"held in the second", func(_, second *rig, id catalog.ID) { second.say(id, "legal", false, 1) }, true},
		{"released in the other", func(first, second *rig, id catalog.ID) {
			first.say(id, "legal", false, 1)
			second.say(id, "over", true, 2)
		}, false},
		{"released in the other before", func(first, second *rig, id catalog.ID) {
			second.say(id, "over", true, 1)
			first.say(id, "legal", false, 2)
		}, true},
		{"held where it is not", func(first, _ *rig, id catalog.ID) {
			first.say(id, "legal", false, 1)
			first.take(id)
		}, true},
		{"released where it is not", func(first, second *rig, id catalog.ID) {
			second.say(id, "legal", false, 1)
			first.say(id, "over", true, 2)
			first.take(id)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, second := newTwinRig(t)
			id := first.go4[1]
			c.say(first, second, id)
			report := first.again()
			first.wantSound()
			second.wantSound()
			err := whole(second.store, id)
			if (err == nil) != c.stays {
				t.Errorf("the second store's copy: %v; want it there: %t", err, c.stays)
			}
			if said := strings.Contains(told(report, nil), "[held: legal]"); said != c.stays {
				t.Errorf("report names the hold: %t, want %t: %+v", said, c.stays, report.Plan)
			}
		})
	}
}

// TestAHoldThatCameToAnotherStoreAfterThePlan keeps its archive as one in the store itself does.
func TestAHoldThatCameToAnotherStoreAfterThePlan(t *testing.T) {
	first, second := newTwinRig(t)
	id := first.go4[2]
	first.atFirstRemoval(func() { second.say(id, "just now", false, 1) })
	report, err := Run(t.Context(), first.Config)
	if err != nil || report.Cause != "" {
		t.Errorf("Run = %v, cause %q; want neither", err, report.Cause)
	}
	first.wantKept(report, id, "held: just now")
	second.wantSound()
	second.wantWhole(id)
}

// TestAStoreThatFallsSilentIsAskedNoMoreOfHolds: what it said before still counts, the other store is
// pruned, and the report says so.
func TestAStoreThatFallsSilentIsAskedNoMoreOfHolds(t *testing.T) {
	first, second := newTwinRig(t)
	held, released := first.go4[3], first.go4[2]
	second.say(held, "legal", false, 1)
	first.say(released, "legal", false, 1)
	second.say(released, "over", true, 2)
	asked := 0
	first.atFirstRemoval(func() {
		second.liar.mu.Lock()
		defer second.liar.mu.Unlock()
		second.liar.step = func(call) error {
			asked++
			return buckettest.ErrBroken
		}
	})
	report, err := Run(t.Context(), first.Config)
	if err != nil || report.Cause != jobs.CauseStore {
		t.Errorf("Run = %v, cause %q; want it to blame the second store", err, report.Cause)
	}
	first.wantWhole(held)
	if err := whole(first.store, released); err == nil {
		t.Error("the first store holds what the second one released before it fell silent")
	}
	if s := report.Stores[0]; s.Result != jobs.OK || s.Removed != 3 {
		t.Errorf("report tells of the first store %+v, want 3 removed", s)
	}
	second.wantSound()
	if asked == 0 || !strings.Contains(strings.Join(report.Warnings, "; "), second.store.URL()) {
		t.Errorf("the second store was asked %d times; warnings are %q", asked, report.Warnings)
	}
}

// TestAHoldInAStoreThatIsDownIsNotKnown: the other store's copy goes, and the report says why that may be.
func TestAHoldInAStoreThatIsDownIsNotKnown(t *testing.T) {
	first, second := newTwinRig(t)
	id := first.go4[0]
	second.say(id, "legal", false, 1)
	second.liar.step = func(call) error { return buckettest.ErrBroken }
	report, err := Run(t.Context(), first.Config)
	if err != nil || report.Cause != jobs.CauseStore {
		t.Errorf("Run = %v, cause %q; want it to blame the second store", err, report.Cause)
	}
	if err := whole(first.store, id); err == nil {
		t.Errorf("the first store keeps %s, which is held in a store that is down: then README and the warning are wrong", id)
	}
	if said := strings.Join(report.Warnings, "\n"); !strings.Contains(said, "liar://second") || !strings.Contains(said, "holds that lie in this store alone were not known") {
		t.Errorf("warnings are %q, want the store and what was not known", report.Warnings)
	}
	second.honest()
	second.wantWhole(id)
}

// TestAHoldInAStoreThatIsRefusedHolds: its own plan may be refused, what is said there counts.
func TestAHoldInAStoreThatIsRefusedHolds(t *testing.T) {
	first, second := newTwinRig(t)
	id := first.go4[0]
	second.say(id, "legal", false, 1)
	m, sealed := second.manifest(noon.Add(-30 * time.Minute))
	m.Snapshot.Keys = 1
	second.publish(second.store, m, sealed)
	if _, err := Run(t.Context(), first.Config); err == nil || errors.Is(err, buckettest.ErrBroken) {
		t.Errorf("Run = %v, want the second store refused", err)
	}
	first.wantWhole(id)
}

// TestAHoldKeepsNoGarbageInAnotherStore: what it holds is the archive where that is, and bytes without a
// manifest would be in the way of a copy for as long as it lasts.
func TestAHoldKeepsNoGarbageInAnotherStore(t *testing.T) {
	first, second := newTwinRig(t)
	second.say(first.waste, "legal", false, 1)
	first.again()
	_, bytes := objects(first.waste)
	if first.has(bytes) || !second.has(bytes) {
		t.Errorf("garbage lies in the first store: %t, in the second, where it is held: %t; want it there alone", first.has(bytes), second.has(bytes))
	}
}
