package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/bucket/buckettest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// liarStore keeps objects in memory, and lies or fails where a test says so.
type liarStore struct {
	buckettest.Base
	mu      sync.Mutex
	objects map[string][]byte
	step    func(what, key string) error // before each call; an error is the call's answer
	read    func(key string, data []byte) []byte
	stored  func(key string, data []byte) ([]byte, error) // what is kept, and the answer to a create
}

func newLiarStore(t *testing.T, r *rig) *liarStore {
	t.Helper()
	s := &liarStore{objects: map[string][]byte{}}
	r.Stores = []*catalog.Catalog{openBlob(t, blob.NewBucket(s), "liar://store")}
	return s
}

func (s *liarStore) before(what, key string) error {
	if s.step == nil {
		return nil
	}
	return s.step(what, key)
}

// keys is what lies there of one folder.
func (s *liarStore) keys(folder string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for key := range s.objects {
		if strings.HasPrefix(key, "prod/"+folder) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// Delete is a right that snapshot must not need.
func (s *liarStore) Delete(context.Context, string, *driver.DeleteOptions) error {
	return buckettest.ErrBroken
}

func (s *liarStore) data(key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.objects[key]
	if !ok {
		return nil, buckettest.ErrMissing
	}
	if s.read != nil {
		data = s.read(key, bytes.Clone(data))
	}
	return data, nil
}

func (s *liarStore) Attributes(_ context.Context, key string) (*driver.Attributes, error) {
	if err := s.before("stat", key); err != nil {
		return nil, err
	}
	data, err := s.data(key)
	if err != nil {
		return nil, err
	}
	return &driver.Attributes{Size: int64(len(data)), ModTime: time.Now()}, nil
}

func (s *liarStore) ListPaged(_ context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	if err := s.before("list", o.Prefix); err != nil {
		return nil, err
	}
	page := &driver.ListPage{}
	for _, key := range s.keys("") {
		if strings.HasPrefix(key, o.Prefix) {
			page.Objects = append(page.Objects, &driver.ListObject{Key: key, ModTime: time.Now(), Size: int64(len(s.objects[key]))})
		}
	}
	return page, nil
}

func (s *liarStore) NewRangeReader(_ context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	if err := s.before("read", key); err != nil {
		return nil, err
	}
	data, err := s.data(key)
	if err != nil {
		return nil, err
	}
	size := int64(len(data))
	if length < 0 || offset+length > size {
		length = size - offset
	}
	return &liarReader{bytes.NewReader(data[offset : offset+length]), driver.ReaderAttributes{Size: size, ModTime: time.Now()}}, nil
}

type liarReader struct {
	*bytes.Reader
	attrs driver.ReaderAttributes
}

func (r *liarReader) Close() error                         { return nil }
func (r *liarReader) As(any) bool                          { return false }
func (r *liarReader) Attributes() *driver.ReaderAttributes { return &r.attrs }

func (s *liarStore) NewTypedWriter(ctx context.Context, key, _ string, o *driver.WriterOptions) (driver.Writer, error) {
	if err := s.before("create", key); err != nil {
		return nil, err
	}
	if !o.IfNotExist {
		return nil, errors.New("an object was to be written without the condition that it is new")
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
	data, err := bytes.Clone(w.Bytes()), error(nil)
	if w.store.stored != nil {
		data, err = w.store.stored(w.key, data)
	}
	if data != nil {
		w.store.objects[w.key] = data
	}
	return err
}

// small is a cluster of one with little in it.
func small(t *testing.T) (*etcdtest.Cluster, *rig) {
	t.Helper()
	c := etcdtest.Start(t, etcdtest.Options{})
	c.Put(t, noise(10, 1000))
	return c, newRig(t, c)
}

func TestTheLiarStoreIsSoundWhereItDoesNotLie(t *testing.T) {
	t.Parallel()
	_, r := small(t)
	s := newLiarStore(t, r)
	for n := 1; n <= 2; n++ {
		r.taken()
		if a, m := s.keys("archives/"), s.keys("manifests/"); len(a) != n || len(m) != n {
			t.Errorf("after %d runs the store holds %q and %q", n, a, m)
		}
	}
}

// TestAStoreThatLiesIsFoundOut: it takes the archive with success and gives back other bytes.
// No manifest is ever written for them.
func TestAStoreThatLiesIsFoundOut(t *testing.T) {
	t.Parallel()
	c, _ := small(t)
	for _, lie := range []struct {
		name string
		read func(data []byte) []byte
	}{
		{"empty", func([]byte) []byte { return nil }},
		{"one byte", func(data []byte) []byte { return data[:1] }},
		{"shorter by one byte", func(data []byte) []byte { return data[:len(data)-1] }},
		{"longer by one byte", func(data []byte) []byte { return append(data, 0) }},
		{"first bit flipped", func(data []byte) []byte { data[0] ^= 1; return data }},
		{"last bit flipped", func(data []byte) []byte { data[len(data)-1] ^= 0x80; return data }},
		{"a bit in the middle flipped", func(data []byte) []byte { data[len(data)/2] ^= 1; return data }},
		{"zeros", func(data []byte) []byte { return make([]byte, len(data)) }},
		{"twice", func(data []byte) []byte { return append(data, data...) }},
	} {
		t.Run(lie.name, func(t *testing.T) {
			r := newRig(t, c)
			s := newLiarStore(t, r)
			s.read = func(key string, data []byte) []byte {
				if strings.Contains(key, "/archives/") {
					return lie.read(data)
				}
				return data
			}
			report, err := r.run(t.Context())
			if !errors.Is(err, archive.ErrCorrupt) || report.Committed {
				t.Errorf("Run = %v, committed %v; want archive.ErrCorrupt, not committed", err, report.Committed)
			}
			if m := s.keys("manifests/"); len(m) != 0 {
				t.Errorf("the store holds manifests %q, want none", m)
			}
			if len(report.Stores) != 1 || report.Stores[0].Result != jobs.Failed || report.Stores[0].Error == "" {
				t.Errorf("report tells of stores %+v, want one that failed", report.Stores)
			}
		})
	}
}

// TestACommitWhoseAnswerWasLostCounts: the manifest is there, and the store said otherwise.
func TestACommitWhoseAnswerWasLostCounts(t *testing.T) {
	t.Parallel()
	c, _ := small(t)
	for _, answer := range []error{buckettest.ErrBroken, buckettest.ErrTaken} {
		t.Run(answer.Error(), func(t *testing.T) {
			r := newRig(t, c)
			s := newLiarStore(t, r)
			s.stored = func(key string, data []byte) ([]byte, error) {
				if strings.Contains(key, "/manifests/") {
					return data, answer
				}
				return data, nil
			}
			report, m := r.taken()
			if len(s.keys("manifests/")) != 1 || m.ID != report.Archive.ID || report.Cause != "" {
				t.Errorf("the store holds %q, cause %q; want one manifest and none", s.keys("manifests/"), report.Cause)
			}
		})
	}
}

// TestAReportSaysHowAStoreSettled: a store that wants uploads in another way says so once.
func TestAReportSaysHowAStoreSettled(t *testing.T) {
	t.Parallel()
	_, r := small(t)
	settled := false
	s := newLiarStore(t, r)
	s.stored = func(_ string, data []byte) ([]byte, error) {
		if !settled {
			return nil, buckettest.ErrBroken
		}
		return data, nil
	}
	settle := func(context.Context, error) string { settled = true; return "settled on md5" }
	r.Stores = []*catalog.Catalog{openKind(t, blob.NewBucket(s), "liar://store", bucket.Kind{Settle: settle})}
	report, _ := r.taken()
	if want := []string{"liar://store: settled on md5"}; !slices.Equal(report.Warnings, want) {
		t.Errorf("warnings %q, want %q", report.Warnings, want)
	}
}

func TestOtherBytesInAManifestsPlaceAreAConflict(t *testing.T) {
	t.Parallel()
	c, _ := small(t)
	for _, answer := range []error{buckettest.ErrBroken, buckettest.ErrTaken} {
		t.Run(answer.Error(), func(t *testing.T) {
			r := newRig(t, c)
			s := newLiarStore(t, r)
			s.stored = func(key string, data []byte) ([]byte, error) {
				if strings.Contains(key, "/manifests/") {
					return []byte("somebody else's"), answer
				}
				return data, nil
			}
			report, err := Run(t.Context(), r.Config)
			if !errors.Is(err, catalog.ErrConflict) || report.Committed {
				t.Errorf("Run = %v, committed %v; want catalog.ErrConflict, not committed", err, report.Committed)
			}
		})
	}
}

// TestAStoreThatFailsAtAnyStepLeavesNothingHalfDone breaks each call that a run makes, in turn,
// beside an archive that was there before.
func TestAStoreThatFailsAtAnyStepLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	_, r := small(t)
	s := newLiarStore(t, r)
	_, old := r.taken()
	for n := 0; ; n++ {
		s.mu.Lock()
		for key := range s.objects {
			if !strings.Contains(key, string(old.ID)) {
				delete(s.objects, key)
			}
		}
		s.mu.Unlock()
		made := 0
		s.step = func(string, string) error {
			if made++; made == n+1 {
				return buckettest.ErrBroken
			}
			return nil
		}
		report, err := Run(t.Context(), r.Config)
		s.step = nil
		if made <= n {
			if n < 4 {
				t.Errorf("a run makes %d calls, want at least archive, read-back, recovery and manifest", n)
			}
			return
		}
		r.wantNoSpool()
		r.wantAllOpen(r.Stores[0])
		if listed := len(s.keys("manifests/")); listed == 2 != report.Committed || err == nil != report.Committed {
			t.Errorf("call %d broken: Run = %v, committed %v, %d manifests", n+1, err, report.Committed, listed)
		}
		if err != nil && !errors.Is(err, bucket.ErrUnavailable) {
			t.Errorf("call %d broken: Run = %v, want bucket.ErrUnavailable", n+1, err)
		}
	}
}

// TestACancelDuringAnyCallToTheStoreCommitsNothingHalf stops the run at each of its calls.
func TestACancelDuringAnyCallToTheStoreLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	_, r := small(t)
	mine := errors.New("stopped by hand")
	for n := 1; n <= 4; n++ {
		s := newLiarStore(t, r)
		ctx, stop := context.WithCancelCause(t.Context())
		made := 0
		s.step = func(string, string) error {
			if made++; made == n {
				stop(mine)
			}
			return nil
		}
		report, err := Run(ctx, r.Config)
		s.step = nil
		stop(nil)
		r.wantNoSpool()
		r.wantAllOpen(r.Stores[0])
		if !errors.Is(err, context.Canceled) && !errors.Is(err, mine) || report.Committed || len(s.keys("manifests/")) != 0 {
			t.Errorf("cancelled at call %d: Run = %v, committed %v, manifests %q; want context.Canceled and none", n, err, report.Committed, s.keys("manifests/"))
		}
	}
}

// TestOneOfTwoStoresIsEnough: the other is said, whichever it is.
func TestOneOfTwoStoresIsEnough(t *testing.T) {
	t.Parallel()
	c, _ := small(t)
	for _, broken := range []int{0, 1} {
		t.Run(fmt.Sprint(broken), func(t *testing.T) {
			r := newRig(t, c)
			bad := &liarStore{objects: map[string][]byte{}, step: func(string, string) error { return buckettest.ErrBroken }}
			stores := []*catalog.Catalog{r.Stores[0], r.Stores[0]}
			stores[broken] = openBlob(t, blob.NewBucket(bad), "liar://user:canary-5e1f@store?token=canary-5e1f")
			r.Stores = stores
			report, err := Run(t.Context(), r.Config)
			if err != nil || !report.Committed {
				t.Fatalf("Run = %v, committed %v", err, report.Committed)
			}
			wantCause(t, report, jobs.CauseStore, "broken by the test")
			if len(report.Stores) != 2 || report.Stores[1-broken].Result != jobs.OK || report.Stores[broken].Result != jobs.Failed || !strings.Contains(report.Stores[broken].Error, "broken by the test") {
				t.Errorf("report tells of stores %+v, want number %d failed alone", report.Stores, broken)
			}
			if said := everything(t, r, report, err); strings.Contains(said, "canary-5e1f") {
				t.Error("log or report hold the user part of the store's URL")
			}
			good := r.Stores[1-broken]
			if entries, err := good.List(t.Context()); err != nil || len(entries) != 1 {
				t.Errorf("the good store lists %d archives, %v; want one", len(entries), err)
			}
			r.wantAllOpen(good)
		})
	}
}

// TestAStoreThatHangsKeepsNothingFromTheOther: it is asked something before the stream opens, takes the
// question, and never answers.
func TestAStoreThatHangsKeepsNothingFromTheOther(t *testing.T) {
	t.Parallel()
	c, _ := small(t)
	r := newRig(t, c)
	hangs := &hangingStore{liarStore: liarStore{objects: map[string][]byte{}, step: func(string, string) error { return buckettest.ErrBroken }}}
	r.Stores = append([]*catalog.Catalog{openBlob(t, blob.NewBucket(hangs), "liar://hangs")}, r.Stores...)
	ctx, stop := context.WithTimeout(t.Context(), 4*identityWait)
	defer stop()
	report, err := r.run(ctx)
	if err != nil || !report.Committed || report.Cause != jobs.CauseStore || report.Stores[0].Result != jobs.Failed || report.Stores[1].Result != jobs.OK {
		t.Errorf("Run = %v, %+v; want it committed to the other", err, report)
	}
}

// hangingStore answers no LIST for as long as whoever asks first is patient.
type hangingStore struct {
	liarStore
	hung atomic.Bool
}

func (s *hangingStore) ListPaged(ctx context.Context, _ *driver.ListOptions) (*driver.ListPage, error) {
	if !s.hung.Swap(true) {
		<-ctx.Done()
	}
	return nil, buckettest.ErrBroken
}

func TestTwoStoresGetTheSameBytes(t *testing.T) {
	t.Parallel()
	c, r := small(t)
	second := t.TempDir()
	r.Stores = append(r.Stores, openFolder(t, second))
	report, m := r.taken()
	if !slices.Equal(files(t, r.store), files(t, second)) || len(report.Stores) != 2 {
		t.Errorf("stores hold %q and %q, want the same", files(t, r.store), files(t, second))
	}
	for _, name := range files(t, r.store) {
		a, errA := os.ReadFile(filepath.Join(r.store, name))
		b, errB := os.ReadFile(filepath.Join(second, name))
		if errors.Join(errA, errB) != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs between the stores, or %v", name, errors.Join(errA, errB))
		}
	}
	if n := streams(t, c); n != 1 || m.Archive.Bytes == 0 {
		t.Errorf("%d streams were opened for two stores, want one", n)
	}
}

