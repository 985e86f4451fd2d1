package catalog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

func hold(t *testing.T, c *Catalog, id ID, release bool, second int) {
	t.Helper()
	h := Hold{Archive: id, Reason: "audit", Written: noon.Add(time.Duration(second) * time.Second)}
	if err := c.PutHold(t.Context(), h, release, fmt.Sprintf("%04x", second)); err != nil {
		t.Fatal(err)
	}
}

func TestNamesAreAllThatIsListed(t *testing.T) {
	c, store := memory(t)
	put := func(key string) {
		if err := store.Put(t.Context(), key, strings.NewReader("x"), 1, false); err != nil {
			t.Fatal(err)
		}
	}
	var ids []ID
	for i := range 5 {
		m := commit(t, c, sample(t, noon.Add(time.Duration(i)*time.Hour), int64(i+1)))
		ids = append([]ID{m.ID}, ids...)
		switch i {
		case 1: // a failure lies there too, and an older, deeper one
			receipt(t, c, m, Content, true, 1)
			receipt(t, c, m, Content, false, 2)
			receipt(t, c, m, Stored, true, 3)
		case 2:
			hold(t, c, m.ID, false, 1)
		case 3:
			hold(t, c, m.ID, false, 1)
			hold(t, c, m.ID, true, 2)
		case 4: // what is no receipt, and a damaged name, which Holds takes for a hold
			put("prod/receipts/" + string(m.ID) + "/notes.json")
			put("prod/receipts/" + string(m.ID) + "/a/20261123T120000Z-drill-0000.json")
			put("prod/holds/" + string(m.ID) + "/x")
		}
	}
	gone := sample(t, noon, 9)
	hold(t, c, gone.ID, false, 1)
	put("prod/manifests/" + string(gone.ID) + ".json.bak")
	got, err := Collect(c.Names(t.Context()))
	if err != nil || len(got) != len(ids) {
		t.Fatalf("Names = %d items, %v, want %d", len(got), err, len(ids))
	}
	var lines []string
	for i, it := range got {
		if it.ID != ids[i] {
			t.Errorf("Names has %s at %d, want %s", it.ID, i, ids[i])
		}
		level, at := it.Receipt()
		lines = append(lines, fmt.Sprintf("%s %d %t", level, max(0, at.Unix()-noon.Unix()), len(Lasting(it.Said(c.URL()), noon)) > 0))
		written := *it.Manifest
		for ahead, want := range map[time.Duration]bool{5 * time.Minute: false, 6 * time.Minute: true} {
			written.ModTime = it.ID.Time().Add(-ahead)
			if got := (Item{ID: it.ID, Manifest: &written}).Future(time.Time{}); got != want {
				t.Errorf("an id %s ahead of the store's clock: Future is %t", ahead, got)
			}
		}
	}
	if got, want := strings.Join(lines, ","), " 0 true, 0 false, 0 true,content 2 false, 0 false"; got != want {
		t.Errorf("Names tells %q, want %q", got, want)
	}
}

// whole is what KnowAll tells of every archive.
func whole(t *testing.T, c *Catalog) map[ID]Known {
	t.Helper()
	known := map[ID]Known{}
	items, err := c.KnowAll(t.Context(), c.Names(t.Context()), func(it Item, k Known) {
		if _, twice := known[it.ID]; twice {
			t.Errorf("KnowAll told twice of %s", it.ID)
		}
		known[it.ID] = k
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(items, func(a, b Item) int { return strings.Compare(string(b.ID), string(a.ID)) }) {
		t.Error("KnowAll's items are not sorted, newest first")
	}
	return known
}

// those yields what was listed before.
func those(items []Item) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for _, it := range items {
			if !yield(it, nil) {
				return
			}
		}
	}
}

