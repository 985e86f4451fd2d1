package dbfile

import (
	"hash/maphash"
	"math/bits"
)

// keySet remembers keys by a 128-bit hash of each, with seeds of its own: two keys that meet
// would make a sound file look unequal, once in 10^20 times for a billion keys. It takes 20 to
// 25 bytes a key: small tables that grow one at a time, by a quarter, when four fifths full.
type keySet struct {
	seeds  [2]maphash.Seed
	shards [256]shard
	n      int
	limit  int
	full   bool
}

type keyHash [2]uint64

func newKeySet(limit int) *keySet {
	return &keySet{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, limit: limit}
}

// add says whether key was not there before. Once the limit is reached it sets full, and
// answers no longer mean anything.
func (s *keySet) add(key []byte) bool {
	h, shard := s.hash(key)
	if s.full || shard.has(h) {
		return false
	}
	if s.n == s.limit {
		s.full = true
		return false
	}
	s.n++
	shard.add(h)
	return true
}

func (s *keySet) has(key []byte) bool {
	h, shard := s.hash(key)
	return shard.has(h)
}

func (s *keySet) hash(key []byte) (keyHash, *shard) {
	h := keyHash{maphash.Bytes(s.seeds[0], key), maphash.Bytes(s.seeds[1], key)}
	if h == (keyHash{}) {
		h[1] = 1 // zero marks an empty slot
	}
	return h, &s.shards[h[1]>>56]
}

// shard is a table of hashes, those that meet one after another.
type shard struct {
	slots []keyHash
	n     int
}

// find is the slot that holds h, or the empty one where it belongs. There is always one.
func (s *shard) find(h keyHash) int {
	at, _ := bits.Mul64(h[0], uint64(len(s.slots)))
	i := int(at)
	for s.slots[i] != h && s.slots[i] != (keyHash{}) {
		if i++; i == len(s.slots) {
			i = 0
		}
	}
	return i
}

func (s *shard) has(h keyHash) bool { return s.n > 0 && s.slots[s.find(h)] == h }

func (s *shard) add(h keyHash) {
	if 5*(s.n+1) > 4*len(s.slots) {
		s.grow()
	}
	s.slots[s.find(h)] = h
	s.n++
}

func (s *shard) grow() {
	old := s.slots
	s.slots = make([]keyHash, max(16, len(old)+len(old)/4))
	for _, h := range old {
		if h != (keyHash{}) {
			s.slots[s.find(h)] = h
		}
	}
}
