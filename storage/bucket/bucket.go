package bucket

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// pageSize is what every store can list at once.
const pageSize = 1000

// Bucket is one store: a gocloud bucket, and the URL that a user knows it by. Its methods may
// be called from several goroutines. A cancelled context ends each of them with that context's
// error; a read that is under way in the caller's own source is waited for.
type Bucket struct {
	blob   *blob.Bucket
	kind   Kind
	url    string
	broken error
	closed atomic.Bool

	quiet  time.Duration // how long it may be silent
	tell   func()        // that it is; nil: nobody asked
	silent atomic.Bool   // it was told, and the store has not answered since

	mu    sync.Mutex
	notes []string
}

// New returns a Bucket that owns b from now on. rawURL is only for people to read, and is kept
// without its secrets.
func New(b *blob.Bucket, rawURL string, kind Kind) *Bucket {
	return &Bucket{blob: b, kind: kind, url: Redact(rawURL), quiet: math.MaxInt64}
}

// Broken stands for a store that could not be opened: each call returns err. So one store that
// is not there costs its own copy, and not the others'.
func Broken(rawURL string, err error) *Bucket {
	return &Bucket{url: Redact(rawURL), broken: err}
}

// URL returns the bucket's URL as Redact leaves it: fit for logs, reports and errors.
func (b *Bucket) URL() string { return b.url }

// Notes is what a person should know of how the store is used, such as the checksums it settled on:
// each once, in the order in which it was found out.
func (b *Bucket) Notes() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.notes)
}

func (b *Bucket) note(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.notes, text) {
		b.notes = append(b.notes, text)
	}
}

// Close releases the store. Readers that are still open should be closed first.
func (b *Bucket) Close() error {
	if b.broken != nil {
		return nil //nolint:nilerr // there is nothing to close
	}
	b.closed.Store(true)
	if err := b.blob.Close(); err != nil {
		return fmt.Errorf("close %q: %w", b.url, unavailable(err))
	}
	return nil
}

// Object is what Stat, Open and List tell of an object.
type Object struct {
	Key     string
	Size    int64
	ModTime time.Time // by the store's clock
}

// Stat tells of one object, or returns ErrNotExist.
func (b *Bucket) Stat(ctx context.Context, key string) (Object, error) {
	if err := b.ready(ctx, key); err != nil {
		return Object{}, fmt.Errorf("stat %q: %w", key, err)
	}
	var a *blob.Attributes
	err := b.persist(ctx, func() (err error) {
		err = b.within(ctx, func(ctx context.Context) (err error) {
			a, err = b.blob.Attributes(ctx, key)
			return err
		})
		if err != nil {
			return b.lookupFault(ctx, key, err)
		}
		return nil
	})
	if err != nil {
		return Object{}, fmt.Errorf("stat %q: %w", key, err)
	}
	return Object{Key: key, Size: a.Size, ModTime: a.ModTime}, nil
}

// Open returns an object's bytes and what Stat would say of it, or ErrNotExist. The caller
// closes the reader, which is bound to ctx. It ends in io.EOF only after all Size bytes. Where the
// store breaks off or stalls, it goes on from there, as long as the object is the same.
func (b *Bucket) Open(ctx context.Context, key string) (io.ReadCloser, Object, error) {
	if err := b.ready(ctx, key); err != nil {
		return nil, Object{}, fmt.Errorf("open %q: %w", key, err)
	}
	r := &reader{ctx: ctx, b: b, obj: Object{Key: key}}
	if err := r.open(); err != nil {
		return nil, Object{}, fmt.Errorf("open %q: %w", key, err)
	}
	return r, r.obj, nil
}

// ReadAll returns a whole object of at most maxBytes. A larger one is ErrTooLarge, found out by
// its size, before memory is taken for it.
func (b *Bucket) ReadAll(ctx context.Context, key string, maxBytes int64) ([]byte, Object, error) {
	r, obj, err := b.Open(ctx, key)
	if err != nil {
		return nil, Object{}, err
	}
	defer r.Close() //nolint:errcheck // a reader's Close
	if obj.Size > maxBytes {
		return nil, Object{}, tooLarge(obj, maxBytes)
	}
	// One byte more, since a store may send more than it announced; max, since that may overflow.
	data := bytes.NewBuffer(make([]byte, 0, max(obj.Size, 0)+bytes.MinRead))
	if _, err := data.ReadFrom(io.LimitReader(r, max(maxBytes, maxBytes+1))); err != nil {
		return nil, Object{}, err
	}
	if int64(data.Len()) > maxBytes {
		return nil, Object{}, tooLarge(obj, maxBytes)
	}
	return data.Bytes(), obj, nil
}

func tooLarge(obj Object, maxBytes int64) error {
	return fmt.Errorf("read %q of %d bytes, %d allowed: %w", obj.Key, obj.Size, maxBytes, ErrTooLarge)
}

// List yields the objects whose key begins with prefix, in ascending order of key, each once.
// It asks for a thousand at a time and holds no more. What others put into the store is listed
// too, though Open may refuse its key. An error is the last thing List yields: what came before
// it is not the whole list. The sequence may be ranged over again, which lists anew.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		if err := b.list(ctx, prefix, func(o Object) bool { return yield(o, nil) }); err != nil {
			yield(Object{}, fmt.Errorf("list %q: %w", prefix, err))
		}
	}
}

// list calls see for each object until it returns false.
func (b *Bucket) list(ctx context.Context, prefix string, see func(Object) bool) error {
	if err := checkPrefix(prefix); err != nil {
		return err
	}
	if b.broken != nil {
		return b.broken
	}
	last := ""
	for token := blob.FirstPageToken; len(token) > 0; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		page, next, err := b.listPage(ctx, token, prefix)
		if err != nil {
			return err
		}
		for _, o := range page {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if o.Key <= last {
				return unavailable(fmt.Errorf("%q listed after %q", o.Key, last))
			}
			last = o.Key
			if !see(Object{Key: o.Key, Size: o.Size, ModTime: o.ModTime}) {
				return nil
			}
		}
		token = next
	}
	return nil
}

func (b *Bucket) listPage(ctx context.Context, token []byte, prefix string) (page []*blob.ListObject, next []byte, err error) {
	err = b.persist(ctx, func() error {
		err := b.within(ctx, func(ctx context.Context) (err error) {
			page, next, err = b.blob.ListPage(ctx, token, pageSize, &blob.ListOptions{Prefix: prefix})
			return err
		})
		if err != nil {
			return fault(ctx, err)
		}
		return nil
	})
	return page, next, err
}

// lookupFault finds out what "not found" means. gcsblob says it of a refused request too, S3 of
// a bucket that is gone, Azure of a host that does not resolve. To call an object missing, the
// store must be able to list, and must not list it.
func (b *Bucket) lookupFault(ctx context.Context, key string, err error) error {
	if gcerrors.Code(err) != gcerrors.NotFound {
		return fault(ctx, err)
	}
	var page []*blob.ListObject
	listErr := b.within(ctx, func(ctx context.Context) (err error) {
		page, _, err = b.blob.ListPage(ctx, blob.FirstPageToken, 1, &blob.ListOptions{Prefix: key})
		return err
	})
	if listErr != nil {
		return fault(ctx, listErr)
	}
	if len(page) > 0 && page[0].Key == key {
		return fault(ctx, fmt.Errorf("%w: %w", ErrVanished, err))
	}
	return ErrNotExist
}

// ready says why a call must not go to the store.
func (b *Bucket) ready(ctx context.Context, key string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if b.broken != nil {
		return b.broken
	}
	return CheckKey(key)
}
