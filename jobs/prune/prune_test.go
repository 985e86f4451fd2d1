package prune

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/prune/plan"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/bucket/buckettest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// TestPruneLeavesWhatThePolicyKeeps is a run that nothing goes wrong in, in memory, in a folder and
// in ours.
func TestPruneLeavesWhatThePolicyKeeps(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *rig{"liar": newLiarRig, "folder": newFolderRig} {
		t.Run(name, func(t *testing.T) {
			r := open(t)
			report := r.again()
			r.wantPruned()
			if s := report.Stores[0]; s.Removed != len(r.go4) || s.Result != jobs.OK || len(s.Garbage) != 2 || s.Bytes == 0 {
				t.Errorf("report tells of %+v, want %d removed and two pieces of garbage", s, len(r.go4))
			}
			for _, item := range report.Plan {
				if want := map[bool]jobs.Result{true: jobs.OK}[slices.Contains(r.go4, item.ID)]; item.Result != want {
					t.Errorf("report tells of %s: %q, want %q", item.ID, item.Result, want)
				}
			}
			if again := r.again(); again.Stores[0].Removed != 0 || len(again.Stores[0].Garbage) != 0 {
				t.Errorf("a second run tells of %+v, want nothing to do", again.Stores[0])
			}
		})
	}
}

// TestPruneInMemory: nothing there can be made old, so garbage goes at once.
// TestAReceiptByTheRunsOwnKeyReleasesNoOther: where recipients are wrong, each new archive is verified by
// the key of its run, and the last that an identity opened stays.
func TestAReceiptByTheRunsOwnKeyReleasesNoOther(t *testing.T) {
	r := newLiarRig(t)
	m, err := r.store.Manifest(t.Context(), r.ids[1])
	if err != nil {
		t.Fatal(err)
	}
	r.receiptBy(m, true, m.Finished.Add(time.Hour), catalog.KeyRun)
	report := r.again()
	r.wantPruned()
	if said := told(report, nil); !strings.Contains(said, "[newest opened by a lasting key]") {
		t.Errorf("no archive is said to stay for its key: %+v", report.Plan)
	}
}

func TestPruneInMemory(t *testing.T) {
	r := &rig{t: t}
	r.store = openBlob(t, memblob.OpenBucket(nil), "mem://")
	now := time.Now().Add(-time.Hour)
	for n := range 4 {
		m, sealed := r.manifest(now.Add(-time.Duration(n) * time.Hour))
		r.publish(r.store, m, sealed)
		r.ids = append(r.ids, m.ID)
	}
	r.Config = Config{Cluster: "prod", Stores: catalog.Stores{r.store}, Policy: plan.Policy{KeepLast: 1}, Now: time.Now,
		Random: newLiarRig(t).Random, Log: newLiarRig(t).Log}
	if report := r.again(); report.Stores[0].Removed != 3 {
		t.Errorf("report tells of %+v, want 3 removed", report.Stores[0])
	}
	r.wantWhole(r.ids[0])
	if entries, err := r.store.List(t.Context()); err != nil || len(entries) != 1 {
		t.Errorf("List = %d entries, %v; want one", len(entries), err)
	}
}

// about is the id in an object's name, or "".
func about(key string) catalog.ID {
	for _, part := range strings.FieldsFunc(key, func(c rune) bool { return c == '/' || c == '.' }) {
		if id, err := catalog.ParseID(part); err == nil {
			return id
		}
	}
	return ""
}

// kindOf names a call for people, and the same in each rig.
func kindOf(c call) string {
	folder, _, _ := strings.Cut(strings.TrimPrefix(c.key, "prod/"), "/")
	return c.what + " " + folder
}

// atEach runs f for each call of an undisturbed run. The rig's ids are drawn anew, so a call is
// known by the place of its archive.
func atEach(t *testing.T, f func(t *testing.T, r *rig, is func(call) bool)) {
	t.Helper()
	model := newLiarRig(t)
	model.again()
	seen := map[string]bool{}
	for _, c := range model.liar.calls {
		name := model.place(c)
		if seen[name] {
			continue
		}
		seen[name] = true
		t.Run(name, func(t *testing.T) {
			r := newLiarRig(t)
			hit := false
			f(t, r, func(c call) bool {
				is := r.place(c) == name
				hit = hit || is
				return is
			})
			if !hit {
				t.Errorf("the run made no call %q", name)
			}
		})
	}
	for _, kind := range []string{"list ", "create .probe", "stat .probe", "delete .probe", "read manifests", "read receipts", "read holds", "read accepts",
		"delete manifests", "delete archives", "delete receipts", "delete holds", "delete accepts", "list runs", "delete runs"} {
		if !slices.ContainsFunc(model.liar.calls, func(c call) bool { return strings.HasPrefix(kindOf(c), kind) }) {
			t.Errorf("an undisturbed run makes no call %q", kind)
		}
	}
}

