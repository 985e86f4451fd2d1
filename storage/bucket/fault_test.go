package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
	"golang.org/x/sys/unix"
)

// oddStore is a folder whose driver goes wrong where a test says so.
type oddStore struct {
	*fileBucket
	attributes func() (*driver.Attributes, error)
	list       func(*driver.ListOptions) (*driver.ListPage, error)
	reader     func() (driver.Reader, error)
	// One of these instead, where a test wants to know more:
	rangeReader   func(offset int64) (driver.Reader, error)
	contextReader func(ctx context.Context) (driver.Reader, error)
	writer        func(ctx context.Context) (driver.Writer, error)
	code          func(error) gcerrors.ErrorCode
}

func (s *oddStore) ErrorCode(err error) gcerrors.ErrorCode {
	if s.code != nil {
		return s.code(err)
	}
	return s.fileBucket.ErrorCode(err)
}

func (s *oddStore) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	if s.attributes != nil {
		return s.attributes()
	}
	return s.fileBucket.Attributes(ctx, key)
}

func (s *oddStore) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	if s.list != nil {
		return s.list(o)
	}
	return s.fileBucket.ListPaged(ctx, o)
}

func (s *oddStore) NewRangeReader(ctx context.Context, key string, offset, length int64, o *driver.ReaderOptions) (driver.Reader, error) {
	switch {
	case s.reader != nil:
		return s.reader()
	case s.rangeReader != nil:
		return s.rangeReader(offset)
	case s.contextReader != nil:
		return s.contextReader(ctx)
	}
	return s.fileBucket.NewRangeReader(ctx, key, offset, length, o)
}

func (s *oddStore) NewTypedWriter(ctx context.Context, key, contentType string, o *driver.WriterOptions) (driver.Writer, error) {
	if s.writer != nil {
		return s.writer(ctx)
	}
	return s.fileBucket.NewTypedWriter(ctx, key, contentType, o)
}

// odd returns a store of s with one object, "there".
func odd(t *testing.T, s oddStore) *Bucket {
	t.Helper()
	dir := t.TempDir()
	if err := openTest(t, dir, linux()).Upload(t.Context(), "there", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.fileBucket, err = openFile(dir, FileOptions{}, linux()); err != nil {
		t.Fatal(err)
	}
	b := New(blob.NewBucket(&s), "test://odd", Kind{})
	t.Cleanup(func() { b.Close() })
	return b
}

// TestNotFoundIsNotBelievedAlone plays gcsblob, which says NotFound of a refused request, and
// S3, which says it of a bucket that is gone.
func TestNotFoundIsNotBelievedAlone(t *testing.T) {
	notFound := func() (*driver.Attributes, error) { return nil, fs.ErrNotExist }
	noReader := func() (driver.Reader, error) { return nil, fs.ErrNotExist }
	noList := func(*driver.ListOptions) (*driver.ListPage, error) { return nil, fs.ErrNotExist }
	tests := []struct {
		name  string
		store oddStore
		key   string
		want  error
	}{
		{"missing", oddStore{}, "missing", ErrNotExist},
		{"refused, though listed", oddStore{attributes: notFound, reader: noReader}, "there", ErrUnavailable},
		{"nothing can be listed", oddStore{list: noList}, "missing", ErrUnavailable},
		{"another key is listed", oddStore{attributes: notFound, reader: noReader}, "the", ErrNotExist},
	}
	for _, test := range tests {
		b := odd(t, test.store)
		_, statErr := b.Stat(t.Context(), test.key)
		_, _, openErr := b.Open(t.Context(), test.key)
		for _, err := range []error{statErr, openErr} {
			if !errors.Is(err, test.want) || errors.Is(err, ErrNotExist) == errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: %v, want %v alone", test.name, err, test.want)
			}
		}
	}
}

