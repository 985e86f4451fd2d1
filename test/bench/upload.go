package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// uploadBytes is the size of the archive that is uploaded.
const uploadBytes = 100_000_000

// blob makes the file that is uploaded, of what no store can make smaller.
func (b *bench) blob() (*os.File, error) {
	f, err := os.Create(b.path("upload"))
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(f, rand.Reader, uploadBytes); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// measureUpload adds an upload by each client, each under a key of its own. Theirs is the SDK's
// multipart upload, since ours is one; a single PutObject is stated beside.
func (b *bench) measureUpload(ctx context.Context, ours *bucket.Bucket, theirs bare, f *os.File, round int, d *dataset) error {
	key := func(who string) string { return fmt.Sprintf("upload/%s-%d", who, round) }
	mine, err := b.took(func() error { return ours.Put(ctx, key("ours"), f, uploadBytes, false) })
	if err != nil {
		return err
	}
	for who, put := range map[string]func(context.Context, string, *os.File) error{"upload-put": theirs.put, "upload": theirs.putParts} {
		took, err := b.took(func() error {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return err
			}
			return put(ctx, key(who), f)
		})
		if err != nil {
			return err
		}
		d.of(who).addOurs(mine.Seconds())
		d.of(who).addTheirs(took.Seconds())
	}
	return nil
}

// took times do, after all that was written earlier is on the disk.
func (b *bench) took(do func() error) (time.Duration, error) {
	syscall.Sync()
	began := time.Now()
	err := do()
	return time.Since(began), err
}