// place tells a call by what it is about.
func (r *rig) place(c call) string {
	at := "none"
	if id := about(c.key); id == r.waste {
		at = "waste"
	} else if id != "" {
		at = fmt.Sprint(slices.Index(r.ids, id))
	}
	what := kindOf(c)
	if strings.HasSuffix(what, ".probe") && c.key == r.probed {
		at = "old"
	}
	// Documents of one archive are told apart by their times, which are the same in each rig.
	tail := ""
	if strings.Contains(c.key, "/holds/") || strings.Contains(c.key, "/receipts/") {
		tail = " " + c.key[strings.LastIndex(c.key, "/")+1:]
	}
	return fmt.Sprintf("%s %s%s %d", what, at, tail, c.nth)
}

// TestAFaultAtAnyCallRemovesNothingElse fails each call to the store once. What must stay is
// there and whole, the error and the report name store and archive, and the next run finishes.
func TestAFaultAtAnyCallRemovesNothingElse(t *testing.T) {
	t.Parallel()
	atEach(t, func(t *testing.T, r *rig, is func(call) bool) {
		var broke call
		r.liar.step = func(c call) error {
			if is(c) {
				broke = c
				return buckettest.ErrBroken
			}
			return nil
		}
		report, err := Run(t.Context(), r.Config)
		if strings.HasSuffix(kindOf(broke), " runs") {
			r.wantWarned(report, err)
			return
		}
		if !errors.Is(err, bucket.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), buckettest.ErrBroken.Error()) {
			t.Errorf("Run = %v, want the fault", err)
		}
		if !strings.Contains(fmt.Sprint(err), r.store.URL()) {
			t.Errorf("Run = %v, which does not name the store", err)
		}
		if id := about(broke.key); id != "" && !strings.Contains(fmt.Sprint(err), string(id)) {
			t.Errorf("Run = %v, which does not name archive %s", err, id)
		}
		if s := report.Stores[0]; s.Result != jobs.Failed || !strings.Contains(s.Error, buckettest.ErrBroken.Error()) {
			t.Errorf("report tells of %+v, want a failed store", s)
		}
		if id := about(broke.key); broke.what == "delete" && id != "" && !strings.Contains(fmt.Sprintf("%+v %+v", report.Plan, report.Stores[0].Garbage), buckettest.ErrBroken.Error()) {
			t.Errorf("report does not tell of archive %s: %+v", id, report)
		}
		r.wantSound()
		r.again()
		r.wantPruned()
	})
}

// TestCancelledAtAnyCall: the run ends by the context's cause, and the next one finishes.
func TestCancelledAtAnyCall(t *testing.T) {
	t.Parallel()
	cause := errors.New("deadline of the test")
	atEach(t, func(t *testing.T, r *rig, is func(call) bool) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		after := 0
		r.liar.step = func(c call) error {
			if ctx.Err() != nil && c.writes() {
				after++
			}
			if is(c) {
				cancel(cause)
			}
			return nil
		}
		report, err := Run(ctx, r.Config)
		if !errors.Is(err, cause) {
			t.Errorf("Run = %v, want the context's cause", err)
		}
		if after > 0 {
			t.Errorf("%d writes and removals came after the end", after)
		}
		if len(report.Stores) != 1 {
			t.Errorf("report tells of stores %+v, want one", report.Stores)
		}
		r.wantSound()
		r.again()
		r.wantPruned()
	})
}

// TestAnotherPruneAtAnyCall lets a whole second run pass at each call of the first. Both end well,
// and together they remove what one would have.
func TestAnotherPruneAtAnyCall(t *testing.T) {
	t.Parallel()
	atEach(t, func(t *testing.T, r *rig, is func(call) bool) {
		r.liar.step = func(c call) error {
			if is(c) {
				r.honest()
				if _, err := Run(t.Context(), r.Config); err != nil {
					t.Errorf("the second Run = %v", err)
				}
			}
			return nil
		}
		if report, err := Run(t.Context(), r.Config); err != nil {
			t.Errorf("Run = %v with %+v", err, report.Stores)
		}
		r.wantPruned()
	})
}

// TestTwoPrunesAtOnceInAFolder run side by side.
func TestTwoPrunesAtOnceInAFolder(t *testing.T) {
	t.Parallel()
	for range 20 {
		r := newFolderRig(t)
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if report, err := Run(t.Context(), r.Config); err != nil || report.Cause != "" {
					t.Errorf("Run = %v with %+v", err, report.Stores)
				}
			})
		}
		both.Wait()
		r.wantPruned()
	}
}