// TestAStoresOwnFaultIsUnavailable fails each call with what networks and disks say.
func TestAStoresOwnFaultIsUnavailable(t *testing.T) {
	for _, cause := range []error{
		errors.New("connection reset"), fs.ErrPermission, unix.ENOSPC, unix.EROFS, context.DeadlineExceeded,
		context.Canceled, io.ErrUnexpectedEOF, fmt.Errorf("client: %w", io.EOF),
	} {
		b := odd(t, oddStore{
			attributes: func() (*driver.Attributes, error) { return nil, cause },
			list:       func(*driver.ListOptions) (*driver.ListPage, error) { return nil, cause },
			reader:     func() (driver.Reader, error) { return nil, cause },
			writer:     func(context.Context) (driver.Writer, error) { return nil, cause },
		})
		calls := map[string]error{}
		_, calls["Stat"] = b.Stat(t.Context(), "there")
		_, _, calls["Open"] = b.Open(t.Context(), "there")
		_, _, calls["ReadAll"] = b.ReadAll(t.Context(), "there", 10)
		calls["Upload"] = b.Upload(t.Context(), "new", strings.NewReader("x"), 1)
		for _, calls["List"] = range b.List(t.Context(), "") {
			break
		}
		for call, err := range calls {
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, cause) || errors.Is(err, ErrNotExist) || errors.Is(err, ErrExists) {
				t.Errorf("%s of a store that says %q = %v; want it in the chain of ErrUnavailable alone", call, cause, err)
			}
		}
	}
}

// oddWriter is a driver.Writer made of functions.
type oddWriter struct {
	upload func(io.Reader) error
	close  func() error
}

func (w oddWriter) Write([]byte) (int, error) { return 0, errors.New("Upload was not used") }
func (w oddWriter) Upload(r io.Reader) error  { return w.upload(r) }
func (w oddWriter) Close() error              { return w.close() }

// TestAClientLearnsOnlyThatTheSourceBroke plays Azure's client, which takes an error that wraps
// io.EOF or io.ErrUnexpectedEOF for the end, and here looks at no context either.
func TestAClientLearnsOnlyThatTheSourceBroke(t *testing.T) {
	for _, cause := range []error{io.ErrUnexpectedEOF, fmt.Errorf("age: %w", io.EOF), fs.ErrExist, unix.ECONNRESET} {
		published := false
		b := odd(t, oddStore{writer: func(context.Context) (driver.Writer, error) {
			var failed error
			return oddWriter{
				upload: func(r io.Reader) error {
					_, failed = io.Copy(io.Discard, r)
					if errors.Is(failed, io.EOF) || errors.Is(failed, io.ErrUnexpectedEOF) {
						failed = nil
					}
					return nil
				},
				close: func() error {
					published = failed == nil
					return failed
				},
			}, nil
		}})
		err := b.Upload(t.Context(), "new", io.MultiReader(strings.NewReader("half"), broken{cause}), 8)
		if published || !errors.Is(err, cause) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrExists) {
			t.Errorf("source with %v: Upload = %v, published %v; want the source's error and nothing published", cause, err, published)
		}
	}
}

type broken struct{ err error }

func (r broken) Read([]byte) (int, error) { return 0, r.err }

// TestTheWriterIsCancelledBeforeItHearsOfAFault is what keeps gocloud's Close from publishing.
func TestTheWriterIsCancelledBeforeItHearsOfAFault(t *testing.T) {
	sources := map[string]io.Reader{
		"broken": broken{errors.New("broke")},
		"short":  strings.NewReader("abc"),
		"long":   strings.NewReader("abcdefgh"),
	}
	for name, r := range sources {
		var atFault error
		b := odd(t, oddStore{writer: func(ctx context.Context) (driver.Writer, error) {
			return oddWriter{
				upload: func(r io.Reader) error {
					_, err := io.Copy(io.Discard, r)
					atFault = ctx.Err()
					return err
				},
				close: func() error { return nil },
			}, nil
		}})
		if err := b.Upload(t.Context(), "new", r, 5); err == nil {
			t.Errorf("%s source: Upload succeeded", name)
		}
		if atFault != context.Canceled {
			t.Errorf("%s source: when the writer heard of it, its context said %v", name, atFault)
		}
	}
}