func TestNoStoreAtAllIsTheStoresFault(t *testing.T) {
	t.Parallel()
	_, r := small(t)
	broken := func(string, string) error { return buckettest.ErrBroken }
	r.Stores = []*catalog.Catalog{
		openBlob(t, blob.NewBucket(&liarStore{objects: map[string][]byte{}, step: broken}), "liar://a"),
		openBlob(t, blob.NewBucket(&liarStore{objects: map[string][]byte{}, step: broken}), "liar://b"),
	}
	report, err := Run(t.Context(), r.Config)
	if !errors.Is(err, bucket.ErrUnavailable) || errors.Is(err, etcd.ErrUnavailable) || report.Committed || len(report.Stores) != 2 {
		t.Errorf("Run = %v, committed %v, stores %+v; want bucket.ErrUnavailable", err, report.Committed, report.Stores)
	}
	r.wantNoSpool()
}

// TestAFullStoreListsNothingHalf: a disk of one megabyte, and more noise than that.
func TestAFullStoreListsNothingHalfDone(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	c.Put(t, noise(10, 1000))
	r := newRig(t, c)
	r.store = disk(t, 1<<20, false)
	r.Stores = []*catalog.Catalog{openFolder(t, r.store)}
	_, old := r.taken()
	before := files(t, r.store)
	c.Put(t, noise(30, 100_000))
	report, err := r.run(t.Context())
	if !errors.Is(err, bucket.ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) || report.Committed {
		t.Errorf("Run into a full store = %v, committed %v; want bucket.ErrUnavailable and ENOSPC", err, report.Committed)
	}
	wantFiles(t, r.store, before...)
	if found, err := r.Stores[0].Find(t.Context(), catalog.Latest, time.Time{}); err != nil || found.Manifest.ID != old.ID {
		t.Errorf("Find(latest) = %v, want the archive that was there before", err)
	}
}

