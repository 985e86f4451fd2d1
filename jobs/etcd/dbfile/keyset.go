package dbfile

import "hash/maphash"

// keySet remembers keys by a 128-bit hash of each, with seeds of its own: two keys that meet
// would make a sound file look unequal, once in 10^20 times for a billion keys. It holds
// 16 bytes a key, in a table at most three quarters full.
type keySet struct {
	seeds [2]maphash.Seed
	slots [][2]uint64
	n     int
	limit int
	full  bool
}

func newKeySet(limit int) *keySet {
	return &keySet{
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		slots: make([][2]uint64, 1<<10),
		limit: limit,
	}
}

// add says whether key was not there before. Once the limit is reached it sets full, and
// answers no longer mean anything.
func (s *keySet) add(key []byte) bool {
	if s.full {
		return false
	}
	h := s.hash(key)
	slot := s.find(h)
	if s.slots[slot] == h {
		return false
	}
	if s.n == s.limit {
		s.full = true
		return false
	}
	s.slots[slot] = h
	s.n++
	if 4*s.n > 3*len(s.slots) {
		s.grow()
	}
	return true
}

func (s *keySet) has(key []byte) bool {
	h := s.hash(key)
	return s.slots[s.find(h)] == h
}

func (s *keySet) hash(key []byte) [2]uint64 {
	h := [2]uint64{maphash.Bytes(s.seeds[0], key), maphash.Bytes(s.seeds[1], key)}
	if h == [2]uint64{} {
		h[1] = 1 // zero marks an empty slot
	}
	return h
}

// find is the slot that holds h, or the empty one where it belongs.
func (s *keySet) find(h [2]uint64) uint64 {
	mask := uint64(len(s.slots) - 1)
	i := h[0] & mask
	for s.slots[i] != h && s.slots[i] != [2]uint64{} {
		i = (i + 1) & mask
	}
	return i
}

func (s *keySet) grow() {
	old := s.slots
	s.slots = make([][2]uint64, 2*len(old))
	for _, h := range old {
		if h != [2]uint64{} {
			s.slots[s.find(h)] = h
		}
	}
}