func TestKnowAllTellsOfEachWhatIsToldOfOne(t *testing.T) {
	c, store := memory(t)
	var all []Manifest
	for i := range 40 {
		m := commit(t, c, sample(t, noon.Add(time.Duration(i)*time.Hour), int64(i+1)))
		receipt(t, c, m, Content, i%2 == 0, 1)
		receipt(t, c, m, Stored, i%3 == 0, 2)
		hold(t, c, m.ID, i%5 == 0, 1)
		all = append(all, m)
	}
	known := whole(t, c)
	for i, m := range all {
		k := known[m.ID]
		level, _, err := c.Verified(t.Context(), m)
		if err != nil || k.Verified != level || k.Finding != c.Failed(t.Context(), m) || k.Manifest.SHA256 != m.SHA256 || len(Lasting(k.Said, noon)) > 0 != (i%5 != 0) {
			t.Errorf("KnowAll tells of %d: verified %q, finding %q, %d holds; want %q, %v", i, k.Verified, k.Finding, len(k.Said), level, err)
		}
	}
	items, err := Collect(c.Names(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if err := bucket.NewRemover(store).Remove(t.Context(), c.keys.manifest(all[7].ID)); err != nil {
		t.Fatal(err)
	}
	n := 0
	items[0].Manifest = nil
	if _, err := c.KnowAll(t.Context(), those(items), func(Item, Known) { n++ }); err != nil || n != 38 {
		t.Errorf("KnowAll of 40, one gone and one without a manifest, told of %d, %v", n, err)
	}
}

func TestKnowAllStopsWithItsContextAndItsStore(t *testing.T) {
	c, store := memory(t)
	for i := range 200 {
		commit(t, c, sample(t, noon.Add(time.Duration(i)*time.Hour), int64(i+1)))
	}
	items, err := Collect(c.Names(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err = c.KnowAll(ctx, those(items), func(Item, Known) { n++; cancel() })
	if !errors.Is(err, context.Canceled) || n > 2*readers {
		t.Errorf("KnowAll, cancelled at the first of 200, told of %d, %v", n, err)
	}
	store.Close()
	all, err := c.KnowAll(t.Context(), those(items), func(Item, Known) { t.Error("told of an archive in a closed store") })
	if !errors.Is(err, bucket.ErrUnavailable) || len(all) != 200 {
		t.Errorf("KnowAll in a closed store: %v and %d items, want ErrUnavailable and all", err, len(all))
	}
	all, err = c.KnowAll(t.Context(), c.Names(t.Context()), func(Item, Known) { t.Error("told of an archive that was not listed") })
	if !errors.Is(err, bucket.ErrUnavailable) || all != nil {
		t.Errorf("KnowAll of a closed store: %v and %d items, want ErrUnavailable and nil", err, len(all))
	}
}

// Each folder may have its own part of what lies under an id, or none, and what is no name of ours
// lies between.
func TestEverythingIsJoinedByID(t *testing.T) {
	c, store := memory(t)
	rnd := rand.New(rand.NewPCG(7, 1))
	want := map[ID]string{}
	for i := range 60 {
		id := sample(t, noon.Add(time.Duration(i)*time.Hour), int64(i+1)).ID
		for _, name := range []string{"manifests/%s.json", "archives/%s.db.zst.age", "archives/%s.db.zst", "receipts/%s/20261123T120000Z-stored-0001.json",
			"receipts/%s/20261123T120000Z-stored-0002.json", "holds/%s/20261123T120000Z-hold-0001.json", "accepts/%s.json"} {
			if rnd.IntN(2) == 0 {
				continue
			}
			key := fmt.Sprintf("prod/"+name, id)
			if err := store.Put(t.Context(), key, strings.NewReader("x"), 1, false); err != nil {
				t.Fatal(err)
			}
			want[id] += " " + key
		}
	}
	for _, key := range []string{"prod/manifests/0.json", "prod/archives/zzz", "prod/receipts/x/y", "prod/.probe/p", "prod/RECOVERY.md", "prod-2/manifests/x.json"} {
		if err := store.Put(t.Context(), key, strings.NewReader("x"), 1, false); err != nil {
			t.Fatal(err)
		}
	}
	var last ID
	got := map[ID]string{}
	for it, err := range c.Everything(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if it.ID <= last {
			t.Errorf("%s comes after %s", it.ID, last)
		}
		last = it.ID
		for _, obj := range it.objects() {
			got[it.ID] += " " + obj.Key
		}
	}
	for id := range want {
		a, b := strings.Fields(want[id]), strings.Fields(got[id])
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Errorf("%s has %q, want %q", id, b, a)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d ids, want %d", len(got), len(want))
	}
}

// A LIST that is cut short must not pass for a shorter one, and whoever looks away leaves nothing
// running: the package's tests look for goroutines.
func TestAWalkEndsWithItsContextAndItsReader(t *testing.T) {
	c, _ := memory(t)
	for i := range 30 {
		commit(t, c, sample(t, noon.Add(time.Duration(i)*time.Hour), int64(i+1)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if items, err := Collect(c.Everything(ctx)); !errors.Is(err, context.Canceled) {
		t.Errorf("Everything with an ended context = %d items, %v", len(items), err)
	}
	for it := range c.Everything(t.Context()) {
		if it.Manifest == nil {
			t.Errorf("%s has no manifest", it.ID)
		}
		break
	}
}
