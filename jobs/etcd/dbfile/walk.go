package dbfile

import (
	"bytes"
	"fmt"
	"hash"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"
)

// defaultRecentKeys bounds the walk's memory: some 100 MiB for each of two sets of keys, of
// which one is small unless a compaction is under way.
const defaultRecentKeys = 4 << 20

// walk computes HashKV without booting etcd (server/storage/mvcc/hash.go, kvHasher): crc32c
// over "key", then each key and value of bucket key with main ≤ the asked revision, in order,
// but without
//
//   - entries with main ≤ the compact revision that are not in keep, the newest live version
//     of each key at the asked revision; where keep is empty nothing is left out;
//   - tombstones with main equal to the compact revision.
//
// Where keep is empty the answer shows what the member's own compaction has removed so far: a
// member compacted beyond the file answers one hash before and another after it is done.
//
// Keep needs no memory for what the file's own finished compaction left: of each key there is
// one entry at most, and it is in keep unless it is a tombstone or the key was written again
// since. So the walk goes backwards over what was written since, remembering the keys, and
// then forwards over all.
type walk struct {
	query Query
	facts *Facts

	revision, compact, finished int64

	seen    *keySet  // keys written in (finished, revision]
	old     *keySet  // of those, the ones written in (finished, compact]
	keepers []keeper // newest first: of the entries in (finished, compact]
	live    int64

	all       hash.Hash32 // etcdutl's
	kept      hash.Hash32 // HashKV where keep is not empty
	before    hash.Hash32 // HashKV where it is, before the compaction removed anything
	compacted hash.Hash32 // and after it has removed all it will
}

// keeper says of an entry whether it is the newest live version of its key at the asked
// revision, and whether it was that at the compact revision.
type keeper struct{ asked, compacted bool }

func (w *walk) run(tx *bolt.Tx) error {
	w.revision, w.compact, w.finished = w.query.Revision, w.query.CompactRevision, w.facts.CompactRevision
	if w.revision == 0 {
		w.revision = w.facts.Revision
	}
	if w.compact == 0 {
		w.compact = max(w.facts.CompactRevision, w.facts.ScheduledRev)
	}
	limit := w.query.MaxRecentKeys
	if limit == 0 {
		limit = defaultRecentKeys
	}
	w.seen, w.old = newKeySet(limit), newKeySet(limit)
	table := crc32.MakeTable(crc32.Castagnoli)
	w.all, w.kept, w.before, w.compacted = crc32.New(table), crc32.New(table), crc32.New(table), crc32.New(table)
	for _, h := range []hash.Hash32{w.kept, w.before, w.compacted} {
		h.Write([]byte("key"))
	}
	if err := w.back(tx.Bucket([]byte("key")).Cursor()); err != nil {
		return err
	}
	if err := w.buckets(tx); err != nil {
		return err
	}
	w.conclude()
	return nil
}

// back remembers the keys written after the finished compaction, newest first, and which of
// the entries up to the compact revision are in keep.
func (w *walk) back(c *bolt.Cursor) error {
	var after []byte
	for k, v := c.Last(); k != nil; k, v = c.Prev() {
		if after != nil && bytes.Compare(k, after) >= 0 {
			return fmt.Errorf("bucket key is out of order at %x: %w", k[:min(len(k), 32)], ErrCorrupt)
		}
		after = k
		rev, err := parseRevision(k)
		if err != nil {
			return err
		}
		if rev.main <= w.finished {
			return nil
		}
		if rev.main > w.revision {
			continue
		}
		name, err := keyOf(v)
		if err != nil {
			return err
		}
		keep := keeper{asked: w.seen.add(name) && !rev.tombstone}
		if keep.asked {
			w.live++
		}
		if rev.main <= w.compact {
			keep.compacted = w.old.add(name) && !rev.tombstone
			w.keepers = append(w.keepers, keep)
		}
	}
	return nil
}

// buckets walks every bucket forwards, and so every page that is in use.
func (w *walk) buckets(tx *bolt.Tx) error {
	return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		isKey := string(name) == "key"
		if w.query.KeysOnly && !isKey {
			return nil
		}
		w.all.Write(name)
		var before []byte
		c := b.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if bytes.Compare(before, k) >= 0 {
				return fmt.Errorf("bucket %q is out of order at %x: %w", name, k[:min(len(k), 32)], ErrCorrupt)
			}
			before = k
			if !w.query.KeysOnly {
				w.all.Write(k)
				w.all.Write(v)
			}
			if !isKey {
				continue
			}
			if err := w.key(k, v); err != nil {
				return err
			}
		}
		return nil
	})
}

// key takes one entry of bucket key.
func (w *walk) key(k, v []byte) error {
	rev, err := parseRevision(k)
	if err != nil {
		return err
	}
	name, err := keyOf(v)
	if err != nil {
		return err
	}
	w.facts.Kubernetes = w.facts.Kubernetes || isKubernetes(name)
	if rev.main > w.revision {
		return nil
	}
	keep := w.keeps(rev, name)
	if rev.tombstone && rev.main == w.compact {
		return nil
	}
	if keep.asked {
		add(w.kept, k, v)
	}
	if w.live > 0 {
		return nil // the other two are for a store without a live key
	}
	add(w.before, k, v)
	if keep.compacted {
		add(w.compacted, k, v)
	}
	return nil
}

func add(h hash.Hash32, k, v []byte) {
	h.Write(k)
	h.Write(v)
}

// keeps says what an entry is to keep. It must be called for each entry once, in order.
func (w *walk) keeps(rev revision, name []byte) keeper {
	switch {
	case rev.main > w.compact:
		return keeper{asked: true, compacted: true}
	case rev.main > w.finished:
		last := len(w.keepers) - 1
		keep := w.keepers[last]
		w.keepers = w.keepers[:last]
		return keep
	}
	keep := keeper{asked: !rev.tombstone && !w.seen.has(name), compacted: !rev.tombstone && !w.old.has(name)}
	if keep.asked {
		w.live++
	}
	return keep
}

func (w *walk) conclude() {
	f := w.facts
	f.Hash, f.HashRevision, f.HashCompact, f.Keys = w.all.Sum32(), w.revision, w.compact, w.live
	f.HashKV = w.kept.Sum32()
	if w.live == 0 {
		f.HashKV = w.before.Sum32()
		f.Unsettled, f.HashKVCompacted = w.compact > w.finished, w.compacted.Sum32()
	}
	if w.seen.full || w.old.full {
		f.TooMany, f.HashKV, f.Keys = true, 0, -1
	}
}

func isKubernetes(name []byte) bool {
	return bytes.HasPrefix(name, []byte("/registry/")) || bytes.HasPrefix(name, []byte("/kubernetes.io/"))
}

// keyOf is field 1 of mvccpb.KeyValue. The entry that a revision bump leaves is empty.
func keyOf(v []byte) ([]byte, error) {
	for len(v) > 0 {
		number, kind, n := protowire.ConsumeTag(v)
		if n < 0 {
			return nil, errNoKeyValue
		}
		v = v[n:]
		if number == 1 && kind == protowire.BytesType {
			name, n := protowire.ConsumeBytes(v)
			if n < 0 {
				return nil, errNoKeyValue
			}
			return name, nil
		}
		if n = protowire.ConsumeFieldValue(number, kind, v); n < 0 {
			return nil, errNoKeyValue
		}
		v = v[n:]
	}
	return nil, nil
}

var errNoKeyValue = fmt.Errorf("bucket key has a value that is no KeyValue: %w", ErrCorrupt)
