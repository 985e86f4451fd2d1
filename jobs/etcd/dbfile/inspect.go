package dbfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Query says at which revision a file is to be looked at.
type Query struct {
	// Revision is the one to hash at and count keys at; the file's last where 0.
	Revision int64
	// CompactRevision is what the member that is compared with said of itself; the file's own
	// where 0. -1 is etcd's word for "never compacted".
	CompactRevision int64
	// Quick leaves out everything that needs a walk: only revisions, term and index are told.
	Quick bool
	// KeysOnly leaves out the other buckets, and Facts.Hash with them.
	KeysOnly bool
	// MaxRecentKeys bounds the memory of the walk, 20 to 25 bytes for each distinct key written
	// since the last compaction; 4 Mi where 0.
	MaxRecentKeys int
}

// Facts is what a database file holds.
type Facts struct {
	Bytes           int64 // of the pages in use by the file's own word
	Revision        int64 // the last one
	CompactRevision int64 // finished; -1: never
	ScheduledRev    int64 // compaction begun; -1: never
	Term, Index     uint64
	Kubernetes      bool // keys lie under /registry/ or /kubernetes.io/

	// At Revision, unless Query asked for another:
	Keys   int64  // live ones; -1: not known, see TooMany
	Hash   uint32 // etcdutl's, over all buckets
	HashKV uint32 // as a member compacted at HashCompact would answer for HashRevision
	HashRevision,
	HashCompact int64
	TooMany bool // more recent keys than MaxRecentKeys: Keys is -1, and HashKV 0 for not known
	// Unsettled says that no key is live and the compaction at HashCompact is not finished in
	// the file: a member answers HashKV while it compacts, HashKVCompacted when it is done, and
	// neither on the way.
	Unsettled       bool
	HashKVCompacted uint32
}

// Fit is how a member's HashKV compares with a file's.
type Fit int

// Unequal: the member holds other keys. Unknown: nothing follows.
const (
	Unknown Fit = iota
	Equal
	Unequal
)

// Fits compares what a member compacted at compactRevision answered for HashRevision. Why says
// what makes it Unknown.
func (f Facts) Fits(hash uint32, compactRevision int64) (fit Fit, why string) {
	compacted := max(f.CompactRevision, f.ScheduledRev)
	switch {
	case f.TooMany:
		return Unknown, "too many keys were written since the last compaction"
	case f.HashRevision <= compactRevision:
		return Unknown, fmt.Sprintf("member is compacted at %d, the snapshot ends at %d", compactRevision, f.HashRevision)
	case compactRevision < compacted:
		return Unknown, fmt.Sprintf("member answered for compaction %d, the snapshot is compacted at %d", compactRevision, compacted)
	case compactRevision != f.HashCompact:
		return Unknown, fmt.Sprintf("hashed for compaction %d, the member is compacted at %d", f.HashCompact, compactRevision)
	case hash == f.HashKV, f.Unsettled && hash == f.HashKVCompacted:
		return Equal, ""
	case f.Unsettled:
		return Unknown, fmt.Sprintf("member is in the middle of compaction %d with no key alive", compactRevision)
	}
	return Unequal, fmt.Sprintf("HashKV at revision %d is %d, the snapshot's is %d", f.HashRevision, hash, f.HashKV)
}

// Inspect looks at the database in f, whose trailing SHA-256, if any, is not looked at. f stays
// open and its offset does not matter. The error wraps ErrCorrupt, ErrCrashed or ErrChild.
func (c Child) Inspect(ctx context.Context, f *os.File, q Query) (Facts, error) {
	r, err := c.ask(ctx, request{Inspect: &q}, f)
	if err != nil {
		return Facts{}, fmt.Errorf("inspect database: %w", err)
	}
	if r.Facts == nil {
		return Facts{}, fmt.Errorf("inspect database: %w gave no facts", ErrChild)
	}
	return *r.Facts, nil
}

const firstFile = 3 // exec.Cmd.ExtraFiles

// maxHeap ends a child whose file leads bbolt in circles, which it would follow until the machine
// has no memory left. A walk needs a fourth of it; the mapped file does not count.
const maxHeap = 512 << 20

func serveInspect(q Query) reply {
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: maxHeap, Max: maxHeap}); err != nil {
		return failed(fmt.Errorf("bound memory: %w", err))
	}
	facts, err := inspect(os.NewFile(firstFile, "database"), q)
	if err != nil {
		return failed(err)
	}
	return reply{Facts: &facts}
}

// inspect runs in the child.
func inspect(f *os.File, q Query) (facts Facts, err error) {
	debug.SetPanicOnFault(true)
	debug.SetGCPercent(20) // little is allocated but keySet, which must not be held twice
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("reading pages: %v: %w", r, ErrCorrupt)
		}
	}()
	meta, err := readMeta(f)
	if err != nil {
		return Facts{}, err
	}
	// bbolt leaves a read-only file locked, for whoever shares its description: the caller.
	defer unix.Flock(int(f.Fd()), unix.LOCK_UN) //nolint:errcheck // the process ends with it
	db, err := openReadOnly(f)
	if err != nil {
		return Facts{}, err
	}
	facts.Bytes = meta.bytes()
	err = db.View(func(tx *bolt.Tx) error { return facts.read(tx, q) })
	return facts, errors.Join(err, db.Close())
}

// openReadOnly opens the database behind f without a path: bbolt gets a duplicate.
func openReadOnly(f *os.File) (*bolt.DB, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate descriptor: %w", err)
	}
	db, err := bolt.Open("database", 0o400, &bolt.Options{
		ReadOnly: true,
		OpenFile: func(string, int, os.FileMode) (*os.File, error) { return os.NewFile(uintptr(fd), "database"), nil },
	})
	var system syscall.Errno
	if errors.As(err, &system) {
		return nil, fmt.Errorf("open database: %w", err) // no memory to map it, no lock to be had
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w: %w", err, ErrCorrupt)
	}
	return db, nil
}

// read fills f from tx.
func (f *Facts) read(tx *bolt.Tx, q Query) error {
	if err := f.readMeta(tx); err != nil {
		return err
	}
	if q.Quick {
		return nil
	}
	w := &walk{query: q, facts: f}
	return w.run(tx)
}

// readMeta reads what etcd keeps beside the keys (server/storage/schema, bucket meta), and the
// last revision. etcd's own revision is never below that of a compaction.
func (f *Facts) readMeta(tx *bolt.Tx) error {
	keys, meta := tx.Bucket([]byte("key")), tx.Bucket([]byte("meta"))
	if keys == nil || meta == nil {
		return fmt.Errorf("no bucket key or meta: %w", ErrCorrupt)
	}
	var err error
	if f.CompactRevision, err = compaction(meta, "finishedCompactRev"); err != nil {
		return err
	}
	if f.ScheduledRev, err = compaction(meta, "scheduledCompactRev"); err != nil {
		return err
	}
	f.Index, f.Term = number(meta, "consistent_index"), number(meta, "term")
	last, _ := keys.Cursor().Last()
	if last != nil {
		rev, err := parseRevision(last)
		if err != nil {
			return err
		}
		f.Revision = rev.main
	}
	// An empty store stands at revision 1 (server/storage/mvcc, NewStore).
	f.Revision = max(f.Revision, f.CompactRevision, f.ScheduledRev, 1)
	return nil
}
