package prune

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/bucket/buckettest"
)

// liarStore keeps objects in memory, and fails or lists otherwise where a test says so.
type liarStore struct {
	buckettest.Base
	mu      sync.Mutex
	objects map[string]object
	calls   []call
	now     func() time.Time
	step    func(c call) error                                 // before each call; an error is the call's answer
	listed  func(page []driver.ListObject) []driver.ListObject // what a LIST shows of what is there
}

type object struct {
	data []byte
	at   time.Time
}

// call is one that went to the store: the nth for that key.
type call struct {
	what, key string
	nth       int
}

func (c call) writes() bool { return c.what == "create" || c.what == "delete" }

func newLiarStore(now func() time.Time) *liarStore {
	return &liarStore{objects: map[string]object{}, now: now}
}

// before notes a call, and asks the test about it without holding the lock.
func (s *liarStore) before(ctx context.Context, what, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	c := call{what: what, key: key}
	for _, old := range s.calls {
		if old.what == what && old.key == key {
			c.nth++
		}
	}
	s.calls = append(s.calls, c)
	step := s.step
	s.mu.Unlock()
	if step == nil {
		return nil
	}
	return step(c)
}

// names is what lies there, in order, but for probes.
func (s *liarStore) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for key := range s.objects {
		if !strings.Contains(key, "/.probe/") {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

func (s *liarStore) get(key string) (object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	obj, ok := s.objects[key]
	if !ok {
		return obj, buckettest.ErrMissing
	}
	return obj, nil
}

func (s *liarStore) Delete(ctx context.Context, key string, _ *driver.DeleteOptions) error {
	if err := s.before(ctx, "delete", key); err != nil {
		return err
	}
	if _, err := s.get(key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, key)
	return nil
}

func (s *liarStore) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	if err := s.before(ctx, "stat", key); err != nil {
		return nil, err
	}
	obj, err := s.get(key)
	return &driver.Attributes{Size: int64(len(obj.data)), ModTime: obj.at}, err
}

func (s *liarStore) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	if err := s.before(ctx, "list", o.Prefix); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []driver.ListObject
	for key, obj := range s.objects {
		all = append(all, driver.ListObject{Key: key, ModTime: obj.at, Size: int64(len(obj.data))})
	}
	if s.listed != nil {
		all = s.listed(all)
	}
	slices.SortFunc(all, func(a, b driver.ListObject) int { return strings.Compare(a.Key, b.Key) })
	page := &driver.ListPage{}
	for i := range all {
		switch {
		case !strings.HasPrefix(all[i].Key, o.Prefix), all[i].Key <= string(o.PageToken):
		case len(page.Objects) == o.PageSize:
			page.NextPageToken = []byte(page.Objects[len(page.Objects)-1].Key)
			return page, nil
		default:
			page.Objects = append(page.Objects, &all[i])
		}
	}
	return page, nil
}

func (s *liarStore) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	if err := s.before(ctx, "read", key); err != nil {
		return nil, err
	}
	obj, err := s.get(key)
	if err != nil {
		return nil, err
	}
	size := int64(len(obj.data))
	if length < 0 || offset+length > size {
		length = size - offset
	}
	return &liarReader{bytes.NewReader(obj.data[offset : offset+length]), driver.ReaderAttributes{Size: size, ModTime: obj.at}}, nil
}

type liarReader struct {
	*bytes.Reader
	attrs driver.ReaderAttributes
}

func (r *liarReader) Close() error                         { return nil }
func (r *liarReader) As(any) bool                          { return false }
func (r *liarReader) Attributes() *driver.ReaderAttributes { return &r.attrs }

func (s *liarStore) NewTypedWriter(ctx context.Context, key, _ string, o *driver.WriterOptions) (driver.Writer, error) {
	if !o.IfNotExist {
		return nil, errors.New("an object was to be written without the condition that it is new")
	}
	if err := s.before(ctx, "create", key); err != nil {
		return nil, err
	}
	return &liarWriter{ctx: ctx, store: s, key: key}, nil
}

type liarWriter struct {
	bytes.Buffer
	ctx   context.Context
	store *liarStore
	key   string
}

func (w *liarWriter) Close() error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if _, ok := w.store.objects[w.key]; ok {
		return buckettest.ErrTaken
	}
	w.store.objects[w.key] = object{bytes.Clone(w.Bytes()), w.store.now()}
	return nil
}

func TestTheLiarStoreKeepsTheSuiteWhereItDoesNotLie(t *testing.T) {
	buckettest.Suite(t, func(*testing.T) *bucket.Bucket {
		return bucket.New(blob.NewBucket(newLiarStore(time.Now)), "liar://store", bucket.Kind{})
	})
}