// TestACopyAtAnyCallOfPrune brings back an archive that goes, while it goes: whatever comes first,
// what is listed afterwards is whole.
func TestACopyAtAnyCallOfPrune(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"archive", "waste"} {
		atEach(t, func(t *testing.T, r *rig, is func(call) bool) {
			m, sealed := r.comesBack(what)
			r.liar.step = func(c call) error {
				if is(c) {
					r.honest()
					r.publish(r.store, m, sealed)
				}
				return nil
			}
			// A manifest that comes between two looks at it is told as odd: listed, yet not to be had.
			if report, err := Run(t.Context(), r.Config); err != nil && !strings.Contains(err.Error(), "yet not to be had") {
				t.Errorf("Run = %v with %+v", err, report.Stores)
			}
			r.wantSound()
		})
	}
}

// comesBack is an archive that a copy brings while it is removed, or its bytes are.
func (r *rig) comesBack(what string) (catalog.Manifest, []byte) {
	r.t.Helper()
	defer func() { r.liar.calls = nil }()
	if what == "archive" {
		m, err := r.store.Manifest(r.t.Context(), r.go4[0])
		if err != nil {
			r.t.Fatal(err)
		}
		return m, r.bytesOf(m.ID)
	}
	m, _ := r.manifest(r.waste.Time())
	sealed := r.bytesOf(r.waste)
	m.ID, m.Archive = r.waste, catalog.Archive{Object: catalog.ArchiveObject(r.waste, m.Codecs), Bytes: int64(len(sealed)), SHA256: sum(sealed)}
	return m, sealed
}

// TestAPruneAtAnyCallOfACopy is the other way round: bytes of old lie there without a manifest, a
// copy reads them back, and they go meanwhile.
func TestAPruneAtAnyCallOfACopy(t *testing.T) {
	t.Parallel()
	for n := range 5 { // as many as Publish makes
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newLiarRig(t)
			m, sealed := r.comesBack("waste")
			left, ran := n, false
			r.liar.step = func(call) error {
				if left--; left == -1 {
					ran = true
					r.honest()
					if _, err := Run(t.Context(), r.Config); err != nil {
						t.Errorf("Run = %v", err)
					}
				}
				return nil
			}
			text, err := m.Encode()
			if err == nil {
				_, err = r.store.Publish(t.Context(), m, text, readerAt(sealed), catalog.Steps{})
			}
			r.honest()
			if listed, stat := r.store.Manifest(context.Background(), m.ID); err == nil && stat != nil {
				t.Errorf("Publish is done, and the manifest is %v, %v", listed.ID, stat)
			}
			r.wantSound()
			if !ran {
				t.Error("Publish made fewer calls")
			}
		})
	}
}

// TestAHoldThatCameAfterThePlanKeepsItsArchive: that is a warning, and no fault.
func TestAHoldThatCameAfterThePlanKeepsItsArchive(t *testing.T) {
	r := newLiarRig(t)
	held := r.go4[2]
	r.atFirstRemoval(func() { r.hold(held, "just now", nil, false) })
	report, err := Run(t.Context(), r.Config)
	if err != nil || report.Cause != "" {
		t.Errorf("Run = %v, cause %q; want neither", err, report.Cause)
	}
	r.wantKept(report, held, "held: just now")
}

// TestAManifestThatChangedAfterThePlanStays: what was decided on is there no more.
func TestAManifestThatChangedAfterThePlanStays(t *testing.T) {
	r := newLiarRig(t)
	changed := r.go4[1]
	m, err := r.store.Manifest(t.Context(), changed)
	if err != nil {
		t.Fatal(err)
	}
	m.Reason = "another"
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	name, _ := objects(changed)
	r.atFirstRemoval(func() { r.put(name, text) })
	report, err := Run(t.Context(), r.Config)
	if err != nil || report.Cause != "" {
		t.Errorf("Run = %v, cause %q; want neither", err, report.Cause)
	}
	r.wantKept(report, changed, catalog.ErrChanged.Error())
}

// TestWhatAnotherPruneTookMayBeComing: an archive that was planned is gone, and its bytes are on
// their way back. They are not this run's to remove.
func TestWhatAnotherPruneTookMayBeComing(t *testing.T) {
	r := newLiarRig(t)
	name, bytes := objects(r.go4[2])
	r.atFirstRemoval(func() { r.remove([]driver.ListObject{{Key: name}}) })
	if report, err := Run(t.Context(), r.Config); err != nil || report.Stores[0].Result != jobs.OK {
		t.Errorf("Run = %v with %+v", err, report.Stores)
	}
	if !r.has(bytes) {
		t.Error("bytes went whose manifest another had removed")
	}
	r.again()
	r.wantPruned()
}

