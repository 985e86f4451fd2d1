package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

type bench struct {
	settings
	stderr  io.Writer
	environ []string // of every command, once there is an object store
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 10
	}
	b := &bench{settings: s, stderr: stderr}
	if err := b.all(ctx, stdout); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

// say tells how far it came.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.stderr, "%s %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

// all measures each part, prints its document and writes it to its file.
func (b *bench) all(ctx context.Context, stdout io.Writer) error {
	r := results{settings: b.settings, began: time.Now(), loadBefore: load()}
	var err error
	if r.bound, err = readBound(b.bound); err != nil {
		return err
	}
	if r.facts, err = b.facts(ctx); err != nil {
		return err
	}
	for _, part := range []struct {
		name, file string
		measure    func(context.Context, *results) error
		document   func() string
	}{
		{"etcd", b.results, b.measure, r.document},
		{"stores", b.storeResults, b.measureStores, r.storesDocument},
		{"cron", b.cronResults, b.measureCron, r.cronDocument},
	} {
		if !slices.Contains(b.parts, part.name) {
			continue
		}
		r.began = time.Now()
		if err := part.measure(ctx, &r); err != nil {
			return err
		}
		r.took = time.Since(r.began)
		if err := write(part.file, part.document(), stdout); err != nil {
			return err
		}
	}
	return nil
}

// write puts a document into its file, and shows it.
func write(file, text string, stdout io.Writer) error {
	part := file + ".part"
	_, err := io.WriteString(stdout, text)
	return errors.Join(os.WriteFile(part, []byte(text), 0o644), os.Rename(part, file), err)
}

func (b *bench) measure(ctx context.Context, r *results) error {
	if err := b.keys(ctx); err != nil {
		return err
	}
	if b.rounds > 0 {
		for _, kind := range []string{"kubernetes", "custom-resources"} {
			d, err := b.timed(ctx, kind)
			if err != nil {
				return err
			}
			r.sets = append(r.sets, d)
		}
	}
	for _, megabytes := range b.heapMB {
		runs, err := b.heap(ctx, megabytes)
		if err != nil {
			return err
		}
		r.heaps = append(r.heaps, runs)
	}
	for _, n := range b.heapKeys {
		runs, err := b.heapOfKeys(ctx, n)
		if err != nil {
			return err
		}
		r.keyHeaps = append(r.keyHeaps, runs)
	}
	return nil
}

// keys makes one identity and its recipient, for both sides.
func (b *bench) keys(ctx context.Context) error {
	identity := b.path("identity.txt")
	if _, err := b.run(ctx, b.tool("age-keygen"), "-o", identity); err != nil {
		return err
	}
	o, err := b.run(ctx, b.tool("age-keygen"), "-y", identity)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.work, "recipients.txt"), o.stdout, 0o600)
}
