package catalog

import (
	"context"
	"errors"
	"fmt"
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

func TestIndexGoesByNamesAlone(t *testing.T) {
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
	got, err := c.Index(t.Context())
	if err != nil || len(got) != len(ids) {
		t.Fatalf("Index = %d items, %v, want %d", len(got), err, len(ids))
	}
	var lines []string
	for i, it := range got {
		if it.ID != ids[i] {
			t.Errorf("Index has %s at %d, want %s", it.ID, i, ids[i])
		}
		level, at := it.Receipt()
		lines = append(lines, fmt.Sprintf("%s %d %t", level, max(0, at.Unix()-noon.Unix()), it.Held()))
		written := *it.Manifest
		for ahead, want := range map[time.Duration]bool{5 * time.Minute: false, 6 * time.Minute: true} {
			written.ModTime = it.ID.Time().Add(-ahead)
			if got := (Item{ID: it.ID, Manifest: &written}).Future(); got != want {
				t.Errorf("an id %s ahead of the store's clock: Future is %t", ahead, got)
			}
		}
	}
	if got, want := strings.Join(lines, ","), " 0 true, 0 false, 0 true,content 2 false, 0 false"; got != want {
		t.Errorf("Index tells %q, want %q", got, want)
	}
}

// whole is what KnowAll tells of every archive.
func whole(t *testing.T, c *Catalog) map[ID]Known {
	t.Helper()
	items, err := c.Index(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known := map[ID]Known{}
	if err := c.KnowAll(t.Context(), items, noon, func(it Item, k Known) {
		if _, twice := known[it.ID]; twice {
			t.Errorf("KnowAll told twice of %s", it.ID)
		}
		known[it.ID] = k
	}); err != nil {
		t.Fatal(err)
	}
	return known
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
		if err != nil || k.Verified != level || k.Finding != c.Failed(t.Context(), m) || k.Manifest.SHA256 != m.SHA256 || len(k.Holds) > 0 != (i%5 != 0) {
			t.Errorf("KnowAll tells of %d: verified %q, finding %q, %d holds; want %q, %v", i, k.Verified, k.Finding, len(k.Holds), level, err)
		}
	}
	items, err := c.Index(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := bucket.NewRemover(store).Remove(t.Context(), c.keys.manifest(all[7].ID)); err != nil {
		t.Fatal(err)
	}
	n := 0
	items[0].Manifest = nil
	if err := c.KnowAll(t.Context(), items, noon, func(Item, Known) { n++ }); err != nil || n != 38 {
		t.Errorf("KnowAll of 40, one gone and one without a manifest, told of %d, %v", n, err)
	}
}

func TestKnowAllStopsWithItsContextAndItsStore(t *testing.T) {
	c, store := memory(t)
	for i := range 200 {
		commit(t, c, sample(t, noon.Add(time.Duration(i)*time.Hour), int64(i+1)))
	}
	items, err := c.Index(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err = c.KnowAll(ctx, items, noon, func(Item, Known) { n++; cancel() })
	if !errors.Is(err, context.Canceled) || n > 2*readers {
		t.Errorf("KnowAll, cancelled at the first of 200, told of %d, %v", n, err)
	}
	store.Close()
	if err := c.KnowAll(t.Context(), items, noon, func(Item, Known) { t.Error("told of an archive in a closed store") }); !errors.Is(err, bucket.ErrUnavailable) {
		t.Errorf("KnowAll in a closed store: %v, want ErrUnavailable", err)
	}
	if _, err := c.Index(t.Context()); !errors.Is(err, bucket.ErrUnavailable) {
		t.Errorf("Index of a closed store: %v, want ErrUnavailable", err)
	}
}
