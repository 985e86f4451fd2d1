package catalog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// Between the choice and the second look a prune may take the archive: nothing is then found, and
// that is an error.
func TestAnArchiveThatGoesWhileItIsFoundIsMissing(t *testing.T) {
	c, _ := memory(t)
	other, _ := memory(t)
	m := sample(t, time.Now(), 7)
	choice := Choice{Found: Found{Manifest: m}, In: []*Catalog{c}, Faults: map[*Catalog]error{}}
	if err := choice.complete(t.Context(), Stores{other, c}); !errors.Is(err, bucket.ErrNotExist) || len(choice.In) != 0 {
		t.Errorf("complete = %v, in %d stores, want ErrNotExist and none", err, len(choice.In))
	}
	m = commit(t, other, m)
	choice = Choice{Found: Found{Manifest: m}, In: []*Catalog{c}, Faults: map[*Catalog]error{}}
	if err := choice.complete(t.Context(), Stores{other, c}); err != nil || len(choice.In) != 1 || choice.In[0] != other {
		t.Errorf("complete = %v, in %d stores, want the other one alone", err, len(choice.In))
	}
}

// TestWhatSeveralStoresPassOverIsToldOnce: and not what is older than the chosen one.
func TestWhatSeveralStoresPassOverIsToldOnce(t *testing.T) {
	a, _ := memory(t)
	b, _ := memory(t)
	now := time.Now().UTC()
	odd := sample(t, now.Add(-2*time.Hour), 8)
	odd.Suspect = []string{"HashKV differs"}
	commit(t, a, sample(t, now.Add(-3*time.Hour), 7))
	commit(t, a, odd)
	want := commit(t, b, sample(t, now.Add(-time.Hour), 9))
	ahead := sample(t, now, 10)
	for _, c := range []*Catalog{a, b} {
		commit(t, c, ahead)
		c.Now = func() time.Time { return now.Add(-10 * time.Minute) }
	}
	choice, err := Stores{a, b}.Find(t.Context(), Latest, time.Time{})
	if err != nil || choice.Manifest.ID != want.ID {
		t.Fatalf("Find(latest) = %s, %v, want %s", choice.Manifest.ID, err, want.ID)
	}
	if len(choice.Passed) != 1 || choice.Passed[0].ID != ahead.ID || !strings.Contains(choice.Passed[0].String(), "archive "+string(ahead.ID)+" was passed over: in the future of our own clock") {
		t.Errorf("Find(latest) passed over %v, want %s once", choice.Passed, ahead.ID)
	}
}
