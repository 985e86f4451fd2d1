package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gocloud.dev/blob"
)

const (
	// partBytes is what is held in memory of each of uploadParts parts that are under way.
	partBytes   = 8 << 20
	uploadParts = 3
	// maxParts is how many parts S3 allows to an object.
	maxParts = 10_000
)

// errSource is all that a store's client learns of a fault of the source. It must not see the
// fault itself: Azure's takes whatever wraps io.EOF or io.ErrUnexpectedEOF for the end of the
// object and commits what it has, and others retry what looks like a network's error.
var errSource = errors.New("source broke off")

// Upload stores r under key. r must yield exactly size bytes and then io.EOF. A key that is
// taken is ErrExists, and it may be our own bytes that took it, where the store's answer was lost.
// After any other error nothing is visible under key that was not there before, with one exception
// that no client can rule out: a store whose answer was lost, or no longer waited for, may have
// done it. So after ErrUnavailable or a cancel that came once r had ended, the object may be
// there, and then it is whole.
//
// An error of r comes back in the chain as it is, not marked as the store's. One byte too few
// is io.ErrUnexpectedEOF. Upload does not touch r after it has returned.
func (b *Bucket) Upload(ctx context.Context, key string, r io.Reader, size int64) error {
	return b.uploadOnce(ctx, key, r, size, false)
}

// Put is Upload of size bytes that can be read again, and so tried again where the store's fault is
// of a kind that passes. ErrExists may then be the answer to our own bytes: read them back. What is
// retained gets the store's lock, where its URL asks for one.
func (b *Bucket) Put(ctx context.Context, key string, src io.ReaderAt, size int64, retained bool) error {
	put := func() error {
		return b.uploadOnce(ctx, key, io.NewSectionReader(src, 0, size), size, retained)
	}
	err := b.persist(ctx, put)
	if !errors.Is(err, ErrUnavailable) || ctx.Err() != nil || b.kind.Settle == nil {
		return err
	}
	settled := b.kind.Settle(ctx, err)
	if settled == "" {
		return err
	}
	b.note(settled)
	return b.persist(ctx, put)
}

// Refuses says of an error of Put that the store answered, and takes nothing: it is full, or we have
// no right to write.
func (b *Bucket) Refuses(err error) bool {
	return errors.Is(err, ErrUnavailable) && b.broken == nil && b.kind.refuses(err)
}

func (b *Bucket) uploadOnce(ctx context.Context, key string, r io.Reader, size int64, retained bool) error {
	if err := b.ready(ctx, key); err != nil {
		return fmt.Errorf("store %q: %w", key, err)
	}
	if err := b.upload(ctx, key, r, size, retained); err != nil {
		return fmt.Errorf("store %q: %w", key, err)
	}
	return nil
}

func (b *Bucket) upload(ctx context.Context, key string, r io.Reader, size int64, retained bool) error {
	inFlight := min(size, int64(b.kind.parts()*partSize(size)))
	writing, line := b.newWatch(ctx, b.kind.stall()+time.Duration(inFlight/floorBytes)*time.Second)
	defer line.stop()
	line.quiet += time.Duration(inFlight/slowBytes) * time.Second
	line.silence.Reset(line.quiet)
	src := &source{r: r, size: size, ended: ctx.Err, cancel: line.stop, moved: func() { b.answered(); line.move() }}
	err := b.blob.Upload(writing, key, src, &blob.WriterOptions{
		ContentType:    "application/octet-stream", // without it Upload refuses
		IfNotExist:     true,
		BufferSize:     partSize(size),
		MaxConcurrency: b.kind.parts(),
		BeforeWrite:    b.beforeWrite(retained),
	})
	switch {
	case errors.Is(context.Cause(writing), errStalled):
		return unavailable(fmt.Errorf("it took less than %d KiB a second: %w", floorBytes>>10, errStalled))
	case src.err != nil:
		return sourceFault(ctx, src.err)
	case err == nil && !src.done:
		return unavailable(fmt.Errorf("store took %d of %d bytes for the whole", src.n, size))
	case err == nil:
		b.answered()
		return nil
	case ctx.Err() == nil && b.kind.taken(err) && !b.closed.Load(): // gocloud calls closed a failed precondition too
		return ErrExists
	case b.again(ctx, unavailable(err)) && b.isThere(ctx, key):
		return ErrExists
	}
	return fault(ctx, err)
}

// isThere says, after the line broke, whether the key is taken by now: by us, and the answer was
// lost; or by another, and the store hung up on us instead of answering while we sent.
func (b *Bucket) isThere(ctx context.Context, key string) bool {
	there := false
	err := b.within(ctx, func(ctx context.Context) (err error) {
		there, err = b.blob.Exists(ctx, key)
		return err
	})
	return err == nil && there
}

func (b *Bucket) beforeWrite(retained bool) func(as func(any) bool) error {
	if b.kind.BeforeWrite == nil {
		return nil
	}
	return func(as func(any) bool) error { return b.kind.BeforeWrite(as, retained) }
}

// sourceFault adds the context's error to a source that broke off because of it.
func sourceFault(ctx context.Context, err error) error {
	if ctx.Err() == nil || errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w: %w", ctx.Err(), err)
}

// partSize is the part size for an object of size bytes. The clients cannot choose it: they see
// a reader, not its length, and would stop at the last part that S3 allows.
func partSize(size int64) int {
	const mib = 1 << 20
	return int(max(partBytes, (size/maxParts+mib)/mib*mib))
}

// source hands a reader to a store's client and sees to it that the client gets either size
// bytes and io.EOF, or a fault after the writer's context has been cancelled. The order is all:
// gocloud closes the writer after a failed read, and Close publishes what was written so far,
// unless its context is done.
type source struct {
	r      io.Reader
	size   int64
	n      int64
	done   bool  // r ended in time
	err    error // why it did not
	ended  func() error
	cancel func()
	moved  func() // the store asks for more: it took what came before
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, errSource
	}
	if s.done || len(p) == 0 {
		return 0, s.atEnd()
	}
	n, err := s.next(p)
	if err != nil && !isEnd(err) {
		s.err = err
		s.cancel()
		return 0, errSource
	}
	s.done = isEnd(err)
	return n, err
}

func (s *source) atEnd() error {
	if s.done {
		return io.EOF
	}
	return nil
}

// next reads and counts.
func (s *source) next(p []byte) (int, error) {
	if err := s.ended(); err != nil {
		return 0, err
	}
	s.moved()
	n, err := s.r.Read(p)
	s.n += int64(n)
	switch {
	case err != nil && !isEnd(err):
		return n, err
	case s.n > s.size:
		return n, fmt.Errorf("source has more than %d bytes", s.size)
	case isEnd(err) && s.n < s.size:
		return n, fmt.Errorf("source ended after %d of %d bytes: %w", s.n, s.size, io.ErrUnexpectedEOF)
	}
	return n, err
}