func TestAReadOnlyStoreIsTheStoresFault(t *testing.T) {
	t.Parallel()
	_, r := small(t)
	r.store = disk(t, 1<<20, true)
	r.Stores = []*catalog.Catalog{openFolder(t, r.store)}
	if _, err := r.refused(); !errors.Is(err, bucket.ErrUnavailable) || !errors.Is(err, syscall.EROFS) {
		t.Errorf("Run = %v, want bucket.ErrUnavailable and EROFS", err)
	}
}

// TestAClockThatIsOffIsSaid: the archive is committed all the same.
func TestAClockThatIsOffIsSaid(t *testing.T) {
	t.Parallel()
	c, _ := small(t)
	for off, cause := range map[time.Duration]jobs.Cause{
		10 * time.Minute: jobs.CauseClock, -10 * time.Minute: jobs.CauseClock,
		4 * time.Minute: "", -4 * time.Minute: "", 0: "",
	} {
		t.Run(off.String(), func(t *testing.T) {
			r := newRig(t, c)
			r.Now = func() time.Time { return time.Now().Add(off) }
			report, m := r.taken()
			warning := ""
			if cause != "" {
				warning = "our clock is "
			}
			wantCause(t, report, cause, warning)
			found, err := r.Stores[0].Find(t.Context(), catalog.Latest, time.Time{})
			if future := off > 5*time.Minute; future != errors.Is(err, catalog.ErrNone) || !future && found.Manifest.ID != m.ID {
				t.Errorf("Find(latest) of an archive %s off = %v", off, err)
			}
		})
	}
}

