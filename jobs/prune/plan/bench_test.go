package plan

import (
	"fmt"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// many are n archives, 10 minutes apart, half of them verified.
func many(n int) []Archive {
	out := make([]Archive, n)
	for i := range out {
		when := noon.Add(-time.Duration(i) * 10 * time.Minute)
		out[i] = Archive{ID: catalog.ID(fmt.Sprintf("%s-%016x-00000000", when.Format("20060102T150405Z"), i)), Cluster: "c1", Time: when, Written: when, Bytes: 1, Keys: 1, Trust: Trusted}
		if i%2 == 0 {
			out[i].Stored, out[i].Content, out[i].Opened = when, when, when
		}
	}
	return out
}

var wide = Policy{KeepLast: All, KeepHourly: All, KeepDaily: All, KeepWeekly: All, KeepMonthly: All, KeepYearly: All, KeepWithin: 9999 * hour,
	KeepMin: 3, MaxCount: 5000, CountLevel: catalog.Content}

// BenchmarkMake plans over 100,000 archives. The target is a second's CPU.
func BenchmarkMake(b *testing.B) {
	in := input(wide, many(100_000)...)
	for b.Loop() {
		mustMake(b, in)
	}
}

// A loop within a loop would make ten times the archives cost a hundred times the time.
func TestThePlanGrowsWithItsInput(t *testing.T) {
	took := func(n int) time.Duration {
		in, best := input(wide, many(n)...), time.Hour
		for range 5 {
			began := time.Now()
			mustMake(t, in)
			best = min(best, time.Since(began))
		}
		return best
	}
	if few, lots := took(2_000), took(20_000); lots > 40*few {
		t.Errorf("20,000 archives took %s, 2,000 took %s", lots, few)
	}
}