// atFirstRemoval runs f once, before anything goes.
func (r *rig) atFirstRemoval(f func()) {
	r.liar.step = func(c call) error {
		if c.what == "delete" && !strings.Contains(c.key, "/.probe/") {
			r.honest()
			f()
		}
		return nil
	}
}

// wantKept fails unless one archive of those that were to go is whole, all others went, and the
// report says why.
func (r *rig) wantKept(report Report, id catalog.ID, why string) {
	r.t.Helper()
	r.wantSound()
	r.wantWhole(id)
	if s := report.Stores[0]; s.Removed != len(r.go4)-1 || s.Result != jobs.OK {
		r.t.Errorf("report tells of %+v, want %d removed", s, len(r.go4)-1)
	}
	if len(report.Warnings) == 0 || !strings.Contains(strings.Join(report.Warnings, "\n"), why) || !strings.Contains(strings.Join(report.Warnings, "\n"), string(id)) {
		r.t.Errorf("warnings are %q, want %s and %q", report.Warnings, id, why)
	}
	i := slices.IndexFunc(report.Plan, func(item Item) bool { return item.ID == id })
	if report.Plan[i].Result == jobs.OK || !strings.Contains(report.Plan[i].Error, why) {
		r.t.Errorf("report tells of %+v, want it kept for %q", report.Plan[i], why)
	}
}

// TestAListThatMissesTheNewestRemovesASubset: garbage is not taken of archives whose manifests are
// only missing from the list, however old they are.
func TestAListThatMissesTheNewestRemovesASubset(t *testing.T) {
	for n := range 9 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newLiarRig(t)
			missed := r.ids[:min(n, len(r.ids))]
			r.liar.listed = without(func(key string) bool {
				return strings.Contains(key, "/manifests/") && slices.Contains(missed, about(key))
			})
			report, err := Run(t.Context(), r.Config)
			if lost := n + 1; lost > len(r.ids)-n && !errors.Is(err, plan.ErrTooMany) && !errors.Is(err, plan.ErrStale) { // with the garbage that lies there
				t.Errorf("Run = %v, want ErrTooMany: more bytes without a manifest than with one", err)
			} else if lost <= len(r.ids)-n && err != nil && !errors.Is(err, plan.ErrStale) {
				t.Errorf("Run = %v, want no fault, or ErrStale", err)
			}
			if n > 1 && err == nil && !strings.Contains(told(report, nil), "after all") {
				t.Errorf("report does not tell of manifests that no list showed: %+v", report.Stores)
			}
			r.wantSound()
			r.wantWhole(missed...)
			r.again()
			r.wantPruned()
		})
	}
}

func without(gone func(key string) bool) func([]driver.ListObject) []driver.ListObject {
	return func(all []driver.ListObject) []driver.ListObject {
		return slices.DeleteFunc(all, func(o driver.ListObject) bool { return gone(o.Key) })
	}
}

// TestCapsRemoveNothingWhereTwoListsDisagree: the first misses the newest, the second does not.
func TestCapsRemoveNothingWhereTwoListsDisagree(t *testing.T) {
	for _, stale := range []int{0, 1} {
		r := newLiarRig(t)
		r.Policy = plan.Policy{MaxCount: 3}
		r.Between = time.Millisecond
		name, _ := objects(r.ids[0])
		lists := -1
		r.liar.step = func(c call) error {
			if c.what == "list" && c.key == "prod/manifests/" {
				lists++
			}
			return nil
		}
		r.liar.listed = func(all []driver.ListObject) []driver.ListObject {
			if lists == stale {
				return without(func(key string) bool { return key == name })(all)
			}
			return all
		}
		report, err := Run(t.Context(), r.Config)
		if err != nil || report.Stores[0].Removed != 0 || !strings.Contains(told(report, nil), "two lists did not agree") {
			t.Errorf("list %d stale: Run = %v with %+v, want nothing removed", stale, err, report)
		}
		r.wantWhole(r.ids...)
		report = r.again()
		if report.Stores[0].Removed == 0 {
			t.Errorf("lists agree: %+v, want some removed", report)
		}
		r.wantWhole(r.ids[0], r.ids[2], r.ids[6]) // newest, verified, held
	}
}

