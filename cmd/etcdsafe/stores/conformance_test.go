package stores

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/bucket/buckettest"
	"github.com/etcdsafe/etcdsafe/storage/bucket/storetest"
)

// TestRealStoresKeepTheSuite opens each as its users do: by a URL, and credentials in the
// environment. Each test of the suite has a prefix of its own, beside one that begins like it.
func TestRealStoresKeepTheSuite(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) string{
		"versitygw":       versitygw,
		"MinIO":           minio,
		"fake-gcs-server": fakeGCS,
		"Azurite":         azurite,
		"folder":          func(t *testing.T) string { return "file://" + t.TempDir() },
	} {
		t.Run(name, func(t *testing.T) {
			url := start(t)
			var n atomic.Int64
			buckettest.Suite(t, func(t *testing.T) *bucket.Bucket {
				if strings.HasPrefix(url, "file:") {
					return mustOpen(t, "file://"+t.TempDir())
				}
				return mustOpen(t, prefixed(url, fmt.Sprintf("team/p%d", n.Add(1))))
			})
		})
	}
}

// prefixed adds a prefix to a URL that has none.
func prefixed(url, prefix string) string { return strings.Replace(url, "?", "/"+prefix+"?", 1) }

func mustOpen(t *testing.T, url string) *bucket.Bucket {
	t.Helper()
	b, err := Open(t.Context(), url, os.Getenv, 1)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func setenv(t *testing.T, env []string) {
	t.Helper()
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
}

func versitygw(t *testing.T) string { return s3Store(t, storetest.Versitygw(t)) }

func minio(t *testing.T) string { return s3Store(t, storetest.MinIO(t).S3) }

// s3Store is our URL of a new bucket.
func s3Store(t *testing.T, s storetest.S3) string {
	t.Helper()
	setenv(t, s.Env())
	return s3URL(s, s.Bucket(t, storetest.Plain))
}

func s3URL(s storetest.S3, name string) string {
	return "s3://" + name + "?endpoint=" + s.Endpoint + "&path_style=true"
}

func fakeGCS(t *testing.T) string {
	s := storetest.FakeGCS(t)
	return "gs://" + s.Bucket(t) + "?endpoint=" + s.Endpoint + "&anonymous=true"
}

func azurite(t *testing.T) string {
	s := storetest.Azurite(t)
	setenv(t, s.Env())
	return "azblob://" + s.Container(t) + "?endpoint=" + s.Endpoint + "/" + s.Account
}
