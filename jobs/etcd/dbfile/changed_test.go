package dbfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// changes are the ways in which one entry of bucket key may be wrong. Each says whether it
// found something to change.
var changes = []struct {
	name string
	do   func(rnd *rand.Rand, b *bolt.Bucket, k, v []byte) (bool, error)
}{
	{"key", func(rnd *rand.Rand, b *bolt.Bucket, k, v []byte) (bool, error) {
		return true, rewrite(b, k, v, func(kv *mvccpb.KeyValue) { kv.Key[rnd.IntN(len(kv.Key))] ^= 1 << rnd.IntN(8) })
	}},
	{"value", func(rnd *rand.Rand, b *bolt.Bucket, k, v []byte) (bool, error) {
		if marked(k) {
			return false, nil // a tombstone has no value
		}
		return true, rewrite(b, k, v, func(kv *mvccpb.KeyValue) { kv.Value[rnd.IntN(len(kv.Value))] ^= 1 << rnd.IntN(8) })
	}},
	{"value's length", func(_ *rand.Rand, b *bolt.Bucket, k, v []byte) (bool, error) {
		return true, rewrite(b, k, v, func(kv *mvccpb.KeyValue) { kv.Value = append(kv.Value, 0) })
	}},
	{"revision", func(rnd *rand.Rand, b *bolt.Bucket, k, v []byte) (bool, error) {
		to := bytes.Clone(k)
		binary.BigEndian.PutUint64(to[9:], uint64(1+rnd.IntN(5))) // a sub that is free
		return true, errors.Join(b.Delete(k), b.Put(to, v))
	}},
	{"tombstone set", func(_ *rand.Rand, b *bolt.Bucket, k, v []byte) (bool, error) {
		if marked(k) {
			return false, nil
		}
		return true, errors.Join(b.Delete(k), b.Put(append(bytes.Clone(k), 't'), v))
	}},
	{"tombstone taken", func(_ *rand.Rand, b *bolt.Bucket, k, v []byte) (bool, error) {
		if !marked(k) {
			return false, nil
		}
		return true, errors.Join(b.Delete(k), b.Put(k[:17], v))
	}},
	{"entry gone", func(_ *rand.Rand, b *bolt.Bucket, k, _ []byte) (bool, error) {
		return true, b.Delete(k)
	}},
	{"entry twice", func(rnd *rand.Rand, b *bolt.Bucket, k, v []byte) (bool, error) {
		to := bytes.Clone(k)
		binary.BigEndian.PutUint64(to[9:], uint64(1+rnd.IntN(5)))
		return true, b.Put(to, v)
	}},
}

func marked(k []byte) bool { return len(k) == 18 }

func rewrite(b *bolt.Bucket, k, v []byte, change func(*mvccpb.KeyValue)) error {
	var kv mvccpb.KeyValue
	if err := proto.Unmarshal(v, &kv); err != nil {
		return err
	}
	change(&kv)
	v, err := proto.Marshal(&kv)
	if err != nil {
		return err
	}
	return b.Put(k, v)
}

// TestEachChangedEntryIsUnequal changes one key, value, revision or tombstone in each of 200
// files. Only what a member hashes can be found: an entry from before a compaction whose key
// was written again since is not part of its answer (server/storage/mvcc/hash.go).
func TestEachChangedEntryIsUnequal(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		for _, compacted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,compacted=%v", version, compacted), func(t *testing.T) {
				t.Parallel()
				s := take(t, version, compacted)
				f := file(t, s.bytes)
				if fit, why := s.fit(t, f); fit != Equal {
					t.Fatalf("the file as it came is %v: %s", fit, why)
				}
				if compacted != (s.compact > 0) {
					t.Fatalf("the member is compacted at %d", s.compact)
				}
				done := map[string]int{}
				for seed := range filesToSpoil(200) {
					what, k, data := s.change(t, uint64(seed))
					refill(t, f, data)
					done[what]++
					if fit, why := s.fit(t, f); fit != Unequal {
						t.Errorf("seed %d: %s of entry %x changed: %v (%s), want Unequal", seed, what, k, fit, why)
					}
				}
				if len(done) < len(changes) {
					t.Errorf("changes made: %v, want some of each of %d", done, len(changes))
				}
			})
		}
	}
}

// change spoils one entry of a copy and says how, and which.
func (s sample) change(t *testing.T, seed uint64) (what string, entry, data []byte) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 11))
	f := file(t, s.bytes)
	defer f.Close()
	db, err := bolt.Open(f.Name(), 0o600, &bolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("key"))
		keys := s.hashed(b)
		for {
			k := keys[rnd.IntN(len(keys))]
			c := changes[seed%uint64(len(changes))]
			done, err := c.do(rnd, b, k, bytes.Clone(b.Get(k)))
			if done || err != nil {
				what, entry = c.name, k
				return err
			}
		}
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	if data, err = os.ReadFile(f.Name()); err != nil {
		t.Fatal(err)
	}
	return what, entry, data
}

// hashed is the entries that the member's answer covers: all after the compaction, and of those
// before it the ones whose key was not written again.
func (s sample) hashed(b *bolt.Bucket) [][]byte {
	newer := map[string]bool{}
	var out [][]byte
	c := b.Cursor()
	for k, v := c.Last(); k != nil; k, v = c.Prev() {
		var kv mvccpb.KeyValue
		if err := proto.Unmarshal(v, &kv); err != nil {
			panic(err) // the member's own bytes
		}
		after := int64(binary.BigEndian.Uint64(k)) > s.compact
		if after || !newer[string(kv.Key)] && !marked(k) {
			out = append(out, bytes.Clone(k))
		}
		newer[string(kv.Key)] = true
	}
	slices.Reverse(out)
	return out
}

// TestAFileIsLookedAtAndNotChanged: not by a byte, nor is its offset moved.
func TestAFileIsLookedAtAndNotChanged(t *testing.T) {
	t.Parallel()
	s := take(t, "3.6", true)
	f := file(t, s.bytes)
	if err := os.Chmod(f.Name(), 0o400); err != nil {
		t.Fatal(err)
	}
	facts, err := Child{}.Inspect(t.Context(), f, Query{Revision: s.rev, CompactRevision: s.compact})
	if err != nil {
		t.Fatalf("Inspect: %v", err)
	}
	if fit, why := facts.Fits(s.hash, s.compact); fit != Equal || !facts.Kubernetes || facts.Keys != int64(s.keys+100-s.keys/10) {
		t.Errorf("Inspect = %+v, %v (%s); want equal with %d keys", facts, fit, why, s.keys+100-s.keys/10)
	}
	after, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(after, s.bytes) {
		t.Errorf("the file changed, or %v", err)
	}
	if at, err := f.Seek(0, 1); at != 0 || err != nil {
		t.Errorf("the offset is %d, %v; want 0", at, err)
	}
}