// TestARerunOfTheSameSlotDoesNothing: the second one does not even ask etcd.
func TestARerunOfTheSameSlotDoesNothing(t *testing.T) {
	t.Parallel()
	c, r := small(t)
	r.IfOlderThan = time.Hour
	_, first := r.taken()
	before := files(t, r.store)
	good := r.Etcd
	r.Etcd = etcd.Config{Endpoints: []string{"127.0.0.1:1"}}
	report, err := r.run(t.Context())
	if err != nil || !report.Skip || report.Committed || report.Archive == nil || report.Archive.ID != first.ID {
		t.Errorf("a rerun = %v, skip %v, committed %v, archive %+v; want it skipped for %s", err, report.Skip, report.Committed, report.Archive, first.ID)
	}
	wantFiles(t, r.store, before...)
	r.Etcd = good
	for name, later := range map[string]time.Duration{"just within": 59 * time.Minute, "just beyond": 61 * time.Minute} {
		r.Now = func() time.Time { return time.Now().Add(later) }
		report, err := r.run(t.Context())
		if skip := later < time.Hour; err != nil || report.Skip != skip || report.Committed == skip {
			t.Errorf("a rerun %s the hour = %v, skip %v, committed %v", name, err, report.Skip, report.Committed)
		}
	}
	if n := streams(t, c); n != 2 {
		t.Errorf("%d streams were opened, want two", n)
	}
}

