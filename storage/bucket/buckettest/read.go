package buckettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

func readBack(t *testing.T, b *bucket.Bucket) {
	for _, size := range []int{0, 1, 511, 512, 4096, partBytes - 1, partBytes, partBytes + 1, 3*partBytes + 7} {
		key := fmt.Sprintf("prod/archives/%d.db.zst.age", size)
		data := pattern(size, 6)
		put(t, b, key, data)
		wantObject(t, b, key, data)
		wantSameEverywhere(t, b, key)
	}
}

// wantSameEverywhere compares what Stat, ReadAll and List tell of one object.
func wantSameEverywhere(t *testing.T, b *bucket.Bucket, key string) {
	t.Helper()
	stat, err := b.Stat(t.Context(), key)
	if err != nil {
		t.Fatalf("Stat(%q): %v", key, err)
	}
	_, read, err := b.ReadAll(t.Context(), key, stat.Size)
	if err != nil || !same(stat, read) {
		t.Errorf("ReadAll(%q) told of %+v, %v; Stat of %+v", key, read, err, stat)
	}
	for listed, err := range b.List(t.Context(), key) {
		if err != nil || !same(stat, listed) {
			t.Errorf("List(%q) told of %+v, %v; Stat of %+v", key, listed, err, stat)
		}
	}
}

// same allows for stores that round a time to seconds in one answer and not in another.
func same(a, b bucket.Object) bool {
	return a.Key == b.Key && a.Size == b.Size && a.ModTime.Sub(b.ModTime).Abs() <= time.Second
}

func readAllBound(t *testing.T, b *bucket.Bucket) {
	data := pattern(1000, 7)
	put(t, b, "full", data)
	put(t, b, "empty", nil)
	tests := []struct {
		key string
		max int64
		ok  bool
	}{
		{"full", 1000, true},
		{"full", 1001, true},
		{"full", math.MaxInt64, true},
		{"full", 999, false},
		{"full", 0, false},
		{"full", -1, false},
		{"empty", 0, true},
		{"empty", -1, false},
	}
	for _, test := range tests {
		got, obj, err := b.ReadAll(t.Context(), test.key, test.max)
		if test.ok && (err != nil || int64(len(got)) != obj.Size) {
			t.Errorf("ReadAll(%q, %d) = %d bytes, %v; want the object", test.key, test.max, len(got), err)
		}
		if !test.ok && (!errors.Is(err, bucket.ErrTooLarge) || got != nil) {
			t.Errorf("ReadAll(%q, %d) = %d bytes, %v; want ErrTooLarge", test.key, test.max, len(got), err)
		}
	}
	if got, _, _ := b.ReadAll(t.Context(), "full", math.MaxInt64); !bytes.Equal(got, data) {
		t.Errorf("ReadAll without a bound gave other bytes than were stored")
	}
}

func missing(t *testing.T, b *bucket.Bucket) {
	put(t, b, "prod/manifests/a-long.json", pattern(10, 8))
	for _, key := range []string{
		"nothing", "prod", "prod/manifests", "prod/manifests/a-long", "prod/manifests/a-long.json/x",
		"prod/manifests/b.json", "other/manifests/a-long.json",
	} {
		calls := map[string]error{}
		_, calls["Stat"] = b.Stat(t.Context(), key)
		_, _, calls["Open"] = b.Open(t.Context(), key)
		_, _, calls["ReadAll"] = b.ReadAll(t.Context(), key, 1<<20)
		for call, err := range calls {
			if !errors.Is(err, bucket.ErrNotExist) || errors.Is(err, bucket.ErrUnavailable) {
				t.Errorf("%s(%q) = %v; want ErrNotExist", call, key, err)
			}
		}
	}
}

func unsafeKeys(t *testing.T, b *bucket.Bucket) {
	put(t, b, "safe/key", nil)
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/../b", "safe/./key", "a b", "a\\b",
		"a\x00", "é", "a\nb", "a:b", "a?b", "a#b", "a%2fb", ".part-1", "a/.part-0123/b", "\xff",
	} {
		calls := map[string]error{}
		_, calls["Stat"] = b.Stat(t.Context(), key)
		_, _, calls["Open"] = b.Open(t.Context(), key)
		_, _, calls["ReadAll"] = b.ReadAll(t.Context(), key, 1<<20)
		calls["Upload"] = b.Upload(t.Context(), key, untouchable{t}, 1)
		for call, err := range calls {
			if err == nil || errors.Is(err, bucket.ErrNotExist) || errors.Is(err, bucket.ErrUnavailable) {
				t.Errorf("%s(%q) = %v; want the key refused", call, key, err)
			}
		}
	}
	if keys := list(t, b, ""); len(keys) != 1 {
		t.Errorf("the store holds %q; want the safe key alone", keys)
	}
}

// cancelledCalls cancels before each call, and in the middle of reading and of listing.
func cancelledCalls(t *testing.T, b *bucket.Bucket) {
	put(t, b, "a", pattern(1<<20, 9))
	put(t, b, "b", nil)
	live, kill := context.WithCancel(t.Context())
	defer kill()
	r, _, err := b.Open(live, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	buf := make([]byte, 10)
	if _, err := r.Read(buf); err != nil {
		t.Fatal(err)
	}
	kill()
	_, err = r.Read(buf)
	wantContextError(t, "Read after a cancel", err, context.Canceled)

	for _, dead := range deadContexts(t) {
		calls := map[string]error{}
		_, calls["Stat"] = b.Stat(dead, "a")
		_, calls["Stat of nothing"] = b.Stat(dead, "c")
		_, _, calls["Open"] = b.Open(dead, "a")
		_, _, calls["ReadAll"] = b.ReadAll(dead, "a", 1<<30)
		calls["Upload"] = b.Upload(dead, "c", untouchable{t}, 1)
		for _, calls["List"] = range b.List(dead, "") {
			break
		}
		calls["List of nothing"] = nil
		for _, calls["List of nothing"] = range b.List(dead, "nothing/") {
			break
		}
		for call, err := range calls {
			wantContextError(t, call, err, dead.Err())
		}
	}
	cancelledListing(t, b)
}

func cancelledListing(t *testing.T, b *bucket.Bucket) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var errs []error
	for _, err := range b.List(ctx, "") {
		errs = append(errs, err)
		cancel()
	}
	if len(errs) != 2 || errs[0] != nil || !errors.Is(errs[1], context.Canceled) {
		t.Errorf("List cancelled after one of two objects yielded %v; want one object and the context's error", errs)
	}
}

func deadContexts(t *testing.T) []context.Context {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, stop := context.WithDeadline(t.Context(), time.Unix(0, 0))
	t.Cleanup(stop)
	return []context.Context{cancelled, late}
}

func closed(t *testing.T, b *bucket.Bucket) {
	put(t, b, "a", nil)
	if err := b.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	calls := map[string]error{}
	_, calls["Stat"] = b.Stat(t.Context(), "a")
	_, _, calls["Open"] = b.Open(t.Context(), "a")
	calls["Upload"] = b.Upload(t.Context(), "b", bytes.NewReader(nil), 0)
	for _, calls["List"] = range b.List(t.Context(), "") {
		break
	}
	for call, err := range calls {
		if !errors.Is(err, bucket.ErrUnavailable) || errors.Is(err, bucket.ErrExists) || errors.Is(err, bucket.ErrNotExist) {
			t.Errorf("%s after Close = %v; want ErrUnavailable alone", call, err)
		}
	}
}
