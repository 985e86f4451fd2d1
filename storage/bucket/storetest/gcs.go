package storetest

import (
	"net"
	"testing"

	"cloud.google.com/go/storage"
	"google.golang.org/api/option"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// A GCS is what a client needs to know of a store that speaks Google's JSON API. It asks for
// no login, and holds its objects in memory.
type GCS struct {
	Endpoint string // http://host:port
}

// FakeGCS runs fake-gcs-server.
func FakeGCS(t testing.TB) GCS {
	t.Helper()
	addr := freeAddr(t)
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	start(t, "fake-gcs-server", addr, "/_internal/healthcheck", []string{
		child.Tool(t, "fakegcs", "fake-gcs-server"), "-scheme", "http", "-backend", "memory",
		"-host", ip, "-port", port,
		"-public-host", ip, // it answers to no other name, and without a port also to Toxi's and Liar's
	}, nil)
	return GCS{Endpoint: "http://" + addr}
}

// Through is the same store by another endpoint, such as that of Toxi or Liar. The address
// for an upload in parts, which the store names, is then by that endpoint too.
func (g GCS) Through(endpoint string) GCS {
	g.Endpoint = endpoint
	return g
}

// URL is how gocloud opens a bucket, given Env.
func (g GCS) URL(bucket string) string { return "gs://" + bucket + "?anonymous=true" }

// Env is the environment of a client's process.
func (g GCS) Env() []string { return []string{"STORAGE_EMULATOR_HOST=" + host(g.Endpoint)} }

// Client is the bare SDK, which here tries once.
func (g GCS) Client(t testing.TB) *storage.Client {
	t.Helper()
	c, err := storage.NewClient(t.Context(), option.WithEndpoint(g.Endpoint+"/storage/v1/"),
		option.WithHTTPClient(httpClient(t)), storage.WithJSONReads())
	if err != nil {
		t.Fatalf("client: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	c.SetRetry(storage.WithPolicy(storage.RetryNever))
	return c
}

// Bucket makes a bucket with a name of its own.
func (g GCS) Bucket(t testing.TB) string {
	t.Helper()
	name := randomName("test")
	if err := g.Client(t).Bucket(name).Create(t.Context(), "storetest", nil); err != nil {
		t.Fatalf("make bucket %q: %v", name, err)
	}
	return name
}