// TestARerunOfSeveralStores: one that lacks the archive gets it; one that does not answer is said.
func TestARerunOfSeveralStores(t *testing.T) {
	t.Parallel()
	_, r := small(t)
	r.IfOlderThan = time.Hour
	r.taken()
	r.Stores = append(r.Stores, openFolder(t, t.TempDir()))
	if report, _ := r.taken(); report.Skip {
		t.Error("the rerun was skipped although the second store lacks the archive")
	}
	gone := bucket.Broken("file:///gone", bucket.ErrUnavailable)
	third, err := catalog.Open(gone, "prod")
	if err != nil {
		t.Fatal(err)
	}
	r.Stores = append(r.Stores, third)
	report, err := r.run(t.Context())
	if err != nil || !report.Skip || report.Cause != jobs.CauseStore {
		t.Errorf("a rerun with one store of three out of reach = %v, skip %v, cause %q; want it skipped, cause store", err, report.Skip, report.Cause)
	}
}

// TestWhatDoesNotCountForARerun: a suspect archive, one in the future, and a store that cannot
// be read.
func TestWhatDoesNotCountForARerun(t *testing.T) {
	t.Parallel()
	t.Run("a suspect archive", func(t *testing.T) {
		t.Parallel()
		_, r, lie := lying(t, 1)
		r.IfOlderThan = time.Hour
		lie["m0"].tell(func(l *liar) { l.hashKV = flipHash })
		if _, err := r.run(t.Context()); !errors.Is(err, ErrSuspect) {
			t.Fatalf("Run = %v, want ErrSuspect", err)
		}
		lie["m0"].tell(func(l *liar) { l.hashKV = nil })
		if report, _ := r.taken(); report.Skip {
			t.Error("the rerun was skipped for a suspect archive")
		}
	})
	t.Run("an archive in the future", func(t *testing.T) {
		t.Parallel()
		_, r := small(t)
		r.IfOlderThan = time.Hour
		r.Now = func() time.Time { return time.Now().Add(30 * time.Minute) }
		r.taken()
		r.Now = time.Now
		if report, _ := r.taken(); report.Skip {
			t.Error("the rerun was skipped for an archive in the future")
		}
	})
	t.Run("an archive of a store whose clock was ahead too", func(t *testing.T) {
		t.Parallel()
		_, r := small(t)
		r.IfOlderThan = time.Hour
		later := time.Now().Add(30 * time.Minute)
		r.Now = func() time.Time { return later }
		r.taken()
		r.Now = time.Now
		err := filepath.WalkDir(strings.TrimPrefix(r.Stores[0].URL(), "file://"), func(path string, _ os.DirEntry, err error) error {
			return errors.Join(err, os.Chtimes(path, later, later))
		})
		if err != nil {
			t.Fatal(err)
		}
		if report, _ := r.taken(); report.Skip {
			t.Error("the rerun was skipped for an archive in the future")
		}
	})
	t.Run("a store out of reach", func(t *testing.T) {
		t.Parallel()
		_, r := small(t)
		r.IfOlderThan = time.Hour
		s := newLiarStore(t, r)
		s.step = func(what, _ string) error {
			if what == "list" {
				return buckettest.ErrBroken
			}
			return nil
		}
		report, err := Run(t.Context(), r.Config)
		if !errors.Is(err, bucket.ErrUnavailable) || report.Skip || report.Committed || len(s.keys("")) != 0 {
			t.Errorf("Run = %v, skip %v, objects %q; want bucket.ErrUnavailable before anything is stored", err, report.Skip, s.keys(""))
		}
	})
}

