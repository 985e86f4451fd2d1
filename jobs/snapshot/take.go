package snapshot

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// needWhy stands beside the number that need returns.
const needWhy = "2 x the database + 64 MiB"

// need is how many bytes a run's two spools may take.
func need(dbBytes int64) int64 { return 2*dbBytes + 64<<20 }

// taken is a snapshot off one member, sealed, and what was found of it.
type taken struct {
	member  etcd.Member
	before  etcd.Status
	started time.Time

	raw    *spool.Spool // nil once it is no longer needed
	freed  chan error   // what closing raw said, where free was called
	sealed *spool.Spool

	snapshotBytes  int64
	snapshotSHA256 string
	archive        archive.Sealed
	facts          dbfile.Facts
	outcome        catalog.HashKV
}

// free gives the snapshot's bytes back without waiting: a large file takes its time to go.
func (t *taken) free() {
	raw := t.raw
	t.raw, t.freed = nil, make(chan error, 1)
	go func() { t.freed <- raw.Close() }()
}

// Close frees both spools.
func (t *taken) Close() error {
	err := t.sealed.Close()
	if t.raw != nil {
		err = errors.Join(err, t.raw.Close())
	}
	if t.freed != nil {
		err = errors.Join(err, <-t.freed)
	}
	return err
}

// takeFromAny tries the members in order until one gives a snapshot that fits it. Where none
// fits, the last that was whole comes back, its outcome unequal. The error tells of every
// member tried.
func (r *run) takeFromAny(ctx context.Context, c *etcd.Cluster) (*taken, error) {
	order, out := c.Candidates()
	r.report.candidates(order, out)
	var unequal *taken
	faults := []error{errNone}
	if len(order) == 0 {
		faults = []error{fmt.Errorf("%w: %w", errNone, etcd.ErrUnavailable)}
	}
	for _, cand := range order {
		t, err := r.takeFrom(ctx, c, cand)
		r.report.tried(cand, t, err)
		if ctx.Err() != nil {
			return nil, errors.Join(context.Cause(ctx), err, drop(t), drop(unequal))
		}
		if ours(err) && unequal != nil {
			r.report.Warnings = append(r.report.Warnings, err.Error())
			return unequal, nil
		}
		if ours(err) {
			return nil, err
		}
		if err != nil {
			r.Log.Warn("member gave no snapshot", "member", cand.Member.Name, "err", err)
			faults = append(faults, fmt.Errorf("%s: %w", cand.Member.Name, err))
			continue
		}
		if err := drop(unequal); err != nil {
			return nil, errors.Join(err, drop(t))
		}
		t.free()
		if t.outcome.Outcome != catalog.Unequal {
			return t, nil
		}
		r.Log.Warn("snapshot did not equal its member", "member", cand.Member.Name, "reason", t.outcome.Why)
		unequal = t
	}
	if unequal != nil {
		return unequal, nil
	}
	for _, o := range out {
		faults = append(faults, fmt.Errorf("%s: %s", o.Member.Name, o.Why))
	}
	return nil, errors.Join(faults...)
}

// errNone begins the error of a run in which no member gave a snapshot.
var errNone = errors.New("no member gave a snapshot")

// ours says whether a fault lies with this machine, so that another member would not help.
func ours(err error) bool {
	for _, is := range []error{spool.ErrNoRoom, spool.ErrPlace, spool.ErrFull, spool.ErrWrite, dbfile.ErrChild} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

func drop(t *taken) error {
	if t == nil {
		return nil
	}
	return t.Close()
}

// takeFrom takes, seals and proves the snapshot of one member. After an error nothing is left.
func (r *run) takeFrom(ctx context.Context, c *etcd.Cluster, cand etcd.Candidate) (*taken, error) {
	if err := r.idle(ctx, c, cand.Member); err != nil {
		return nil, err
	}
	conn, err := c.Connect(ctx, cand.Member)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // nothing was written over it
	t := &taken{member: cand.Member}
	if t.before, err = conn.Status(ctx); err != nil {
		return nil, err
	}
	if err := r.Place.Require(need(t.before.DBBytes), needWhy); err != nil {
		return nil, err
	}
	r.Log.Info("member chosen", "member", cand.Member.Name, "reason", cand.Why, "bytes", t.before.DBBytes)
	if err := r.fill(ctx, c, conn, t); err != nil {
		return nil, err
	}
	return t, nil
}

// idle looks at what the member has in flight, lock or no lock: a defragmentation would freeze it for
// as long as the stream lasts. Where that cannot be known and no lock is held, the report says so.
func (r *run) idle(ctx context.Context, c *etcd.Cluster, m etcd.Member) error {
	figures, err := c.Metrics(ctx, m)
	switch {
	case err != nil && r.held == nil:
		r.report.Warnings = append(r.report.Warnings, "without a lock, and whether a defragmentation is in flight is not known: "+jobs.OneLine(err))
	case err == nil && figures.InDefrag():
		return fmt.Errorf("a defragmentation is in flight on it: %w", etcd.ErrUnavailable)
	}
	return nil
}

// followFrom is how many cores sealing must have to follow the stream as it comes. With fewer it
// would take a core that the stream needs, and the member would be held for longer: on two
// cores beside the member itself, twice as long.
const followFrom = 4

// maxSealers bounds sealing's memory, some 45 MiB each; two outrun any member's stream.
const maxSealers = 2

// sealers is how many there are: one where the heap is held to less than two of them need beside
// the rest.
func sealers() int {
	const room = 96 << 20
	if debug.SetMemoryLimit(-1) < room { // -1 asks
		return 1
	}
	return min(runtime.GOMAXPROCS(0), maxSealers)
}

// until reads at, until ctx ends: sealing a large snapshot must not outlive a SIGTERM.
type until struct {
	ctx context.Context //nolint:containedctx // of the one call that it is made for
	r   io.ReaderAt
}

func (u until) ReadAt(p []byte, off int64) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.ReadAt(p, off)
}

