package stores

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/bucket/storetest"
)

// A shop is a real store, and what a test must know of it to lie in its name.
type shop struct {
	scheme   string
	endpoint string
	secrets  []string                           // what no error may tell
	fresh    func(t *testing.T) string          // makes a bucket
	url      func(endpoint, name string) string // is our URL of a bucket
	asks     int                                // how often its own client asks before a call of ours fails
	s3       storetest.S3                       // where it speaks S3
	patience time.Duration                      // with a store that is silent
}

func shops() map[string]func(t *testing.T) shop {
	return map[string]func(t *testing.T) shop{
		"versitygw":       func(t *testing.T) shop { return s3Shop(t, storetest.Versitygw(t)) },
		"MinIO":           func(t *testing.T) shop { return s3Shop(t, storetest.MinIO(t).S3) },
		"fake-gcs-server": gcsShop,
		"Azurite":         azureShop,
	}
}

// eachShop runs a test on each real store, which is started once.
func eachShop(t *testing.T, test func(t *testing.T, s shop)) {
	t.Helper()
	for name, start := range shops() {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.patience = 5 * time.Second
			test(t, s)
		})
	}
}

// eachS3 is eachShop for the two that speak S3.
func eachS3(t *testing.T, test func(t *testing.T, s shop)) {
	t.Helper()
	for _, name := range []string{"versitygw", "MinIO"} {
		t.Run(name, func(t *testing.T) {
			s := shops()[name](t)
			s.patience = 5 * time.Second
			test(t, s)
		})
	}
}

func s3Shop(t *testing.T, s storetest.S3) shop {
	setenv(t, s.Env())
	return shop{
		scheme: "s3", endpoint: s.Endpoint, secrets: []string{s.SecretKey}, asks: 3, s3: s,
		fresh: func(t *testing.T) string { return s.Bucket(t, storetest.Plain) },
		url:   func(endpoint, name string) string { return s3URL(s.Through(endpoint), name) },
	}
}

func gcsShop(t *testing.T) shop {
	s := storetest.FakeGCS(t)
	return shop{
		scheme: "gs", endpoint: s.Endpoint, asks: 1,
		fresh: func(t *testing.T) string { return s.Bucket(t) },
		url: func(endpoint, name string) string {
			return "gs://" + name + "?endpoint=" + endpoint + "&anonymous=true"
		},
	}
}

func azureShop(t *testing.T) shop {
	s := storetest.Azurite(t)
	setenv(t, s.Env())
	return shop{
		scheme: "azblob", endpoint: s.Endpoint, secrets: []string{s.Key}, asks: 3,
		fresh: func(t *testing.T) string { return s.Container(t) },
		url: func(endpoint, name string) string {
			return "azblob://" + name + "?endpoint=" + endpoint + "/" + s.Account
		},
	}
}

// A road leads to a bucket of its own through a proxy that lies where told to.
type road struct {
	shop
	t    *testing.T
	l    *storetest.LyingProxy
	name string         // of the bucket
	b    *bucket.Bucket // through the proxy
	real *bucket.Bucket // past it
}

func (s shop) road(t *testing.T, params ...string) *road {
	t.Helper()
	l := storetest.Liar(t, s.endpoint)
	name := s.fresh(t)
	return &road{
		shop: s, t: t, l: l, name: name,
		b:    s.hurried(t, strings.Join(append([]string{s.url(l.Endpoint, name)}, params...), "&"), nil),
		real: s.hurried(t, s.url(s.endpoint, name), nil),
	}
}