func TestWhatWasWrittenOnceStays(t *testing.T) {
	t.Parallel()
	_, r := small(t)
	if err := os.MkdirAll(filepath.Join(r.store, "prod"), 0o700); err != nil {
		t.Fatal(err)
	}
	recovery := filepath.Join(r.store, "prod", "RECOVERY.md")
	if err := os.WriteFile(recovery, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.taken()
	r.taken()
	if text, err := os.ReadFile(recovery); err != nil || string(text) != "mine" {
		t.Errorf("RECOVERY.md is %q, %v; want it as it was", text, err)
	}
	if n := len(files(t, r.store)); n != 5 {
		t.Errorf("the store holds %d objects, want two archives, two manifests and RECOVERY.md", n)
	}
}

func TestPlaintextIsStoredOnlyWhereTold(t *testing.T) {
	t.Parallel()
	_, r := small(t)
	r.Recipients = archive.Plaintext()
	report, m := r.taken()
	if report.Archive.Encrypted || len(m.Recipients) != 0 || !strings.HasSuffix(m.Archive.Object, ".db.zst") {
		t.Errorf("archive %s, encrypted %v, recipients %q; want plain", m.Archive.Object, report.Archive.Encrypted, m.Recipients)
	}
	r.Recipients = archive.Recipients{}
	r.store = t.TempDir()
	r.Stores = []*catalog.Catalog{openFolder(t, r.store)}
	r.refused()
}

var _ io.Reader = (*liarReader)(nil)