// TestTheContextsEndComesFirst has a source, and then a store, that say something else of it.
func TestTheContextsEndComesFirst(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reset := errors.New("connection closed")
	err := odd(t, oddStore{}).Upload(ctx, "new", funcReader(func() error { cancel(); return reset }), 8)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, reset) || errors.Is(err, ErrUnavailable) {
		t.Errorf("Upload whose source broke by a cancel = %v; want both errors and no mark", err)
	}

	for _, said := range []error{ErrExists, unix.ECONNRESET} {
		ctx, cancel := context.WithCancel(t.Context())
		b := odd(t, oddStore{writer: func(context.Context) (driver.Writer, error) {
			return oddWriter{
				upload: func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err },
				close:  func() error { cancel(); return said },
			}, nil
		}})
		err := b.Upload(ctx, "new", strings.NewReader("x"), 1)
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrExists) || errors.Is(err, ErrUnavailable) {
			t.Errorf("cancelled Upload to a store that says %q = %v; want the context's error alone", said, err)
		}
	}
}

// funcReader is a source that fails by calling a function.
type funcReader func() error

func (f funcReader) Read([]byte) (int, error) { return 0, f() }

func TestAStoreThatTakesHalfIsNotBelieved(t *testing.T) {
	b := odd(t, oddStore{writer: func(context.Context) (driver.Writer, error) {
		return oddWriter{
			upload: func(r io.Reader) error { _, err := io.ReadFull(r, make([]byte, 4)); return err },
			close:  func() error { return nil },
		}, nil
	}})
	err := b.Upload(t.Context(), "new", strings.NewReader("abcdefgh"), 8)
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("Upload of 8 bytes, of which the store took 4 = %v; want ErrUnavailable", err)
	}
}

// oddReader is a driver.Reader that announces a size of its own.
type oddReader struct {
	io.Reader
	size int64
}

func (oddReader) Close() error { return nil }
func (oddReader) As(any) bool  { return false }
func (r oddReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ContentType: "x/y", Size: r.size}
}

func TestAnObjectThatEndsEarlyIsNotWhole(t *testing.T) {
	cases := map[string]struct {
		r    io.Reader
		want error
	}{
		"an early end": {strings.NewReader("abcd"), io.ErrUnexpectedEOF},
		"a reset":      {io.MultiReader(strings.NewReader("abcd"), broken{unix.ECONNRESET}), unix.ECONNRESET},
		"a fault that wraps the end": {
			io.MultiReader(strings.NewReader("abcd"), broken{fmt.Errorf("tls: %w", io.EOF)}), io.EOF,
		},
	}
	for name, test := range cases {
		b := odd(t, oddStore{reader: func() (driver.Reader, error) { return oddReader{test.r, 8}, nil }})
		data, _, err := b.ReadAll(t.Context(), "there", 100)
		if data != nil || !errors.Is(err, ErrUnavailable) || !errors.Is(err, test.want) {
			t.Errorf("%s: ReadAll of 4 bytes out of 8 = %q, %v; want ErrUnavailable and %v", name, data, err, test.want)
		}
	}
}

// TestReadAllLooksAtTheSizeFirst has an object of a petabyte, and one that lies about its size.
func TestReadAllLooksAtTheSizeFirst(t *testing.T) {
	counter := &countReader{}
	for _, size := range []int64{1 << 50, math.MaxInt64, 1} {
		b := odd(t, oddStore{reader: func() (driver.Reader, error) { return oddReader{counter, size}, nil }})
		counter.n = 0
		_, _, err := b.ReadAll(t.Context(), "there", 1000)
		if !errors.Is(err, ErrTooLarge) || errors.Is(err, ErrUnavailable) {
			t.Errorf("ReadAll of an endless object said to have %d bytes = %v; want ErrTooLarge", size, err)
		}
		if size > 1000 && counter.n > 0 || counter.n > 1001 {
			t.Errorf("ReadAll of an object said to have %d bytes read %d", size, counter.n)
		}
	}
}