// TestAListThatShowsWhatWasRemoved: manifests that nobody can read any more stop the run; other
// ghosts do not. Once the list has caught up, all goes by the plan.
func TestAListThatShowsWhatWasRemoved(t *testing.T) {
	for _, folder := range []string{"manifests", "archives", "receipts", "holds", "accepts"} {
		t.Run(folder, func(t *testing.T) {
			r := newLiarRig(t)
			var ghosts []driver.ListObject
			for _, key := range r.names() {
				if strings.Contains(key, "/"+folder+"/") && (slices.Contains(r.go4, about(key)) || folder == "receipts") {
					ghosts = append(ghosts, driver.ListObject{Key: key, Size: 1, ModTime: noon.Add(-3 * day)})
				}
			}
			if len(ghosts) == 0 {
				t.Fatal("nothing was there to be removed")
			}
			r.remove(ghosts)
			if folder == "manifests" {
				r.Policy.MaxRemoved = -1 // as if they were lost: their bytes are left
			}
			r.liar.listed = func(all []driver.ListObject) []driver.ListObject {
				return append(without(func(key string) bool {
					return slices.ContainsFunc(ghosts, func(g driver.ListObject) bool { return g.Key == key })
				})(all), ghosts...)
			}
			report, err := Run(t.Context(), r.Config)
			if err != nil && !errors.Is(err, bucket.ErrUnavailable) {
				t.Errorf("Run = %v with %+v", err, report.Stores)
			}
			r.wantStays()
			r.again()
			r.wantStays()
		})
	}
}

func (r *rig) remove(ghosts []driver.ListObject) {
	r.liar.mu.Lock()
	defer r.liar.mu.Unlock()
	for _, g := range ghosts {
		delete(r.liar.objects, g.Key)
	}
}

// wantStays is wantSound where the verification was lost, and with it what it kept.
func (r *rig) wantStays() {
	r.t.Helper()
	r.honest()
	r.wantWhole(r.ids[0], r.ids[1], r.ids[6])
}

// TestAWrongClockRemovesNothing: a year ahead, a year behind, and just over what is allowed.
func TestAWrongClockRemovesNothing(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *rig{"liar": newLiarRig, "folder": newFolderRig} {
		for _, off := range []time.Duration{365 * day, -365 * day, 6 * time.Minute, -6 * time.Minute} {
			r := open(t)
			now, before := r.Now, r.names()
			r.Now = func() time.Time { return now().Add(off) }
			report, err := Run(t.Context(), r.Config)
			if !errors.Is(err, plan.ErrSkew) {
				t.Errorf("%s, clock %s off: Run = %v, want ErrSkew", name, off, err)
			}
			if got := r.names(); !slices.Equal(got, before) || report.Stores[0].Removed != 0 {
				t.Errorf("%s, clock %s off: store holds %q, want all of %q", name, off, got, before)
			}
			r.Now = now
			r.again()
			r.wantPruned()
		}
	}
}

// TestAHoldEndsByTheSlowerClock: within what clocks may differ, a hold lasts until both say that it
// has ended.
func TestAHoldEndsByTheSlowerClock(t *testing.T) {
	for _, off := range []time.Duration{-4 * time.Minute, 4 * time.Minute} {
		r := newLiarRig(t)
		held, until := r.go4[0], noon.Add(off/2)
		if off < 0 {
			until = noon.Add(off / 2)
		}
		r.hold(held, "a little longer", &until, false)
		r.Now = func() time.Time { return noon.Add(off) }
		if _, err := Run(t.Context(), r.Config); err != nil {
			t.Fatalf("Run = %v", err)
		}
		r.wantWhole(held)
	}
}

// TestAManifestThatDisagreesWithItsNameIsIgnored: neither counted nor removed, and no garbage.
func TestAManifestThatDisagreesWithItsNameIsIgnored(t *testing.T) {
	for what, why := range map[string]plan.Trust{"another id": plan.Elsewhere, "another cluster": plan.Elsewhere, "nonsense": plan.Unreadable, "a later format": plan.Format} {
		t.Run(what, func(t *testing.T) {
			r := newLiarRig(t)
			odd := r.go4[0]
			name, bytes := objects(odd)
			r.put(name, r.oddManifest(what, odd))
			report := r.again()
			if v := verdicts(report)[odd]; v != plan.Ignored {
				t.Errorf("verdict is %q, want %q", v, plan.Ignored)
			}
			if !strings.Contains(told(report, nil), "["+string(why)+"]") {
				t.Errorf("plan is %+v, want the reason %q", report.Plan, why)
			}
			if !r.has(name) || !r.has(bytes) {
				t.Errorf("the store holds no more what is not trusted: %q", r.names())
			}
			r.wantWhole(r.stay...)
			if n := report.Stores[0].Removed; n != len(r.go4)-1 {
				t.Errorf("%d removed, want %d", n, len(r.go4)-1)
			}
		})
	}
}