// fill makes both spools, the stream into one, its seal into the other, and proves the stream
// while it is sealed. After an error nothing is left.
func (r *run) fill(ctx context.Context, c *etcd.Cluster, conn *etcd.Conn, t *taken) (err error) {
	if t.raw, err = spool.New(r.Place); err != nil {
		return err
	}
	if t.sealed, err = spool.New(r.Place); err != nil {
		return errors.Join(err, t.raw.Close())
	}
	sealing := make(chan error, 1)
	streamed := make(chan struct{})
	// A seal that fails ends the stream: bytes that nobody can keep are not worth a member's.
	inner, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	go func() {
		if runtime.GOMAXPROCS(0) < followFrom {
			<-streamed
		}
		sealing <- r.seal(ctx, t, giveUp)
	}()
	streamErr := r.stream(inner, conn, t)
	t.raw.End(streamErr)
	close(streamed)
	var proof error
	if streamErr == nil {
		proof = r.prove(ctx, c, conn, t)
	}
	sealErr := <-sealing
	// The stream's error first: the seal's only echoes it, or is its cause and in it.
	if err := cmp.Or(streamErr, sealErr, proof); err != nil {
		return errors.Join(err, t.Close())
	}
	r.Log.Info("archive sealed", "bytes", t.archive.Bytes, "stage", "seal")
	return nil
}

func (r *run) seal(ctx context.Context, t *taken, giveUp context.CancelCauseFunc) error {
	dst := writerFunc(func(p []byte) (int, error) {
		n, err := t.sealed.Write(p)
		if err != nil {
			giveUp(err)
			t.raw.End(err) // sealing waits for its readers, which wait for the stream
		}
		return n, err
	})
	sealed, err := archive.Seal(dst, until{ctx, t.raw}, r.Recipients, sealers())
	if err != nil {
		return err
	}
	t.archive = sealed
	return nil
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

const streamBuffer = 256 << 10

// stream copies the member's snapshot into the raw spool and checks its digest.
func (r *run) stream(ctx context.Context, conn *etcd.Conn, t *taken) error {
	t.started = r.Now().UTC()
	r.Log.Info("snapshot stream opened", "member", t.member.Name, "stage", "stream")
	digest := archive.NewDigest()
	// The stream comes in pieces of 16 KiB less their headers: a third of the time went into
	// writing them one by one, across pages.
	whole := bufio.NewWriterSize(io.MultiWriter(t.raw, digest), streamBuffer)
	err := conn.Snapshot(ctx, etcd.Stream{
		To: whole, Floor: r.Floor,
		Progress: func(done, remaining int64) { r.Progress.Tell("stream", done, done+remaining) },
	})
	if err == nil {
		err = whole.Flush()
	}
	if err != nil {
		return err
	}
	if err := digest.Check(); err != nil {
		return fmt.Errorf("snapshot of %s: %w", conn.Endpoint(), err)
	}
	t.snapshotBytes = digest.Bytes()
	if t.snapshotSHA256, err = digest.SHA256(); err != nil {
		return err
	}
	r.Log.Info("snapshot stream completed", "member", t.member.Name, "bytes", t.snapshotBytes, "took", r.Now().Sub(t.started).Round(time.Millisecond).String())
	return nil
}