// countReader never ends.
type countReader struct{ n int }

func (r *countReader) Read(p []byte) (int, error) {
	r.n += len(p)
	return len(p), nil
}

func TestAListingOutOfOrderIsRefused(t *testing.T) {
	for _, keys := range [][]string{{"b", "a"}, {"a", "a"}, {"a", "c", "b"}} {
		b := odd(t, oddStore{list: func(*driver.ListOptions) (*driver.ListPage, error) {
			page := &driver.ListPage{}
			for _, key := range keys {
				page.Objects = append(page.Objects, &driver.ListObject{Key: key})
			}
			return page, nil
		}})
		var last error
		for _, last = range b.List(t.Context(), "") {
		}
		if !errors.Is(last, ErrUnavailable) {
			t.Errorf("List of a store that lists %q ended in %v, want ErrUnavailable", keys, last)
		}
	}
}

// TestErrorsAreOneLineWithoutCredentials has stores that print what SDKs print.
func TestErrorsAreOneLineWithoutCredentials(t *testing.T) {
	for _, text := range []string{
		`Put "https://acct.blob.core.windows.net/c/b?comp=block&se=2026-01-02&sig=zzz": dial tcp: no such host`,
		"RESPONSE 403\n  GET https://zzz:zzz@host:9000/bucket\n\tdone",
		"see (https://zzz@host/), <s3://zzz:zzz@b?access_key=zzz>, http://zzz@a\"http://zzz@b\"",
		`endpoint='https://zzz:zzz@host', next`,
		`é://zzz@host`,
	} {
		cause := errors.New(text)
		b := odd(t, oddStore{attributes: func() (*driver.Attributes, error) { return nil, cause }})
		_, err := b.Stat(t.Context(), "there")
		if got := err.Error(); strings.Contains(got, "zzz") || strings.ContainsAny(got, "\n\t") {
			t.Errorf("Stat of a store that says %q says %q", text, got)
		}
		if !errors.Is(err, cause) {
			t.Errorf("Stat of a store that says %q lost it from the chain", text)
		}
	}
}

// TestPartsFitIntoMemoryAndIntoS3 holds the part size between what one upload may take of the
// heap and the ten thousand parts that S3 allows.
func TestPartsFitIntoMemoryAndIntoS3(t *testing.T) {
	for _, size := range []int64{-1, 0, 1, partBytes, 10 << 30, 83_886_080_000, 83_886_080_001, 1 << 40, 5 << 40} {
		part := int64(partSize(size))
		if part < partBytes || part*maxParts < size || part%(1<<20) != 0 {
			t.Errorf("partSize(%d) = %d: too small, or no whole number of MiB", size, part)
		}
		if size <= 78<<30 && part != partBytes || part > partBytes+size/maxParts+1<<20 {
			t.Errorf("partSize(%d) = %d: larger than it has to be", size, part)
		}
	}
}

func TestAnInterruptedListingIsNotWhole(t *testing.T) {
	pages := 0
	b := odd(t, oddStore{list: func(o *driver.ListOptions) (*driver.ListPage, error) {
		if pages++; pages > 1 {
			return nil, unix.ECONNRESET
		}
		page := &driver.ListPage{NextPageToken: []byte("more")}
		for i := range o.PageSize {
			page.Objects = append(page.Objects, &driver.ListObject{Key: fmt.Sprintf("%04d", i)})
		}
		return page, nil
	}})
	n := 0
	var last error
	for _, last = range b.List(t.Context(), "") {
		n++
	}
	if n != pageSize+1 || !errors.Is(last, ErrUnavailable) || !errors.Is(last, unix.ECONNRESET) {
		t.Errorf("List whose second page fails yielded %d times, last %v; want a page and the fault", n, last)
	}
}
