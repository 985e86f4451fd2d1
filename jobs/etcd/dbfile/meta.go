package dbfile

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"os"

	bolt "go.etcd.io/bbolt"
)

// bbolt's file format (go.etcd.io/bbolt/internal/common/meta.go): two meta pages, each a
// 16 byte page header and then magic, version, page size, flags, root bucket, free list, the
// first page never used, transaction, and an FNV-64a over those.
const (
	boltMagic    = 0xED0CDAED
	boltVersion  = 2
	pageHeader   = 16
	metaBytes    = 64
	minPageBytes = 512
	maxPageBytes = 64 << 10
)

// metaPage is the part of a meta page that says how long the file must be.
type metaPage struct {
	pageBytes int64
	pages     int64 // the first page never used
	txid      uint64
}

func (m metaPage) bytes() int64 { return m.pageBytes * m.pages }

// readMeta finds the newer sound meta page and refuses a file shorter than it says: mapping
// such a file kills the process at the first touch behind its end.
func readMeta(f *os.File) (metaPage, error) {
	info, err := f.Stat()
	if err != nil {
		return metaPage{}, fmt.Errorf("stat database: %w", err)
	}
	best, found := metaPage{}, false
	for _, at := range metaOffsets(f) {
		if m, ok := readMetaAt(f, at); ok && (!found || m.txid > best.txid) {
			best, found = m, true
		}
	}
	switch {
	case !found:
		return metaPage{}, fmt.Errorf("no sound meta page in %d bytes: %w", info.Size(), ErrCorrupt)
	case best.bytes() > info.Size():
		return metaPage{}, fmt.Errorf("file of %d bytes should have %d: %w", info.Size(), best.bytes(), ErrCorrupt)
	}
	return best, nil
}

// metaOffsets is where meta pages may begin: the first at 0, the second one page on, which is
// at the size that the first tells, or at any power of two where the first is not sound.
func metaOffsets(f *os.File) []int64 {
	if m, ok := readMetaAt(f, 0); ok {
		return []int64{0, m.pageBytes}
	}
	var out []int64
	for size := int64(minPageBytes); size <= maxPageBytes; size *= 2 {
		out = append(out, size)
	}
	return out
}

func readMetaAt(f *os.File, at int64) (metaPage, bool) {
	var b [metaBytes]byte
	if _, err := f.ReadAt(b[:], at+pageHeader); err != nil {
		return metaPage{}, false
	}
	sum := fnv.New64a()
	sum.Write(b[:56])
	le := binary.LittleEndian
	pages := le.Uint64(b[40:])
	m := metaPage{pageBytes: int64(le.Uint32(b[8:])), txid: le.Uint64(b[48:])}
	sound := le.Uint32(b[0:]) == boltMagic && le.Uint32(b[4:]) == boltVersion && le.Uint64(b[56:]) == sum.Sum64() &&
		m.pageBytes >= minPageBytes && m.pageBytes <= maxPageBytes && pages < math.MaxInt64/maxPageBytes
	m.pages = int64(pages & math.MaxInt64)
	return m, sound
}

// revision is a key of bucket key: 8 bytes main, '_', 8 bytes sub, and 't' on a tombstone
// (server/storage/mvcc/revision.go).
type revision struct {
	main, sub int64
	tombstone bool
}

func parseRevision(b []byte) (revision, error) {
	const plain, marked = 17, 18
	if len(b) != plain && (len(b) != marked || b[plain] != 't') || b[8] != '_' {
		return revision{}, fmt.Errorf("bucket key has an entry %x that is no revision: %w", b[:min(len(b), marked)], ErrCorrupt)
	}
	main, sub := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[9:])
	if main > math.MaxInt64 || sub > math.MaxInt64 {
		return revision{}, fmt.Errorf("revision %d.%d is out of range: %w", main, sub, ErrCorrupt)
	}
	return revision{int64(main), int64(sub), len(b) == marked}, nil
}

// compaction reads a revision of bucket meta; -1 where there is none.
func compaction(meta *bolt.Bucket, name string) (int64, error) {
	b := meta.Get([]byte(name))
	if b == nil {
		return -1, nil
	}
	rev, err := parseRevision(b)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return rev.main, nil
}

func number(meta *bolt.Bucket, name string) uint64 {
	if b := meta.Get([]byte(name)); len(b) == 8 {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}
