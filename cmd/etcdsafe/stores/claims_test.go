package stores

import (
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/bucket/storetest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

func claimant(t *testing.T) catalog.Run {
	t.Helper()
	holder, err := catalog.Holder(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return catalog.Run{Runner: catalog.Runner{Host: "node"}, Holder: holder}
}

// TestOneOfSixteenClaimantsWins: on each real store, of all who claim a slot at once.
func TestOneOfSixteenClaimantsWins(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		r := s.road(t)
		for round := range 10 {
			slot := time.Date(2026, 11, 23, 12, round, 0, 0, time.UTC)
			var won [16]bool
			var wait sync.WaitGroup
			for i := range won {
				me := claimant(t)
				wait.Go(func() {
					var err error
					if won[i], err = catalogOf(t, r.b).ClaimSlot(t.Context(), "snapshot,verify", slot, me); err != nil {
						t.Errorf("ClaimSlot = %v", err)
					}
				})
			}
			wait.Wait()
			if first := slices.Index(won[:], true); first < 0 || slices.Contains(won[first+1:], true) {
				t.Fatalf("of 16 who claimed %s, these won: %v; want one", slot, won)
			}
		}
	})
}

// TestAClaimWhoseAnswerIsLostCounts: it is its claimant's still, however often the answer is lost, and nobody
// else's.
func TestAClaimWhoseAnswerIsLostCounts(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		r := s.road(t)
		slot := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		const key = "prod/runs/claims/20261123T120000Z-snapshot_verify.json"
		r.lieFirst(r.ending(key, 1), 3, storetest.LoseAnswer())
		mine := claimant(t)
		for n, c := range []struct {
			who  catalog.Run
			want bool
		}{{mine, true}, {claimant(t), false}, {mine, true}} {
			if won, err := catalogOf(t, r.b).ClaimSlot(t.Context(), "snapshot,verify", slot, c.who); err != nil || won != c.want {
				t.Errorf("claim %d: won %t, %v, want %t", n, won, err, c.want)
			}
		}
		// What took the name cannot be read: it may be our own bytes, so nobody has lost.
		r.l.Lie(r.getting(key), 0, s.answer(403, "AccessDenied"))
		if won, err := catalogOf(t, r.b).ClaimSlot(t.Context(), "snapshot,verify", slot, mine); won || !errors.Is(err, bucket.ErrUnavailable) {
			t.Errorf("a claim that cannot be read back: won %t, %v, want %v", won, err, bucket.ErrUnavailable)
		}
		r.wantObjects(key)
		if next := r.after(r.ending(key, 1), key); !asksAgain(next) {
			t.Errorf("after the answer that was lost came %+v, want a second try or a look", next)
		}
	})
}