func (r *rig) oddManifest(what string, id catalog.ID) []byte {
	r.t.Helper()
	m, err := r.store.Manifest(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	switch what {
	case "another id":
		other, err := r.store.Manifest(r.t.Context(), r.ids[0])
		if err != nil {
			r.t.Fatal(err)
		}
		m = other
	case "another cluster":
		m.Cluster.Name = "test"
	case "nonsense":
		return []byte("nonsense")
	}
	text, err := m.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	if what == "a later format" {
		text = reseal(strings.Replace(string(text), `"format": 1`, `"format": 2`, 1))
	}
	return text
}

// reseal puts the document's own SHA-256 right.
func reseal(text string) []byte {
	i := strings.LastIndex(text, `"sha256": "`) + len(`"sha256": "`)
	blank := text[:i] + text[i+64:]
	return []byte(text[:i] + sum([]byte(blank)) + text[i+64:])
}

// TestAnotherPlanThanAgreedRemovesNothing: one archive more, and the hash is another.
func TestAnotherPlanThanAgreedRemovesNothing(t *testing.T) {
	r := newLiarRig(t)
	r.DryRun = true
	agreed := r.again().PlanHash
	r.DryRun, r.PlanHash = false, agreed
	r.ids = append([]catalog.ID{r.archive(noon.Add(-time.Minute)).ID}, r.ids...)
	before := r.names()
	report, err := Run(t.Context(), r.Config)
	if !errors.Is(err, ErrOtherPlan) || !strings.Contains(err.Error(), agreed) {
		t.Errorf("Run = %v, want ErrOtherPlan and the hash that was agreed", err)
	}
	if got := r.names(); !slices.Equal(got, before) {
		t.Errorf("store holds %q, want all of %q", got, before)
	}
	r.PlanHash = report.PlanHash
	if report := r.again(); report.Stores[0].Removed == 0 {
		t.Errorf("the agreed plan removed nothing: %+v", report)
	}
}

// TestAPlanHashOfSeveralStoresHoldsForAll: where one is down, the plan is another.
func TestAPlanHashOfSeveralStoresHoldsForAll(t *testing.T) {
	r, other := newLiarRig(t), newLiarRig(t)
	r.Stores = append(r.Stores, other.store)
	r.DryRun = true
	r.PlanHash = r.again().PlanHash
	r.DryRun = false
	other.liar.step = func(call) error { return buckettest.ErrBroken }
	if report, err := Run(t.Context(), r.Config); !errors.Is(err, ErrOtherPlan) || len(report.Stores) != 2 {
		t.Errorf("Run = %v with %d stores, want ErrOtherPlan and both", err, len(report.Stores))
	}
	r.wantWhole(r.ids...)
	other.honest()
	r.again()
	r.wantPruned()
	other.wantPruned()
}

// TestStoresArePrunedEachOnItsOwn: one is down, one refused, one fails in the midst; the sound one
// is pruned.
func TestStoresArePrunedEachOnItsOwn(t *testing.T) {
	down := func(r *rig) error {
		r.liar.step = func(call) error { return buckettest.ErrBroken }
		return bucket.ErrUnavailable
	}
	refuse := func(r *rig) error {
		m, sealed := r.manifest(noon.Add(-30 * time.Minute))
		m.Snapshot.Keys = 1
		r.publish(r.store, m, sealed)
		return plan.ErrCollapsed
	}
	fail := func(r *rig) error {
		r.liar.step = func(c call) error {
			if c.what == "delete" && about(c.key) == r.go4[0] {
				return buckettest.ErrBroken
			}
			return nil
		}
		return bucket.ErrUnavailable
	}
	for _, c := range []struct {
		name    string
		bad     []func(*rig) error
		want    error // of the run; nil: told as the cause
		removed []int
	}{
		{"one down", []func(*rig) error{down}, nil, []int{0}},
		{"one refused", []func(*rig) error{refuse}, plan.ErrCollapsed, []int{0}},
		{"one fails in the midst", []func(*rig) error{fail}, nil, []int{3}},
		{"one down, one refused", []func(*rig) error{down, refuse}, plan.ErrCollapsed, []int{0, 0}},
		{"two down", []func(*rig) error{down, down}, nil, []int{0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sound := newLiarRig(t)
			cfg := sound.Config
			cfg.Stores = nil
			var bad []*rig
			for _, spoil := range c.bad {
				r := newLiarRig(t)
				spoil(r)
				bad = append(bad, r)
				cfg.Stores = append(cfg.Stores, r.store)
			}
			cfg.Stores = append(cfg.Stores, sound.store)
			report, err := Run(t.Context(), cfg)
			if !errors.Is(err, c.want) {
				t.Errorf("Run = %v, want %v", err, c.want)
			}
			isDown := slices.ContainsFunc(bad, func(r *rig) bool { return r.liar.step != nil })
			if (report.Cause == jobs.CauseStore) != isDown {
				t.Errorf("cause is %q with %q", report.Cause, report.Warnings)
			}
			for i, r := range bad {
				if s := report.Stores[i]; s.Result != jobs.Failed || s.Error == "" || s.Removed != c.removed[i] {
					t.Errorf("report tells of %+v, want it failed with %d removed", s, c.removed[i])
				}
				r.wantSound()
			}
			if s := report.Stores[len(bad)]; s.Result != jobs.OK || s.Removed != len(sound.go4) {
				t.Errorf("report tells of the sound store %+v", s)
			}
			sound.wantPruned()
		})
	}
}

// TestNoStoreAnswers: then that is the error.
func TestNoStoreAnswers(t *testing.T) {
	r := newLiarRig(t)
	r.liar.step = func(call) error { return buckettest.ErrBroken }
	r.Stores = append(r.Stores, openBlob(t, blob.NewBucket(r.liar), "liar://second"))
	if report, err := Run(t.Context(), r.Config); !errors.Is(err, bucket.ErrUnavailable) || len(report.Stores) != 2 {
		t.Errorf("Run = %v with %+v, want ErrUnavailable", err, report.Stores)
	}
}

// TestAMisspeltClusterIsToldAndNothingWritten: where nothing lies under its name in any store that
// answers. A store that is empty beside another is new, and nothing is written there either.
func TestAMisspeltClusterIsToldAndNothingWritten(t *testing.T) {
	empty, down, full := newLiarRig(t), newLiarRig(t), newLiarRig(t)
	empty.liar.objects = map[string]object{}
	down.liar.step = func(call) error { return buckettest.ErrBroken }
	for _, c := range []struct {
		name   string
		stores catalog.Stores
		dry    bool
		want   error
	}{
		{"empty", catalog.Stores{empty.store}, false, catalog.ErrNone},
		{"empty, in a dry run", catalog.Stores{empty.store}, true, catalog.ErrNone},
		{"empty beside one that is down", catalog.Stores{down.store, empty.store}, false, catalog.ErrNone},
		{"empty beside one that is not", catalog.Stores{empty.store, full.store}, false, nil},
	} {
		cfg := full.Config
		cfg.Stores, cfg.DryRun = c.stores, c.dry
		if report, err := Run(t.Context(), cfg); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: Run = %v with %+v, want %v", c.name, err, report.Stores, c.want)
		}
	}
	for _, c := range empty.liar.calls {
		if c.writes() {
			t.Errorf("an empty store was sent %+v", c)
		}
	}
	full.wantPruned()
	empty.put(full.probed, nil)
	cfg := full.Config
	cfg.Stores = catalog.Stores{empty.store}
	if _, err := Run(t.Context(), cfg); err != nil {
		t.Errorf("Run where probes lie = %v", err)
	}
}

