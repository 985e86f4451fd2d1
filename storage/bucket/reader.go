package bucket

import (
	"context"
	"fmt"
	"io"
)

// reader is an open object. It counts, since a connection that ends early can look like the end.
type reader struct {
	r     io.ReadCloser
	key   string
	owed  int64 // bytes that the store announced and has not sent
	ended func() error
	fault func(error) error
}

func newReader(ctx context.Context, r io.ReadCloser, obj Object) *reader {
	return &reader{
		r: r, key: obj.Key, owed: obj.Size, ended: ctx.Err,
		fault: func(err error) error { return fault(ctx, err) },
	}
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ended(); err != nil {
		return 0, fmt.Errorf("read %q: %w", r.key, err)
	}
	n, err := r.r.Read(p)
	r.owed -= int64(n)
	switch {
	case err == nil, isEnd(err) && r.owed <= 0:
		return n, err
	case isEnd(err):
		err = fmt.Errorf("%d bytes missing: %w", r.owed, io.ErrUnexpectedEOF)
	}
	return n, fmt.Errorf("read %q: %w", r.key, r.fault(err))
}

func (r *reader) Close() error { return r.r.Close() }

// isEnd tells the end of a stream from a fault that wraps io.EOF, as a connection's may.
func isEnd(err error) bool {
	return err == io.EOF //nolint:errorlint // see above
}
