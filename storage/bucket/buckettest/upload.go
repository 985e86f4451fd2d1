package buckettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// positions are where a stream of n bytes is broken: the ends, the middle, and around parts.
func positions(n int) []int {
	at := []int{0, 1, n / 2, n - 1, n}
	for part := partBytes; part < n; part += partBytes {
		at = append(at, part-1, part, part+1)
	}
	return at
}

func brokenSource(t *testing.T, b *bucket.Bucket) {
	faults := []error{
		errors.New("the stream broke"),
		io.ErrUnexpectedEOF, // Azure's client takes it for the end
		fmt.Errorf("read: %w", io.EOF),
		context.DeadlineExceeded, // the source's own, not ours
	}
	data := pattern(partBytes+3, 1)
	for _, size := range []int{1000, len(data)} {
		for i, at := range positions(size) {
			for j, cause := range faults {
				key := fmt.Sprintf("broken/%d-%d-%d", size, i, j)
				r := &brokenReader{data: data[:at], err: cause, joined: j%2 == 1}
				err := b.Upload(t.Context(), key, r, int64(size))
				if !errors.Is(err, cause) || errors.Is(err, bucket.ErrUnavailable) {
					t.Errorf("Upload of %d bytes that breaks after %d = %v; want %v and no mark", size, at, err, cause)
				}
				wantNothing(t, b, key)
			}
		}
	}
	if keys := list(t, b, ""); len(keys) > 0 {
		t.Errorf("the store holds %q after broken uploads alone", keys)
	}
	put(t, b, "broken/1000-0-0", data) // nor is the key taken by what is not visible
	wantObject(t, b, "broken/1000-0-0", data)
}

func wrongLength(t *testing.T, b *bucket.Bucket) {
	data := pattern(partBytes+100, 2)
	tests := []struct {
		name       string
		have, said int
		want       error
	}{
		{"empty for one", 0, 1, io.ErrUnexpectedEOF},
		{"one short", 999, 1000, io.ErrUnexpectedEOF},
		{"a part short", 100, len(data), io.ErrUnexpectedEOF},
		{"one for empty", 1, 0, nil},
		{"one over", 1001, 1000, nil},
		{"a part over", len(data), 100, nil},
		{"size below zero", 0, -1, nil},
	}
	for _, test := range tests {
		err := b.Upload(t.Context(), "length", bytes.NewReader(data[:test.have]), int64(test.said))
		if err == nil || errors.Is(err, bucket.ErrUnavailable) || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: Upload of %d bytes said to be %d = %v; want a fault of the source, %v", test.name, test.have, test.said, err, test.want)
		}
		wantNothing(t, b, "length")
	}
}

func cancelledUpload(t *testing.T, b *bucket.Bucket) {
	data := pattern(partBytes+3, 3)
	for _, size := range []int{1000, len(data)} {
		for _, at := range positions(size) {
			ctx, cancel := context.WithCancel(t.Context())
			r := &cancelReader{data: data[:size], left: size - at, cancel: cancel}
			err := b.Upload(ctx, "cancelled", r, int64(size))
			wantContextError(t, fmt.Sprintf("Upload of %d bytes cancelled after %d", size, at), err, context.Canceled)
			if r.after > 1 { // the read that cancelled, and no other
				t.Errorf("the source was read %d times after a cancel", r.after-1)
			}
			wantNothing(t, b, "cancelled")
		}
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	err := b.Upload(ctx, "cancelled", untouchable{t}, 1)
	wantContextError(t, "Upload after the deadline", err, context.DeadlineExceeded)
	wantNothing(t, b, "cancelled")
}

// untouchable is a source that must not be read.
type untouchable struct{ t *testing.T }

func (u untouchable) Read([]byte) (int, error) {
	u.t.Error("the source was read")
	return 0, io.EOF
}

func createdOnce(t *testing.T, b *bucket.Bucket) {
	for _, size := range []int{0, 1000, partBytes + 100} {
		key := fmt.Sprintf("once/%d", size)
		first := pattern(size, 4)
		put(t, b, key, first)
		for _, again := range []int{0, 1000, size} {
			second := pattern(again, 5)
			err := b.Upload(t.Context(), key, bytes.NewReader(second), int64(again))
			if !errors.Is(err, bucket.ErrExists) || errors.Is(err, bucket.ErrUnavailable) {
				t.Errorf("second Upload(%q) = %v; want ErrExists", key, err)
			}
		}
		cause := errors.New("the stream broke")
		err := b.Upload(t.Context(), key, &brokenReader{data: first, err: cause}, int64(size))
		if !errors.Is(err, cause) && !errors.Is(err, bucket.ErrExists) {
			t.Errorf("broken Upload(%q) over an object = %v", key, err)
		}
		wantObject(t, b, key, first)
	}
}

func oneWinner(t *testing.T, b *bucket.Bucket) {
	const writers = 8
	for round := range 10 {
		key := fmt.Sprintf("race/%d", round)
		errs := make([]error, writers)
		var start, end sync.WaitGroup
		start.Add(1)
		for i := range writers {
			end.Go(func() {
				start.Wait()
				errs[i] = create(t.Context(), b, key, pattern(2000, byte(i)))
			})
		}
		start.Done()
		end.Wait()
		wantOneWinner(t, b, key, errs)
	}
}

// create uploads until the store has decided: S3 may answer a race with a conflict, which is no
// verdict.
func create(ctx context.Context, b *bucket.Bucket, key string, data []byte) (err error) {
	for range 5 {
		err = b.Upload(ctx, key, bytes.NewReader(data), int64(len(data)))
		if !errors.Is(err, bucket.ErrUnavailable) {
			break
		}
	}
	return err
}

func wantOneWinner(t *testing.T, b *bucket.Bucket, key string, errs []error) {
	t.Helper()
	winners := 0
	for i, err := range errs {
		if err == nil {
			winners++
			wantObject(t, b, key, pattern(2000, byte(i)))
		} else if !errors.Is(err, bucket.ErrExists) {
			t.Errorf("a loser's Upload(%q) = %v; want ErrExists", key, err)
		}
	}
	if winners != 1 {
		t.Errorf("Upload(%q) had %d winners, want 1", key, winners)
	}
}
