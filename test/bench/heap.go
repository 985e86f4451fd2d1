package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A heapRun is one job of etcdsafe, with the peaks of all its processes.
type heapRun struct {
	database string // for people
	keys     int    // small keys, never compacted; 0: objects of Kubernetes
	job      string
	parent   peak
	child    peak // the largest
	children int
}

// live bounds what both held at one moment: only one child runs at a time.
func (h heapRun) live() int64 { return h.parent.bound() + h.child.bound() }

// A peak is the most that one process had on its heap: live after a collection, and with what
// was not collected yet. A process that never collected has no live figure.
type peak struct{ live, objects int64 }

// heap measures the jobs over a database of so many megabytes.
func (b *bench) heap(ctx context.Context, megabytes int) (runs []heapRun, err error) {
	s, err := b.startServer(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	b.say("filling a database of %d MB for the heap", megabytes)
	db, err := b.fill(ctx, s, "kubernetes", megabytes)
	if err != nil {
		return nil, err
	}
	return b.heapJobs(ctx, s, heapRun{database: fmt.Sprintf("%.2f GB, Kubernetes objects", float64(db.DBSize)/1e9)})
}

// heapOfKeys measures the jobs over a database of so many small keys, never compacted.
func (b *bench) heapOfKeys(ctx context.Context, keys int) (runs []heapRun, err error) {
	s, err := b.startServer(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	b.say("writing %d small keys for the heap", keys)
	if err := s.writeKeys(ctx, keys); err != nil {
		return nil, err
	}
	return b.heapJobs(ctx, s, heapRun{database: fmt.Sprintf("%d small keys, never compacted", keys), keys: keys})
}

// heapJobs runs snapshot, verify and restore. A big leader is asked for its HashKV only where
// all are.
func (b *bench) heapJobs(ctx context.Context, s *server, of heapRun) ([]heapRun, error) {
	if err := b.fresh(ours, ours+"/store", ours+"/spool"); err != nil {
		return nil, err
	}
	var runs []heapRun
	for _, job := range []struct {
		name string
		do   func() error
	}{
		{"snapshot", func() error { _, _, err := b.snapshot(ctx, b.sampled(), s, "--compare", "all"); return err }},
		{"verify", func() error { _, err := b.verify(ctx, b.sampled()); return err }},
		{"restore", func() error { _, err := b.restore(ctx, b.sampled()); return err }},
	} {
		b.say("heap of %s over %s", job.name, of.database)
		run, err := b.sample(of, job.name, job.do)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, os.RemoveAll(b.path(ours))
}

// sample is sampleAlone of a job that must have had a child.
func (b *bench) sample(of heapRun, job string, do func() error) (heapRun, error) {
	of, err := b.sampleAlone(of, job, do)
	if err == nil && of.children == 0 {
		err = fmt.Errorf("%s left no sample of a child", job)
	}
	return of, err
}

// sampleAlone runs a job and collects what the sampler in each of its processes wrote beside the
// binary.
func (b *bench) sampleAlone(of heapRun, job string, do func() error) (heapRun, error) {
	of.job = job
	samples := filepath.Join(filepath.Dir(b.sampled()), "samples")
	if err := errors.Join(os.RemoveAll(samples), os.Mkdir(samples, 0o700)); err != nil {
		return of, err
	}
	if err := do(); err != nil {
		return of, err
	}
	entries, err := os.ReadDir(samples)
	if err != nil {
		return of, err
	}
	parents := 0
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(samples, e.Name()))
		if err != nil {
			return of, err
		}
		p, err := parsePeak(string(text))
		if err != nil {
			return of, fmt.Errorf("sample %q: %w", e.Name(), err)
		}
		if strings.HasPrefix(e.Name(), job+".") {
			of.parent = p
			parents++
			continue
		}
		of.child.live, of.child.objects = max(of.child.live, p.live), max(of.child.objects, p.objects)
	}
	if of.children = len(entries) - parents; parents != 1 {
		return of, fmt.Errorf("%s left samples of %d processes, %d of its own: want 1", job, len(entries), parents)
	}
	return of, nil
}

// bound is what was live at most.
func (p peak) bound() int64 {
	if p.live == 0 {
		return p.objects
	}
	return p.live
}

func parsePeak(text string) (p peak, err error) {
	_, err = fmt.Sscanf(text, "%d %d", &p.live, &p.objects)
	return p, err
}
