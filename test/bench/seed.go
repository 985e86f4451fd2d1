package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// everyHeld of the archives has a hold.
const everyHeld = 10

// seed commits archives from number on, the newest first, 10 minutes apart: a small object for the
// archive, manifest, a receipt, and a hold here and there.
func (b *bench) seed(ctx context.Context, to *catalog.Catalog, newest time.Time, from, until int) error {
	b.say("writing archives %d to %d", from, until)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work := make(chan int)
	var wait sync.WaitGroup
	for range atOnce {
		wait.Go(func() {
			for i := range work {
				if err := seedOne(ctx, to, newest.Add(-time.Duration(i)*10*time.Minute), i); err != nil {
					stop(err)
				}
			}
		})
	}
	for i := from; i < until && ctx.Err() == nil; i++ {
		work <- i
	}
	close(work)
	wait.Wait()
	return context.Cause(ctx)
}

func seedOne(ctx context.Context, to *catalog.Catalog, at time.Time, i int) error {
	m, err := manifest(to.Cluster(), at, i, []byte("sealed"))
	if err != nil {
		return err
	}
	if _, err := m.Encode(); err != nil { // sets its SHA256, which the receipt names
		return err
	}
	r := catalog.Receipt{Archive: m.ID, ManifestSHA256: m.SHA256, Cluster: to.Cluster(), Level: catalog.Content, OK: true, Key: "identity",
		Started: at, Finished: at.Add(time.Minute), Tool: m.Tool}
	err = errors.Join(publish(ctx, to, m, []byte("sealed")), to.PutReceipt(ctx, r, "0000"))
	if i%everyHeld == 0 {
		err = errors.Join(err, to.PutHold(ctx, catalog.Hold{Archive: m.ID, Reason: "bench", Written: at, Tool: m.Tool}, false, "0000"))
	}
	return err
}

// publish commits an archive whose bytes lie in memory.
func publish(ctx context.Context, to *catalog.Catalog, m catalog.Manifest, sealed []byte) error {
	text, err := m.Encode()
	if err != nil {
		return err
	}
	_, err = to.Publish(ctx, m, text, bytes.NewReader(sealed), catalog.Steps{})
	return err
}

// manifest is that of a cluster of three members.
func manifest(cluster string, at time.Time, i int, sealed []byte) (catalog.Manifest, error) {
	revision := int64(1_000_000 - i)
	id, err := catalog.NewID(at, revision, bytes.NewReader(binary.BigEndian.AppendUint32(nil, uint32(i))))
	codecs, sum := []string{"zstd", "age"}, fmt.Sprintf("%x", sha256.Sum256(sealed))
	m := catalog.Manifest{
		ID: id, Tool: catalog.Tool{Version: "bench"}, Cluster: catalog.Cluster{Name: cluster, ID: "cdf818194e3a8c32"}, Started: at.UTC(), Finished: at.UTC().Add(5 * time.Second),
		Member: catalog.Source{ID: "8e9e05c52164694d", Name: "m0", Endpoint: "https://10.0.0.1:2379", Version: "3.6.16", Leader: true},
		Snapshot: catalog.Snapshot{Bytes: 200 << 20, SHA256: sum, Revision: revision, CompactRevision: revision - 1000, ScheduledRev: revision - 1000,
			Keys: 50_000, Hash: "89abcdef", DBBytes: 200 << 20, DBInUseBytes: 150 << 20, Kubernetes: true},
		HashKV: catalog.HashKV{Outcome: catalog.Equal, Revision: revision, CompactRevision: revision - 1000, Agreed: []string{"m0", "m1"}}, Quorum: true,
		Archive: catalog.Archive{Object: catalog.ArchiveObject(id, codecs), Bytes: int64(len(sealed)), SHA256: sum},
		Codecs:  codecs, Recipients: []string{"x25519:0123456789abcdef"}, Source: "bench", Labels: map[string]string{"team": "bench"},
	}
	for n := range 3 {
		m.Members = append(m.Members, catalog.Member{ID: fmt.Sprintf("%016x", n), Name: fmt.Sprintf("m%d", n),
			PeerURLs: []string{fmt.Sprintf("https://10.0.0.%d:2380", n)}, ClientURLs: []string{fmt.Sprintf("https://10.0.0.%d:2379", n)}})
	}
	return m, err
}
