package etcdtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Write keeps the cluster busy until stop is called, or the test ends: a write every two
// milliseconds or as fast as it goes, among 500 keys below /etcdtest/, with deletes,
// transactions and now and then a compaction. stop waits for the last write, and says how
// many of them etcd took; it may be called twice. Writes that fail, as when members are
// paused, are left out and not made again.
func (c *Cluster) Write(t testing.TB) (stop func() (writes int)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &writer{client: c.Client(t), rng: rand.New(rand.NewPCG(1, 2)), done: make(chan struct{})}
	go w.run(ctx)
	stop = sync.OnceValue(func() int {
		cancel()
		<-w.done
		if w.failed > 0 {
			t.Logf("writer: %d writes went well, %d did not, the last with: %v", w.writes, w.failed, w.err)
		}
		return w.writes
	})
	t.Cleanup(func() { stop() })
	return stop
}

type writer struct {
	client         *clientv3.Client
	rng            *rand.Rand
	done           chan struct{} // closed when the fields below no longer change
	writes, failed int
	err            error
	revision       int64
}

func (w *writer) run(ctx context.Context) {
	defer close(w.done)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := w.step(ctx, n); err == nil {
			w.writes++
		} else if ctx.Err() == nil {
			w.failed++
			w.err = err
		}
	}
}

// step makes the n-th write, and a compaction every 250.
func (w *writer) step(ctx context.Context, n int) error {
	// Short, so that one paused member of three costs the writer little: its calls go round.
	ctx, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	revision, err := w.write(ctx)
	if err != nil {
		return err
	}
	w.revision = max(w.revision, revision)
	if n%250 == 0 && w.revision > 200 {
		// A compaction that comes too late or twice is none of the caller's business.
		_, _ = w.client.Compact(ctx, w.revision-100)
	}
	return nil
}

func (w *writer) write(ctx context.Context) (revision int64, err error) {
	switch w.rng.IntN(10) {
	case 0:
		resp, err := w.client.Delete(ctx, w.key())
		if err != nil {
			return 0, err
		}
		return resp.Header.Revision, nil
	case 1:
		// Two subs of one revision; a key may be written once in a transaction.
		resp, err := w.client.Txn(ctx).Then(
			clientv3.OpPut("/etcdtest/txn/a/"+w.key(), w.value()),
			clientv3.OpPut("/etcdtest/txn/b/"+w.key(), w.value()),
		).Commit()
		if err != nil {
			return 0, err
		}
		return resp.Header.Revision, nil
	default:
		resp, err := w.client.Put(ctx, w.key(), w.value())
		if err != nil {
			return 0, err
		}
		return resp.Header.Revision, nil
	}
}

func (w *writer) key() string { return fmt.Sprintf("/etcdtest/%03d", w.rng.IntN(500)) }

func (w *writer) value() string {
	b := make([]byte, 100+w.rng.IntN(900))
	for i := range b {
		b[i] = byte('a' + w.rng.IntN(26))
	}
	return string(b)
}
