package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gocloud.dev/blob"
)

// reader is an open object. It counts, since a connection that ends early can look like the end,
// and opens the object again where the store broke off.
type reader struct {
	ctx context.Context //nolint:containedctx // of Open, which says so
	b   *Bucket
	obj Object

	line *watch
	r    *blob.Reader // nil: to be opened again
	read int64

	// Since the last time that the rate was looked at:
	waited time.Duration
	got    int64

	since  int64 // bytes since it was opened again
	failed int   // times that it was, without a part's worth of bytes between
	stalls int   // those of them for which the store was waited for in vain
}

// open opens the object at the byte that is to be read next.
func (r *reader) open() error {
	return r.b.persist(r.ctx, func() error {
		ctx, line := r.b.newWatch(r.ctx, r.b.kind.stall())
		body, err := r.b.blob.NewRangeReader(ctx, r.obj.Key, r.read, -1, nil)
		if err != nil {
			line.stop()
			return r.lookupFault(ctx, err)
		}
		line.rest()
		r.b.answered()
		now := Object{Key: r.obj.Key, Size: body.Size(), ModTime: body.ModTime()}
		if r.read > 0 && (now.Size != r.obj.Size || !now.ModTime.Equal(r.obj.ModTime)) {
			line.stop()
			body.Close() //nolint:errcheck // a reader's Close
			return unavailable(fmt.Errorf("object changed after %d bytes were read", r.read))
		}
		r.obj, r.r, r.line = now, body, line
		return nil
	})
}

func (r *reader) lookupFault(ctx context.Context, err error) error {
	if context.Cause(ctx) == errStalled { //nolint:errorlint // its very cause
		return unavailable(errStalled)
	}
	return r.b.lookupFault(r.ctx, r.obj.Key, err)
}

func (r *reader) Read(p []byte) (int, error) {
	for {
		if err := r.ctx.Err(); err != nil {
			return 0, fmt.Errorf("read %q: %w", r.obj.Key, err)
		}
		if r.r == nil {
			if err := r.open(); err != nil {
				return 0, fmt.Errorf("read %q at byte %d: %w", r.obj.Key, r.read, err)
			}
		}
		n, err := r.next(p)
		if err == nil || isEnd(err) {
			return n, err
		}
		if !r.mayGoOn(err) {
			return n, fmt.Errorf("read %q at byte %d: %w", r.obj.Key, r.read, err)
		}
		r.shut() //nolint:errcheck // it is opened again
		r.waited, r.got = 0, 0
		if n > 0 {
			return n, nil
		}
	}
}

// next reads, counts, and holds the store to its size and the floor.
func (r *reader) next(p []byte) (int, error) {
	began := time.Now()
	r.line.move()
	n, err := r.r.Read(p)
	stalled := !r.line.rest()
	if n > 0 {
		r.b.answered()
	}
	r.read += int64(n)
	r.waited += time.Since(began)
	r.got += int64(n)
	r.since += int64(n)
	switch {
	case err == nil:
		return n, r.rate()
	case isEnd(err) && r.read >= r.obj.Size:
		return n, err
	case stalled && r.ctx.Err() == nil:
		err = errStalled
	case isEnd(err):
		err = fmt.Errorf("%d bytes missing: %w", r.obj.Size-r.read, io.ErrUnexpectedEOF)
	}
	return n, fault(r.ctx, err)
}

// rate fails where the store was waited for long enough, and gave too little meanwhile.
func (r *reader) rate() error {
	if r.waited < r.b.kind.stall() {
		return nil
	}
	enough := r.got >= int64(r.waited.Seconds()*floorBytes)
	r.waited, r.got = 0, 0
	if !enough {
		return unavailable(fmt.Errorf("it gave less than %d KiB a second: %w", floorBytes>>10, errStalled))
	}
	return nil
}

// mayGoOn says whether the object is to be opened again: not after it broke off tries times and
// gave little between.
func (r *reader) mayGoOn(err error) bool {
	if r.since >= partBytes {
		r.failed, r.stalls = 0, 0
	}
	r.since = 0
	r.failed++
	if errors.Is(err, errStalled) {
		r.stalls++
	}
	return r.failed < tries && r.stalls < stallTries && r.b.again(r.ctx, err)
}

func (r *reader) shut() error {
	if r.r == nil {
		return nil
	}
	r.line.stop()
	err := r.r.Close()
	r.r = nil
	return err //nolint:wrapcheck // of a reader
}

func (r *reader) Close() error { return r.shut() }

// isEnd tells the end of a stream from a fault that wraps io.EOF, as a connection's may.
func isEnd(err error) bool {
	return err == io.EOF //nolint:errorlint // see above
}