// TestADryRunMakesNoWrite: no probe, nothing removed, and the plan is that of a real run.
func TestADryRunMakesNoWrite(t *testing.T) {
	r := newLiarRig(t)
	r.DryRun = true
	report, err := Run(t.Context(), r.Config)
	if err != nil {
		t.Errorf("Run = %v", err)
	}
	for _, c := range r.liar.calls {
		if c.writes() {
			t.Errorf("a dry run made the call %+v", c)
		}
	}
	r.wantWhole(r.ids...)
	r.DryRun = false
	if real := r.again(); real.PlanHash != report.PlanHash || !maps.Equal(verdicts(real), verdicts(report)) {
		t.Errorf("a dry run planned %v, a real one %v", verdicts(report), verdicts(real))
	}
	for _, g := range report.Stores[0].Garbage {
		if g.Result != due {
			t.Errorf("a dry run says of garbage %+v, want %q", g, due)
		}
	}
}

// TestGarbageGoesOnceItIsOldEnough: by the store's clock, and by the youngest that lies under an id.
func TestGarbageGoesOnceItIsOldEnough(t *testing.T) {
	for _, c := range []struct {
		age  time.Duration
		goes bool
	}{{-365 * day, false}, {0, false}, {day - time.Second, false}, {day, true}, {365 * day, true}} {
		r := newLiarRig(t)
		_, bytes := objects(r.waste)
		for _, key := range []string{bytes, r.probed} {
			r.aged(key, noon.Add(-c.age))
		}
		report := r.again()
		_, probe := r.liar.objects[r.probed]
		if r.has(bytes) == c.goes || probe == c.goes {
			t.Errorf("garbage %s old: archive there %t, probe there %t; want them gone: %t", c.age, r.has(bytes), probe, c.goes)
		}
		if len(report.Stores[0].Garbage) != 2 {
			t.Errorf("garbage %s old: report names %+v, want two", c.age, report.Stores[0].Garbage)
		}
		for _, g := range report.Stores[0].Garbage {
			if want := map[bool]jobs.Result{true: jobs.OK, false: jobs.Skipped}[c.goes]; g.Result != want {
				t.Errorf("garbage %s old: report says %q, want %q", c.age, g.Result, want)
			}
		}
	}
}

