package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/stores"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// storeHeaps samples the heap of every command that was timed over all archives, and of copy, which
// uploads an archive as snapshot does.
func (b *bench) storeHeaps(ctx context.Context, g *gateway, r *results) error {
	from, err := b.largeArchive(ctx)
	if err != nil {
		return err
	}
	of := heapRun{database: fmt.Sprintf("%d archives", many)}
	for _, read := range readingsOf(nil) {
		b.say("heap of %s", read.id)
		run, err := b.sampleAlone(of, read.args[0], func() error {
			_, err := b.run(ctx, b.sampled(), b.storeArgs(g, read.args...)...)
			return err
		})
		if err != nil {
			return err
		}
		run.job = read.text()
		r.storeHeaps = append(r.storeHeaps, run)
	}
	of.database = fmt.Sprintf("an archive of %s", megabytes(uploadBytes))
	run, err := b.sampleAlone(of, "copy", func() error {
		_, err := b.run(ctx, b.sampled(), b.storeArgs(g, "copy", "--from", from, "--spool-dir", b.path(ours, "spool"), "--log-level", "warn")...)
		return err
	})
	r.storeHeaps = append(r.storeHeaps, run)
	return err
}

// largeArchive commits one to a folder, and returns its URL.
func (b *bench) largeArchive(ctx context.Context) (string, error) {
	if err := b.fresh(ours, ours+"/store", ours+"/spool"); err != nil {
		return "", err
	}
	from := "file://" + b.path(ours, "store")
	folder, err := stores.Open(ctx, from, noVariable, 1)
	if err != nil {
		return "", err
	}
	defer folder.Close()
	cat, err := catalog.Open(folder, "bench")
	if err != nil {
		return "", err
	}
	sealed := make([]byte, uploadBytes)
	rand.Read(sealed)
	m, err := manifest("bench", time.Now(), -1, sealed)
	if err != nil {
		return "", err
	}
	return from, publish(ctx, cat, m, sealed)
}

func noVariable(string) string { return "" }
