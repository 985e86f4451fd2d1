// Package buckettest holds what every store has to keep, whichever driver serves it: whole
// objects or nothing, created once, read back equal, listed in order, errors that say whose
// fault it was.
//
//	func TestSuite(t *testing.T) { buckettest.Suite(t, openMyStore) }
//
// It looks at a store only through package bucket. It starts no server: who has one passes a
// function that opens it.
package buckettest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// partBytes is the size beyond which stores take an object in several parts.
const partBytes = 8 << 20

// Suite runs all tests against stores that open returns: each must be empty, and its own. Suite
// closes it. Where one real bucket stands behind them all, a fresh prefix will do.
func Suite(t *testing.T, open func(t *testing.T) *bucket.Bucket) {
	tests := []struct {
		name string
		run  func(t *testing.T, b *bucket.Bucket)
	}{
		{"ABrokenSourceLeavesNothing", brokenSource},
		{"ASourceOfTheWrongLengthLeavesNothing", wrongLength},
		{"ACancelledUploadLeavesNothing", cancelledUpload},
		{"AKeyIsCreatedOnce", createdOnce},
		{"OneOfEightWritersWins", oneWinner},
		{"ObjectsReadBackEqual", readBack},
		{"ReadAllHoldsNoMoreThanAllowed", readAllBound},
		{"WhatIsNotThereDoesNotExist", missing},
		{"AnUnsafeKeyIsRefused", unsafeKeys},
		{"ListingsAreWholeAndInOrder", listOrder},
		{"ListingsSpanPages", listPages},
		{"ACancelledContextEndsEachCall", cancelledCalls},
		{"AClosedStoreIsUnavailable", closed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := open(t)
			t.Cleanup(func() { b.Close() })
			test.run(t, b)
		})
	}
}

// put stores data and fails the test where that fails.
func put(t *testing.T, b *bucket.Bucket, key string, data []byte) {
	t.Helper()
	if err := b.Upload(t.Context(), key, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatalf("Upload(%q, %d bytes): %v", key, len(data), err)
	}
}

// wantObject checks that data, and nothing else, lies under key.
func wantObject(t *testing.T, b *bucket.Bucket, key string, data []byte) {
	t.Helper()
	r, obj, err := b.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("Open(%q): %v", key, err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("Open(%q) read %d bytes, %v; want the %d bytes that were stored", key, len(got), err, len(data))
	}
	if obj.Key != key || obj.Size != int64(len(data)) || obj.ModTime.IsZero() {
		t.Errorf("Open(%q) told of %+v; want size %d and a time", key, obj, len(data))
	}
}

// wantNothing checks by all means there are that nothing is visible under key.
func wantNothing(t *testing.T, b *bucket.Bucket, key string) {
	t.Helper()
	if obj, err := b.Stat(t.Context(), key); !errors.Is(err, bucket.ErrNotExist) {
		t.Fatalf("Stat(%q) = %+v, %v; want ErrNotExist", key, obj, err)
	}
	if data, _, err := b.ReadAll(t.Context(), key, 1<<30); !errors.Is(err, bucket.ErrNotExist) {
		t.Fatalf("ReadAll(%q) = %d bytes, %v; want ErrNotExist", key, len(data), err)
	}
	if keys := list(t, b, key); len(keys) > 0 {
		t.Fatalf("List(%q) = %q; want nothing", key, keys)
	}
}

// list returns the keys below prefix.
func list(t *testing.T, b *bucket.Bucket, prefix string) []string {
	t.Helper()
	var keys []string
	for obj, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("List(%q) after %d objects: %v", prefix, len(keys), err)
		}
		keys = append(keys, obj.Key)
	}
	return keys
}

// wantContextError checks that err is cause alone, and not taken for the store's fault.
func wantContextError(t *testing.T, what string, err, cause error) {
	t.Helper()
	if !errors.Is(err, cause) || errors.Is(err, bucket.ErrUnavailable) || errors.Is(err, bucket.ErrNotExist) {
		t.Errorf("%s = %v; want %v and no mark", what, err, cause)
	}
}

// pattern returns n bytes that differ from place to place and from seed to seed.
func pattern(n int, seed byte) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i) ^ byte(i>>8)*31 ^ byte(i>>16)*17 ^ seed
	}
	return data
}

// brokenReader yields data and then err, for ever; err may come along with the last bytes.
type brokenReader struct {
	data   []byte
	err    error
	joined bool
}

func (r *brokenReader) Read(p []byte) (int, error) {
	n := copy(p, r.data)
	r.data = r.data[n:]
	if len(r.data) > 0 || n > 0 && !r.joined {
		return n, nil
	}
	return n, r.err
}

// cancelReader calls cancel once all but left of its bytes are read, and goes on.
type cancelReader struct {
	data   []byte
	left   int
	cancel context.CancelFunc
	after  int // how often it was read after the cancel
}

func (r *cancelReader) Read(p []byte) (int, error) {
	if len(r.data) <= r.left {
		r.cancel()
		r.after++
	}
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	stop := len(r.data)
	if stop > r.left {
		stop -= r.left // do not read beyond the point of the cancel
	}
	n := copy(p, r.data[:stop])
	r.data = r.data[n:]
	return n, nil
}
