package soak

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// A write is one put that a writer made, through one member.
type write struct {
	member     int
	sent, done time.Time
	revision   int64 // where it succeeded
	err        error
}

// How writers write. A machine with other work to do must not make a write late: a failure is to
// tell of the members.
const (
	writerCount = 8
	writeEvery  = 50 * time.Millisecond
	writeWait   = 2 * time.Second
)

// writers keep a cluster busy. Each has an endpoints list of one, so that it is known of each write
// which member it was sent to.
type writers struct {
	mu   sync.Mutex
	done []write
}

// startWriters writes until stop is called, which waits for the last write.
func startWriters(t *testing.T, c *etcdtest.Cluster) (w *writers, stop func()) {
	t.Helper()
	w = &writers{}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range writerCount {
		member := i % len(c.Members)
		client := c.Client(t, member)
		all.Go(func() { w.run(ctx, client, i, member) })
	}
	stop = sync.OnceFunc(func() {
		cancel()
		all.Wait()
	})
	t.Cleanup(stop)
	return w, stop
}

func (w *writers) run(ctx context.Context, client *clientv3.Client, number, member int) {
	wait := time.NewTimer(time.Duration(number) * writeEvery / writerCount) // not all at one instant
	defer wait.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
			wait.Reset(writeEvery)
		}
		one := write{member: member, sent: time.Now()}
		bounded, stop := context.WithTimeout(ctx, writeWait)
		put, err := client.Put(bounded, fmt.Sprintf("/soak/%d/%02d", number, n%50), strings.Repeat("x", 200))
		stop()
		one.done, one.err = time.Now(), err
		if err == nil {
			one.revision = put.Header.Revision
		}
		if ctx.Err() == nil {
			w.mu.Lock()
			w.done = append(w.done, one)
			w.mu.Unlock()
		}
	}
}

// take returns the writes that ended since the last call.
func (w *writers) take() []write {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.done
	w.done = nil
	return out
}

// figures is what all members' metrics told over a time.
type figures struct {
	looks      int
	most       int          // members at work in one look
	atWork     map[int]bool // members that were seen at work
	ledAtWork  int          // looks in which one that led was at work
	unanswered int          // questions
}

// lookEvery is the time between two looks at all members' metrics.
const lookEvery = 50 * time.Millisecond

// watchFigures looks until stop is called, which returns what was seen.
func watchFigures(t *testing.T, c *etcdtest.Cluster) (stop func() figures) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: 5 * time.Second}
	f := figures{atWork: map[int]bool{}}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		defer client.CloseIdleConnections()
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			f.look(ctx, client, c)
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}()
	stop = sync.OnceValue(func() figures {
		cancel()
		<-finished
		return f
	})
	t.Cleanup(func() { stop() })
	return stop
}

// look asks all members at once.
func (f *figures) look(ctx context.Context, client *http.Client, c *etcdtest.Cluster) {
	pages := make([]string, len(c.Members))
	var all sync.WaitGroup
	for i, m := range c.Members {
		all.Go(func() { pages[i] = page(ctx, client, m.MetricsURL+"/metrics") })
	}
	all.Wait()
	if ctx.Err() != nil {
		return
	}
	f.looks++
	now := 0
	for i, text := range pages {
		works := strings.Contains(text, "\netcd_disk_defrag_inflight 1\n")
		switch {
		case text == "":
			f.unanswered++
		case works:
			now++
			f.atWork[i] = true
		}
		if works && strings.Contains(text, "\netcd_server_is_leader 1\n") {
			f.ledAtWork++
		}
	}
	f.most = max(f.most, now)
}

// page is what an address answers; empty where it does not.
func page(ctx context.Context, client *http.Client, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return ""
	}
	resp, err := client.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}
