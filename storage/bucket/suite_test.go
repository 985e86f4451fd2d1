package bucket_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/bucket/buckettest"
)

func TestMemoryKeepsTheSuite(t *testing.T) {
	buckettest.Suite(t, plain(openMemory))
}

func TestAFolderKeepsTheSuite(t *testing.T) {
	buckettest.Suite(t, plain(openWith(openPlain)))
}

func TestAFolderWithoutNamelessFilesKeepsTheSuite(t *testing.T) {
	buckettest.Suite(t, plain(openWith(bucket.OpenWithoutNameless)))
}

func TestAFolderWithoutLinksKeepsTheSuite(t *testing.T) {
	buckettest.Suite(t, plain(openWith(bucket.OpenWithoutLinks)))
}

// TestAPrefixKeepsTheSuite is how a store's URL with ?prefix= works.
func TestAPrefixKeepsTheSuite(t *testing.T) {
	buckettest.Suite(t, plain(func(t *testing.T) *blob.Bucket {
		return blob.PrefixedBucket(openWith(openPlain)(t), "team/backups/")
	}))
}

func TestTenThousandObjectsAreListedInOrder(t *testing.T) {
	stores := map[string]func(t *testing.T) *blob.Bucket{
		"memory": openMemory,
		"folder": openWith(bucket.OpenUnsynced),
	}
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			raw := open(t)
			want := tenThousand(t, raw)
			b := bucket.New(raw, "test://store", bucket.Kind{})
			defer b.Close()
			began := time.Now()
			var got []string
			for obj, err := range b.List(t.Context(), "prod/manifests/") {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, obj.Key)
			}
			t.Logf("listed %d objects in %v", len(got), time.Since(began))
			if !slices.Equal(got, want) {
				t.Errorf("List gave %d keys, want %d in order", len(got), len(want))
			}
		})
	}
}

// tenThousand stores as many manifests, and what must not be listed with them.
func tenThousand(t *testing.T, b *blob.Bucket) []string {
	t.Helper()
	var keys []string
	for i := range 10_000 {
		keys = append(keys, fmt.Sprintf("prod/manifests/20260102T%06dZ-%016x.json", i, i))
	}
	for _, key := range append(slices.Clone(keys), "prod/archives/1", "prod/manifests-2/1", "prod-2/manifests/1", "prod/manifests.txt") {
		if err := b.Upload(t.Context(), key, strings.NewReader(""), &blob.WriterOptions{ContentType: "text/plain"}); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// plain makes buckets without a kind.
func plain(open func(t *testing.T) *blob.Bucket) func(t *testing.T) *bucket.Bucket {
	return func(t *testing.T) *bucket.Bucket {
		t.Helper()
		return bucket.New(open(t), "test://store", bucket.Kind{})
	}
}

func openMemory(*testing.T) *blob.Bucket { return memblob.OpenBucket(nil) }

func openPlain(dir string) (*blob.Bucket, error) {
	return bucket.OpenFile(dir, bucket.FileOptions{})
}

func openWith(open func(dir string) (*blob.Bucket, error)) func(t *testing.T) *blob.Bucket {
	return func(t *testing.T) *blob.Bucket {
		t.Helper()
		b, err := open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}
