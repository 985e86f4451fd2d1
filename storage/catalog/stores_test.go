package catalog

import (
	"errors"
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