// hurried opens a store whose pauses are short.
func (s shop) hurried(t *testing.T, url string, about func(*bucket.Kind)) *bucket.Bucket {
	t.Helper()
	b, err := open(t.Context(), url, os.Getenv, pace{pause: 2 * time.Millisecond, about: func(k *bucket.Kind) {
		k.Pause, k.Stall = time.Millisecond, s.patience
		if about != nil {
			about(k)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// parted is the size of an object that each store gets in three parts; S3's gets none in two.
const parted = 16<<20 + 1

// putting, getting and listing are the requests that do so. Google's names no key where it puts.
func (r *road) putting(key string) storetest.Ask {
	if r.scheme == "gs" {
		return storetest.Ask{Method: "POST", URI: "uploadType="}
	}
	return storetest.Ask{Method: "PUT", URI: "/" + r.name + "/" + key}
}

func (r *road) getting(key string) storetest.Ask {
	return storetest.Ask{Method: "GET", URI: "/" + r.name + "/" + key}
}

func (r *road) listing() storetest.Ask {
	return storetest.Ask{Method: "GET", URI: map[string]string{"s3": "list-type=2", "gs": "/" + r.name + "/o?", "azblob": "comp=list"}[r.scheme]}
}

// lieFirst changes the answers to the first n requests.
func (r *road) lieFirst(ask storetest.Ask, n int, lie storetest.Lie) {
	for i := range n {
		r.l.Lie(ask, i+1, lie)
	}
}

// answer is what the store says with a status, by its own name for it.
func (s shop) answer(status int, code string) storetest.Lie {
	if s.scheme == "gs" {
		return storetest.Answer(status, fmt.Sprintf(`{"error":{"code":%d,"message":"a lie","errors":[{"reason":%q}]}}`, status, code))
	}
	return storetest.Answer(status, storetest.S3Error(code))
}

// stored says that an object was stored, and nothing is.
func (s shop) stored() storetest.Lie {
	switch s.scheme {
	case "gs":
		return storetest.Answer(200, `{"kind":"storage#object","name":"x","bucket":"x","size":"1"}`)
	case "azblob":
		return storetest.Answer(201, "")
	}
	return storetest.Answer(200, "")
}

// wantUnavailable is the end of every case that fails: the store's fault, and no secret in it.
func (r *road) wantUnavailable(what string, err error) {
	r.t.Helper()
	if !errors.Is(err, bucket.ErrUnavailable) || errors.Is(err, bucket.ErrNotExist) || errors.Is(err, bucket.ErrExists) {
		r.t.Errorf("%s = %v, want %v", what, err, bucket.ErrUnavailable)
	}
	wantNoSecret(r.t, err, r.secrets)
}

func wantNoSecret(t *testing.T, err error, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("a secret stands in %q", err)
		}
	}
}

// wantAsked compares how often the store was asked.
func (r *road) wantAsked(ask storetest.Ask, want int) {
	r.t.Helper()
	if got := r.l.Requests(ask); len(got) != want {
		r.t.Errorf("asked %d times for %v, want %d: %v", len(got), ask, want, got)
	}
}

// wantObjects compares what the store itself lists.
func (r *road) wantObjects(want ...string) {
	r.t.Helper()
	if got, err := keysOf(r.t.Context(), r.real); !slices.Equal(got, want) || err != nil {
		r.t.Errorf("the store lists %q, %v, want %q", got, err, want)
	}
}

// wantObject compares an object in the store itself.
func (r *road) wantObject(key string, want []byte) {
	r.t.Helper()
	got, err := read(r.t.Context(), r.real, key)
	if err != nil || !bytes.Equal(got, want) {
		r.t.Errorf("the store holds %d bytes under %q, %v, want %d", len(got), key, err, len(want))
	}
}

// there stores an object past the proxy.
func (r *road) there(key string, data []byte) {
	r.t.Helper()
	if err := put(r.t.Context(), r.real, key, data); err != nil {
		r.t.Fatal(err)
	}
}

func put(ctx context.Context, b *bucket.Bucket, key string, data []byte) error {
	return b.Put(ctx, key, bytes.NewReader(data), int64(len(data)), false)
}

func read(ctx context.Context, b *bucket.Bucket, key string) ([]byte, error) {
	r, _, err := b.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func keysOf(ctx context.Context, b *bucket.Bucket) (keys []string, err error) {
	for obj, err := range b.List(ctx, "") {
		if err != nil {
			return keys, err
		}
		keys = append(keys, obj.Key)
	}
	return keys, nil
}

// pattern is n bytes, no two pieces of which are alike.
func pattern(n int) []byte {
	data := make([]byte, n)
	x := uint32(1)
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	return data
}