// TestAYoungReceiptKeepsOldGarbage: somebody is at it.
func TestAYoungReceiptKeepsOldGarbage(t *testing.T) {
	r := newLiarRig(t)
	_, bytes := objects(r.waste)
	r.put("prod/receipts/"+string(r.waste)+"/20261123T115900Z-content-0a1b.json", []byte("{}"))
	if r.again(); !r.has(bytes) {
		t.Error("garbage went, a receipt of which is an hour old")
	}
}

// TestHoldsAloneAreNoGarbage: somebody holds what is not there yet.
func TestHoldsAloneAreNoGarbage(t *testing.T) {
	r := newLiarRig(t)
	m, sealed := r.manifest(noon.Add(-5 * day))
	r.hold(m.ID, "before it comes", nil, false)
	if garbage := r.again().Stores[0].Garbage; len(garbage) != 2 {
		t.Errorf("report names %+v, want the two that lie there always", garbage)
	}
	r.publish(r.store, m, sealed)
	r.age(m.ID, noon.Add(-5*day))
	if v := verdicts(r.again())[m.ID]; v != plan.Keep {
		t.Errorf("verdict is %q, want %q: its hold came first", v, plan.Keep)
	}
	r.wantWhole(m.ID)
}

// TestWhatIsHeldIsNoGarbage: its manifest may come, or come back.
func TestWhatIsHeldIsNoGarbage(t *testing.T) {
	r := newLiarRig(t)
	r.hold(r.waste, "before the upgrade", nil, false)
	r.again()
	_, bytes := objects(r.waste)
	if !r.has(bytes) {
		t.Error("bytes went that somebody holds")
	}
	if said, err := r.store.Said(t.Context(), r.waste); err != nil || len(said) != 1 {
		t.Errorf("Said = %v, %v; want the one", said, err)
	}
}

// TestLostManifestsAreNoGarbage: where more bytes lie without a manifest than with one, it is manifests
// that were lost, and a person must look.
func TestLostManifestsAreNoGarbage(t *testing.T) {
	for _, left := range []int{0, 3} {
		r := newLiarRig(t)
		var bytes []string
		for _, id := range r.ids[left:] {
			manifest, object := objects(id)
			delete(r.liar.objects, manifest)
			r.age(id, noon.Add(-3*day))
			bytes = append(bytes, object)
		}
		report, err := Run(t.Context(), r.Config)
		if !errors.Is(err, plan.ErrTooMany) || !strings.Contains(err.Error(), "were manifests lost?") {
			t.Errorf("%d left: Run = %v, want ErrTooMany", left, err)
		}
		for _, object := range bytes {
			if !r.has(object) {
				t.Errorf("%d left: %s went: %+v", left, object, report.Stores)
			}
		}
		r.Policy.MaxRemoved = -1
		if _, err := Run(t.Context(), r.Config); errors.Is(err, plan.ErrTooMany) || r.has(bytes[0]) && left > 0 {
			t.Errorf("%d left, --max-removed -1: %v, or the bytes stayed", left, err)
		}
	}
}

// TestWhatLacksItsBytesIsNotCounted, nor what was cut or found damaged: they would push out what is
// whole.
func TestWhatLacksItsBytesIsNotCounted(t *testing.T) {
	r := newLiarRig(t)
	_, gone := objects(r.ids[0])
	_, cut := objects(r.ids[1])
	delete(r.liar.objects, gone)
	r.liar.objects[cut] = object{data: nil, at: noon}
	m, err := r.store.Manifest(t.Context(), r.ids[3])
	if err != nil {
		t.Fatal(err)
	}
	found := catalog.Receipt{Archive: m.ID, ManifestSHA256: m.SHA256, Cluster: "prod", Level: catalog.Stored, Finding: "bytes differ", Started: noon.Add(-2 * time.Hour), Finished: noon.Add(-2 * time.Hour)}
	if err := r.store.PutReceipt(t.Context(), found, "0a1b"); err != nil {
		t.Fatal(err)
	}
	report, err := Run(t.Context(), r.Config)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[catalog.ID]plan.Trust{r.ids[0]: plan.Missing, r.ids[1]: plan.Cut, r.ids[3]: plan.Failed} {
		i := slices.IndexFunc(report.Plan, func(item Item) bool { return item.ID == id })
		if got := report.Plan[i]; got.Verdict != plan.Ignored || !strings.Contains(strings.Join(got.Reasons, ", "), string(want)) {
			t.Errorf("%s: %+v, want it ignored: %s", id, got, want)
		}
	}
	r.wantWhole(r.ids[2], r.ids[4]) // the two newest that are whole: --keep-last 2
}
