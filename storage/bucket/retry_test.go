package bucket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
)

var errBusy = errors.New("busy")

// patient makes a store of a kind that is asked again after errBusy alone.
func patient(t *testing.T, s oddStore) *Bucket {
	t.Helper()
	b := odd(t, s)
	b.kind = Kind{Again: func(err error) bool { return errors.Is(err, errBusy) }, Stall: 100 * time.Millisecond, Pause: time.Millisecond}
	return b
}

func TestABusyStoreIsAskedAgain(t *testing.T) {
	for failures, want := range map[int]error{0: nil, 1: nil, tries - 1: nil, tries: errBusy} {
		left, putting := failures, false
		fail := func() error {
			if left--; left >= 0 {
				return errBusy
			}
			return nil
		}
		var b *Bucket
		files, err := openFile(t.TempDir(), FileOptions{}, linux())
		if err != nil {
			t.Fatal(err)
		}
		b = patient(t, oddStore{
			attributes: func() (*driver.Attributes, error) {
				if putting {
					return nil, fs.ErrNotExist
				}
				if err := fail(); err != nil {
					return nil, err
				}
				return files.Attributes(t.Context(), "there")
			},
			list: func(o *driver.ListOptions) (*driver.ListPage, error) {
				if err := fail(); err != nil {
					return nil, err
				}
				return files.ListPaged(t.Context(), o)
			},
			reader: func() (driver.Reader, error) {
				if err := fail(); err != nil {
					return nil, err
				}
				return files.NewRangeReader(t.Context(), "there", 0, -1, &driver.ReaderOptions{})
			},
			writer: func(ctx context.Context) (driver.Writer, error) {
				if err := fail(); err != nil {
					return nil, err
				}
				return files.NewTypedWriter(ctx, "new", "x", &driver.WriterOptions{IfNotExist: true})
			},
		})
		if err := New(blob.NewBucket(files), "", Kind{}).Upload(t.Context(), "there", strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
		calls := map[string]func() error{
			"Stat":    func() error { _, err := b.Stat(t.Context(), "there"); return err },
			"ReadAll": func() error { _, _, err := b.ReadAll(t.Context(), "there", 10); return err },
			"Put":     func() error { return b.Put(t.Context(), "new", bytes.NewReader([]byte("abc")), 3, false) },
			"List": func() error {
				for _, err := range b.List(t.Context(), "") {
					if err != nil {
						return err
					}
				}
				return nil
			},
		}
		for name, call := range calls {
			left, putting = failures, name == "Put"
			if err := call(); !errors.Is(err, want) || want != nil && !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s after %d failures: %v, want %v", name, failures, err, want)
			}
		}
	}
}

func TestARefusalIsFinal(t *testing.T) {
	asked := 0
	b := patient(t, oddStore{writer: func(context.Context) (driver.Writer, error) { asked++; return nil, errors.New("denied") }})
	if err := b.Put(t.Context(), "new", bytes.NewReader(nil), 0, false); !errors.Is(err, ErrUnavailable) || asked != 1 {
		t.Errorf("Put to a store that denies = %v after %d tries, want one", err, asked)
	}
}

// A store may ask for another way of writing, once.
func TestPutSettlesWithTheStore(t *testing.T) {
	asked := 0
	b := patient(t, oddStore{writer: func(context.Context) (driver.Writer, error) { asked++; return nil, errors.New("no checksum") }})
	told := 0
	b.kind.Settle = func(context.Context, error) string { told++; return "by checksums" }
	if err := b.Put(t.Context(), "new", bytes.NewReader(nil), 0, false); err == nil || asked != 2 || told != 1 {
		t.Errorf("Put = %v after %d tries, settled %d times; want two tries and once", err, asked, told)
	}
	if got := b.Notes(); !slices.Equal(got, []string{"by checksums"}) {
		t.Errorf("Notes = %q, want how the store settled", got)
	}
}

// brittle gives each reader a part of the object, and then breaks.
type brittle struct {
	driver.Reader
	left int
}

func (b *brittle) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errBusy
	}
	n, err := b.Reader.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// ranged serves data from where it is asked.
func ranged(data []byte, each int) (oddStore, *[]int64) {
	var from []int64
	return oddStore{rangeReader: func(offset int64) (driver.Reader, error) {
		from = append(from, offset)
		r := &fileReader{SectionReader: io.NewSectionReader(bytes.NewReader(data), offset, int64(len(data))-offset), file: nil,
			attrs: driver.ReaderAttributes{Size: int64(len(data)), ModTime: time.Unix(1, 0)}}
		return noClose{&brittle{r, each}}, nil
	}}, &from
}

type noClose struct{ driver.Reader }

func (noClose) Close() error { return nil }

func TestAReaderGoesOnWhereTheStoreBrokeOff(t *testing.T) {
	data := make([]byte, 1000)
	for i := range data {
		data[i] = byte(i)
	}
	store, from := ranged(data, 300)
	b := patient(t, store)
	r, _, err := b.Open(t.Context(), "there")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, data) || !slices.Equal(*from, []int64{0, 300, 600, 900}) {
		t.Errorf("read %d bytes, %v, asked from %v; want all, from 0, 300, 600 and 900", len(got), err, *from)
	}
}

func TestAReaderGivesUpWhereNothingComes(t *testing.T) {
	store, from := ranged(make([]byte, 1000), 0)
	b := patient(t, store)
	r, _, err := b.Open(t.Context(), "there")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, errBusy) || len(*from) != tries {
		t.Errorf("reading what never comes = %v after %d tries, want %v after %d", err, len(*from), errBusy, tries)
	}
}

// slow gives a byte at a time, or nothing at all.
type slow struct {
	driver.Reader
	ctx   context.Context
	every time.Duration
}

func (s slow) Read(p []byte) (int, error) {
	select {
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	case <-time.After(s.every):
		return s.Reader.Read(p[:1])
	}
}

func TestASlowStoreIsGivenUp(t *testing.T) {
	for name, every := range map[string]time.Duration{"drip": 5 * time.Millisecond, "stall": time.Hour} {
		t.Run(name, func(t *testing.T) {
			data := make([]byte, 10_000)
			b := patient(t, oddStore{contextReader: func(ctx context.Context) (driver.Reader, error) {
				r := &fileReader{SectionReader: io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))), attrs: driver.ReaderAttributes{Size: int64(len(data))}}
				return noClose{slow{r, ctx, every}}, nil
			}})
			r, _, err := b.Open(t.Context(), "there")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := io.ReadAll(r); !errors.Is(err, errStalled) || !errors.Is(err, ErrUnavailable) {
				t.Errorf("reading a %s = %v, want %v", name, err, errStalled)
			}
		})
	}
}
