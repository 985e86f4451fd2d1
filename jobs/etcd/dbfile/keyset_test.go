package dbfile

import (
	"fmt"
	"testing"
)

// TestKeySetRemembersAllAndNoOther grows well beyond its first table.
func TestKeySetRemembersAllAndNoOther(t *testing.T) {
	const n = 200_000
	s := newKeySet(n)
	key := func(i int) []byte { return fmt.Appendf(nil, "/registry/k%d", i) }
	for i := range n {
		if s.has(key(i)) || !s.add(key(i)) || s.add(key(i)) || !s.has(key(i)) {
			t.Fatalf("key %d was there before it was added, or not after", i)
		}
	}
	for i := range n {
		if !s.has(key(i)) || s.has(key(n+i)) {
			t.Fatalf("after %d keys the set has lost key %d, or has key %d", n, i, n+i)
		}
	}
	if s.full || s.n != n {
		t.Errorf("set of %d keys has %d, full %v", n, s.n, s.full)
	}
	if s.add([]byte{}) || !s.full {
		t.Error("a key beyond the limit was taken")
	}
}

func TestKeySetTakesAnEmptyKey(t *testing.T) {
	s := newKeySet(10)
	if s.has(nil) || !s.add(nil) || !s.has([]byte{}) || s.add([]byte{}) {
		t.Error("the empty key is not one key")
	}
}

// TestAFullKeySetSaysThatItIs: at the limit and not before, and an old key does not count.
func TestAFullKeySetSaysThatItIs(t *testing.T) {
	s := newKeySet(3)
	for _, key := range []string{"a", "b", "c", "a", "b", "c"} {
		s.add([]byte(key))
	}
	if s.full {
		t.Error("the set is full with as many keys as it may hold")
	}
	s.add([]byte("d"))
	if !s.full || s.add([]byte("e")) {
		t.Error("the set is not full with one key more")
	}
}

// TestTooManyKeysAreSaid walks a real file with room for one key too few, and for just enough.
func TestTooManyKeysAreSaid(t *testing.T) {
	t.Parallel()
	for _, compacted := range []bool{false, true} {
		t.Run(fmt.Sprintf("compacted=%v", compacted), func(t *testing.T) {
			t.Parallel()
			s := take(t, "3.6", compacted)
			f := file(t, s.bytes)
			recent := s.keys // all, where nothing was compacted
			if compacted {
				recent = 100 + 20 // those written since, and the deletes that the compaction left
			}
			for limit, many := range map[int]bool{recent: false, recent - 1: true, 1: true} {
				facts, err := inspect(f, Query{Revision: s.rev, CompactRevision: s.compact, MaxRecentKeys: limit})
				if err != nil || facts.TooMany != many {
					t.Errorf("inspect with room for %d of %d keys = %+v, %v; want too many %v", limit, recent, facts, err, many)
				}
				want := map[bool]Fit{true: Unknown, false: Equal}[many]
				if fit, why := facts.Fits(s.hash, s.compact); fit != want || many && (why == "" || facts.Keys != -1 || facts.HashKV != 0) {
					t.Errorf("with room for %d of %d keys the file is %v (%s), %+v; want %v", limit, recent, fit, why, facts, want)
				}
			}
		})
	}
}
