package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"math"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// callWait bounds each call; compaction of a large file is the slowest.
const callWait = 2 * time.Minute

// A report is what was done, on stdout.
type report struct {
	Kind        string  `json:"kind"`
	Seed        uint64  `json:"seed"`
	Objects     int     `json:"objects"`
	Updates     int     `json:"updates"`
	ValueBytes  int64   `json:"valueBytes"`
	Revision    int64   `json:"revision"`
	CompactedTo int64   `json:"compactedTo,omitempty"`
	DBSize      int64   `json:"dbSize"`
	DBSizeInUse int64   `json:"dbSizeInUse"`
	Seconds     float64 `json:"seconds"`
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "fill:", err)
		return 10
	}
	r, err := fill(ctx, s)
	if err != nil {
		fmt.Fprintln(stderr, "fill:", err)
		return 1
	}
	if err := json.NewEncoder(stdout).Encode(r); err != nil {
		fmt.Fprintln(stderr, "fill:", err)
		return 1
	}
	return 0
}

// fill writes, compacts where it was told to, and asks for the sizes.
func fill(ctx context.Context, s settings) (report, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: s.endpoints, Logger: zap.NewNop()})
	if err != nil {
		return report{}, fmt.Errorf("connect to %q: %w", s.endpoints, err)
	}
	defer client.Close()
	f := &filler{client: client, settings: s, report: report{Kind: s.kind, Seed: s.seed}}
	began := time.Now()
	if err := f.write(ctx); err != nil {
		return report{}, err
	}
	if err := f.finish(ctx); err != nil {
		return report{}, err
	}
	f.report.Seconds = time.Since(began).Seconds()
	return f.report, nil
}

type filler struct {
	client   *clientv3.Client
	settings settings
	report   report // by the one goroutine that hands out work
}

// A put is one key and its value for a writer to write.
type put struct {
	key, value string
}

// write hands the objects to the writers until there are enough.
func (f *filler) write(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan put)
	full := make(chan struct{})
	var tasks sync.WaitGroup
	for range f.settings.writers {
		tasks.Go(func() {
			if err := f.drain(ctx, queue); err != nil {
				cancel(err)
			}
		})
	}
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	tasks.Go(func() {
		if err := f.watchSize(watching, full); err != nil {
			cancel(err)
		}
	})
	f.feed(ctx, queue, full)
	stopWatching()
	close(queue)
	tasks.Wait()
	return context.Cause(ctx)
}

func (f *filler) feed(ctx context.Context, queue chan<- put, full <-chan struct{}) {
	for p := range f.puts() {
		select {
		case queue <- p:
		case <-full:
			return
		case <-ctx.Done():
			return
		}
	}
}

// puts are the objects in their order, and between them updates of those that are well behind:
// closer than the writers are many, an update could overtake what it updates.
func (f *filler) puts() iter.Seq[put] {
	s, r := f.settings, &f.report
	n := s.objects
	if n == 0 {
		n = math.MaxInt
	}
	return func(yield func(put) bool) {
		kind := kinds[s.kind]
		update, stop := iter.Pull2(kind.updates(s.seed, 1, n))
		defer stop()
		for key, value := range kind.objects(s.seed, n) {
			if !yield(put{key, string(value)}) {
				return
			}
			r.Objects++
			r.ValueBytes += int64(len(value))
			if s.updateEvery == 0 || r.Objects%s.updateEvery != 0 || r.Updates+2*s.writers > r.Objects {
				continue
			}
			key, value, _ := update()
			if !yield(put{key, string(value)}) {
				return
			}
			r.Updates++
			r.ValueBytes += int64(len(value))
		}
	}
}

// drain writes what comes, until there is no more.
func (f *filler) drain(ctx context.Context, queue <-chan put) error {
	for p := range queue {
		err := func() error {
			ctx, stop := context.WithTimeout(ctx, callWait)
			defer stop()
			_, err := f.client.Put(ctx, p.key, p.value)
			return err
		}()
		if err != nil {
			return fmt.Errorf("put %q: %w", p.key, err)
		}
	}
	return nil
}

// watchSize closes full once the database has the size that was asked for.
func (f *filler) watchSize(ctx context.Context, full chan<- struct{}) error {
	if f.settings.bytes == 0 {
		return nil
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		status, err := f.status(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if status.DbSize >= f.settings.bytes {
			close(full)
			return nil
		}
	}
}

func (f *filler) status(ctx context.Context) (*clientv3.StatusResponse, error) {
	ctx, stop := context.WithTimeout(ctx, callWait)
	defer stop()
	status, err := f.client.Status(ctx, f.settings.endpoints[0])
	if err != nil {
		return nil, fmt.Errorf("status of %q: %w", f.settings.endpoints[0], err)
	}
	return status, nil
}

// finish compacts where it was told to, and reads the sizes.
func (f *filler) finish(ctx context.Context) error {
	status, err := f.status(ctx)
	if err != nil {
		return err
	}
	f.report.Revision = status.Header.Revision
	if f.settings.compact {
		ctx, stop := context.WithTimeout(ctx, callWait)
		defer stop()
		if _, err := f.client.Compact(ctx, f.report.Revision, clientv3.WithCompactPhysical()); err != nil {
			return fmt.Errorf("compact to %d: %w", f.report.Revision, err)
		}
		f.report.CompactedTo = f.report.Revision
	}
	if status, err = f.status(ctx); err != nil {
		return err
	}
	f.report.DBSize, f.report.DBSizeInUse = status.DbSize, status.DbSizeInUse
	return nil
}
