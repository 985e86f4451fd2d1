package catalog

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWhatIsSaidInSeveralStoresIsOneLog: by the documents' names, whatever the order of the stores. A
// damaged document holds, until a release after it, or what it says in another store.
func TestWhatIsSaidInSeveralStoresIsOneLog(t *testing.T) {
	id := sample(t, noon, 7).ID
	say := func(c *Catalog, release bool, second int, until time.Duration) {
		h := Hold{Archive: id, Reason: "audit", Written: noon.Add(time.Duration(second) * time.Second)}
		if until != 0 {
			end := noon.Add(until)
			h.Until = &end
		}
		if err := c.PutHold(t.Context(), h, release, "0a1b"); err != nil {
			t.Fatal(err)
		}
	}
	damage := func(c *Catalog, what string, second int) {
		key := c.keys.holds(id) + noon.Add(time.Duration(second)*time.Second).Format(stamp) + "-" + what + "-0a1b.json"
		if err := c.store.Put(t.Context(), key, strings.NewReader("x"), 1, false); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		say  func(a, b *Catalog)
		want int
	}{
		{"nothing", func(_, _ *Catalog) {}, 0},
		{"in one", func(a, _ *Catalog) { say(a, false, 1, 0) }, 1},
		{"in both", func(a, b *Catalog) { say(a, false, 1, 0); say(b, false, 1, 0) }, 2},
		{"released in the other", func(a, b *Catalog) { say(a, false, 1, 0); say(b, true, 2, 0) }, 0},
		{"released in the same second", func(a, b *Catalog) { say(a, false, 1, 0); say(b, true, 1, 0) }, 0},
		{"released before", func(a, b *Catalog) { say(a, false, 2, 0); say(b, true, 1, 0) }, 1},
		{"over", func(a, _ *Catalog) { say(a, false, 1, -time.Minute) }, 0},
		{"over in one", func(a, b *Catalog) { say(a, false, 1, -time.Minute); say(b, false, 2, time.Hour) }, 1},
		{"damaged", func(a, _ *Catalog) { damage(a, "hold", 1) }, 1},
		{"damaged, then released", func(a, b *Catalog) { damage(a, "hold", 1); say(b, true, 2, 0) }, 0},
		{"a damaged release", func(a, b *Catalog) { say(a, false, 1, 0); damage(b, "release", 2) }, 2},
		{"a release damaged in one", func(a, b *Catalog) { say(a, false, 1, 0); damage(a, "release", 2); say(b, true, 2, 0) }, 0},
	} {
		a, _ := memory(t)
		b, _ := memory(t)
		c.say(a, b)
		var said []Hold
		for _, store := range []*Catalog{a, b} {
			here, err := store.Said(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			said = append(said, here...)
		}
		for range 2 {
			if got := Lasting(said, noon); len(got) != c.want {
				t.Errorf("%s: %d holds last, want %d: %+v", c.name, len(got), c.want, got)
			}
			slices.Reverse(said)
		}
	}
}

// TestADocumentComesAfterAllThatWasSaid: by names, which have whole seconds, whoever's clock was ahead.
func TestADocumentComesAfterAllThatWasSaid(t *testing.T) {
	now := noon.Add(700 * time.Millisecond)
	for name, want := range map[string]time.Time{
		"":                                     now,
		"20200101T000000Z-hold-0a1b.json":      now,
		stampOf(noon.Add(-time.Second)):        now,
		stampOf(noon):                          noon.Add(time.Second),
		stampOf(noon.Add(time.Hour)):           noon.Add(time.Hour + time.Second),
		"20991231T235959Z-release-0a1b.json":   time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		"nonsense that is longer than a stamp": now,
	} {
		if got := After([]Hold{{name: name}, {name: stampOf(noon.Add(-time.Hour))}}, now); !got.Equal(want) {
			t.Errorf("after %q comes %s, want %s", name, got, want)
		}
	}
}

func stampOf(at time.Time) string { return at.Format(stamp) + "-release-0a1b.json" }
