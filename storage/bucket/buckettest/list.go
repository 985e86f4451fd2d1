package buckettest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

func listOrder(t *testing.T, b *bucket.Bucket) {
	if keys := list(t, b, ""); len(keys) > 0 {
		t.Fatalf("List of an empty store = %q", keys)
	}
	// Around the slash (0x2f) stand - and . before it and 0 behind, so that the order of keys is
	// not the order of folders.
	keys := []string{
		"prod/manifests/1.json", "prod/manifests/1.json.minisig", "prod/manifests/2.json",
		"prod/archives/1", "prod/RECOVERY.md", "prod-2/manifests/1.json", "prod.2/manifests/1.json",
		"prod0/manifests/1.json", "prod2", "pro/manifests/1.json", "a/b/c/d/e", "a/b-c", "a/b.c", "a/b/c-d",
		"A", "Z/z", "_", "0", "a/b/c0", ".probe/1",
	}
	for _, key := range keys {
		put(t, b, key, []byte(key))
	}
	slices.Sort(keys)
	for _, prefix := range []string{
		"", "prod/", "prod-2/", "prod", "prod/manifests/", "prod/manifests/1", "prod/manifests/1.json", "a/b",
		"a/b/", "pro/", "p", "x", "prod/x/", "prod/manifests/1.json/", "A", "A/",
	} {
		want := below(keys, prefix)
		if got := list(t, b, prefix); !slices.Equal(got, want) {
			t.Errorf("List(%q) = %q, want %q", prefix, got, want)
		}
	}
	for _, prefix := range []string{"../", "prod//", "/", "prod/../prod/", ".part-1/"} {
		var last error
		for _, last = range b.List(t.Context(), prefix) {
		}
		if last == nil || errors.Is(last, bucket.ErrUnavailable) {
			t.Errorf("List(%q) ended in %v; want the prefix refused", prefix, last)
		}
	}
}

// below returns the keys with the prefix, by the plainest of means.
func below(keys []string, prefix string) []string {
	var found []string
	for _, key := range keys {
		if len(key) >= len(prefix) && key[:len(prefix)] == prefix {
			found = append(found, key)
		}
	}
	return found
}

// listPages grows a listing from one object over one page to several.
func listPages(t *testing.T, b *bucket.Bucket) {
	put(t, b, "many-2/0000", nil)
	put(t, b, "man/0000", nil)
	var keys []string
	for _, total := range []int{1, 1000, 1001, 2500} {
		fresh := numbered(len(keys), total)
		fill(t, b, fresh)
		keys = append(keys, fresh...)
		if got := list(t, b, "many/"); !slices.Equal(got, keys) {
			t.Errorf("List of %d objects gave %d: %s", total, len(got), difference(got, keys))
		}
	}
	first := ""
	for obj, err := range b.List(t.Context(), "many/") {
		if err != nil {
			t.Fatal(err)
		}
		first = obj.Key
		break
	}
	if first != keys[0] {
		t.Errorf("List left after one object yielded %q, want %q", first, keys[0])
	}
}

func numbered(from, to int) []string {
	var keys []string
	for i := from; i < to; i++ {
		keys = append(keys, fmt.Sprintf("many/%04d", i))
	}
	return keys
}

// fill stores small objects, several at a time.
func fill(t *testing.T, b *bucket.Bucket, keys []string) {
	t.Helper()
	next := make(chan string)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for key := range next {
				if err := create(t.Context(), b, key, []byte(key)); err != nil {
					t.Errorf("Upload(%q): %v", key, err)
				}
			}
		})
	}
	for _, key := range keys {
		next <- key
	}
	close(next)
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func difference(got, want []string) string {
	for i := range want {
		if i >= len(got) {
			return fmt.Sprintf("it ends before %q", want[i])
		}
		if got[i] != want[i] {
			return fmt.Sprintf("%q where %q was wanted", got[i], want[i])
		}
	}
	return fmt.Sprintf("%q too many", got[len(want):])
}
