package storetest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// A lied is a store behind a proxy that has not lied yet, with one object in it.
type lied struct {
	l      *LyingProxy
	c      *s3.Client // through the proxy
	real   *s3.Client // past it
	bucket string
}

const object = "0123456789abcdef"

func newLied(t *testing.T, s S3) lied {
	t.Helper()
	l := Liar(t, s.Endpoint)
	f := lied{l: l, c: s.Through(l.Endpoint).Client(), real: s.Client(), bucket: s.Bucket(t, Plain)}
	mustPutS3(t, f.real, f.bucket, "key", object)
	return f
}

// has says whether the store itself has a key.
func (f lied) has(t *testing.T, key string) bool {
	t.Helper()
	return slices.Contains(listS3(t, f.real, f.bucket), key)
}

func TestLiarPassesAllOn(t *testing.T) {
	eachS3(t, func(t *testing.T, s S3) {
		f := newLied(t, s)
		large := strings.Repeat("0123456789abcdef", 1<<20)
		mustPutS3(t, f.c, f.bucket, "large", large)
		if got, err := getS3(t.Context(), f.c, f.bucket, "large"); got != large || err != nil {
			t.Errorf("get: %d bytes, %v", len(got), err)
		}
		if err := f.multipart(t, "parts"); err != nil {
			t.Errorf("upload in parts: %v", err)
		}
		if got := listS3(t, f.c, f.bucket); !slices.Equal(got, []string{"key", "large", "parts"}) {
			t.Errorf("listed %q", got)
		}
		if got := f.l.Hosts(); !slices.Equal(got, []string{host(f.l.Endpoint)}) {
			t.Errorf("clients asked for %q", got)
		}
		want := []Request{{"PUT", host(f.l.Endpoint), "/" + f.bucket + "/large?x-id=PutObject"}}
		if got := f.l.Requests(Ask{"PUT", "/large"}); !slices.Equal(got, want) {
			t.Errorf("requests %q, want %q", got, want)
		}
	})
}

// multipart uploads one part.
func (f lied) multipart(t *testing.T, key string) error {
	t.Helper()
	up, err := f.c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &f.bucket, Key: &key})
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	part, err := f.c.UploadPart(t.Context(), &s3.UploadPartInput{
		Bucket: &f.bucket, Key: &key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader(object),
	})
	if err != nil {
		t.Fatalf("part: %v", err)
	}
	_, err = f.c.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
		Bucket: &f.bucket, Key: &key, UploadId: up.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{
			ETag: part.ETag, PartNumber: aws.Int32(1), ChecksumCRC32: part.ChecksumCRC32,
		}}},
	})
	return err
}

func TestEachLieIsSeen(t *testing.T) {
	eachS3(t, func(t *testing.T, s S3) {
		for name, test := range map[string]struct {
			ask  Ask
			lie  Lie
			want func(t *testing.T, f lied)
		}{
			"a status": {Ask{"PUT", "/new"}, Answer(503, S3Error("SlowDown")), wantSlowDown},
			"a success that stored nothing": {Ask{"PUT", "/new"}, Answer(200, ""), func(t *testing.T, f lied) {
				mustPutS3(t, f.c, f.bucket, "new", object)
				if f.has(t, "new") {
					t.Error("it was stored after all")
				}
			}},
			"an answer that is lost": {Ask{"PUT", "/new"}, LoseAnswer(), func(t *testing.T, f lied) {
				if _, err := putS3(t.Context(), f.c, f.bucket, "new", object); err == nil || status(err) != 0 {
					t.Errorf("put: %v, want a broken connection", err)
				}
				if !f.has(t, "new") {
					t.Error("it was not stored")
				}
			}},
			"a body that breaks off": {Ask{"GET", "/key"}, Break(7), func(t *testing.T, f lied) {
				if got, err := getS3(t.Context(), f.c, f.bucket, "key"); got != object[:7] || !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("get: %q, %v", got, err)
				}
			}},
			"a body that is short": {Ask{"GET", "/key"}, Shorten(7), func(t *testing.T, f lied) {
				if got, err := getS3(t.Context(), f.c, f.bucket, "key"); got != object[:7] || err != nil {
					t.Errorf("get: %q, %v", got, err)
				}
			}},
			"a bit that flips": {Ask{"GET", "/key"}, Flip(4), func(t *testing.T, f lied) {
				if got, err := getS3(t.Context(), f.c, f.bucket, "key"); got != "0123556789abcdef" || err != nil {
					t.Errorf("get: %q, %v", got, err)
				}
			}},
			"a listing with less": {Ask{"GET", "list-type=2"}, Hide("key"), func(t *testing.T, f lied) {
				mustPutS3(t, f.c, f.bucket, "other", object)
				if got := listS3(t, f.c, f.bucket); !slices.Equal(got, []string{"other"}) {
					t.Errorf("listed %q", got)
				}
			}},
			"an error within success": {Ask{"POST", "uploadId="}, Answer(200, S3Error("InternalError")), func(t *testing.T, f lied) {
				if err := f.multipart(t, "new"); err == nil || !strings.Contains(err.Error(), "InternalError") {
					t.Errorf("complete: %v", err)
				}
				if f.has(t, "new") {
					t.Error("it was stored after all")
				}
			}},
			"another region": {Ask{"GET", "/key"}, Redirect(301, "http://127.0.0.1:1", "eu-central-1"), wantRedirect},
			"a stall": {Ask{"GET", "/key"}, Stall(), func(t *testing.T, f lied) {
				ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer stop()
				if got, err := getS3(ctx, f.c, f.bucket, "key"); got != "" || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("get: %q, %v", got, err)
				}
			}},
			"a stall within a body": {Ask{"GET", "/key"}, StallAfter(7), func(t *testing.T, f lied) {
				ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer stop()
				if got, err := getS3(ctx, f.c, f.bucket, "key"); got != object[:7] || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("get: %q, %v", got, err)
				}
			}},
			"a slow drip": {Ask{"GET", "/key"}, Drip(10 * time.Millisecond), func(t *testing.T, f lied) {
				began := time.Now()
				got, err := getS3(t.Context(), f.c, f.bucket, "key")
				if took := time.Since(began); got != object || err != nil || took < 160*time.Millisecond {
					t.Errorf("get: %q, %v after %v", got, err, took)
				}
			}},
		} {
			t.Run(name, func(t *testing.T) {
				f := newLied(t, s)
				f.l.Lie(test.ask, 1, test.lie)
				test.want(t, f)
				if got, err := getS3(t.Context(), f.c, f.bucket, "key"); got != object || err != nil {
					t.Errorf("after the lie: %q, %v", got, err)
				}
			})
		}
	})
}

func wantSlowDown(t *testing.T, f lied) {
	_, err := putS3(t.Context(), f.c, f.bucket, "new", object)
	if status(err) != http.StatusServiceUnavailable || !strings.Contains(err.Error(), "SlowDown") {
		t.Errorf("put: %v", err)
	}
	if f.has(t, "new") {
		t.Error("it was stored after all")
	}
}

func wantRedirect(t *testing.T, f lied) {
	_, err := getS3(t.Context(), f.c, f.bucket, "key")
	if status(err) != http.StatusMovedPermanently || !strings.Contains(err.Error(), "PermanentRedirect") {
		t.Errorf("get: %v", err)
	}
}

func TestALieIsToldWhenItIsDue(t *testing.T) {
	t.Parallel()
	f := newLied(t, Versitygw(t))
	get := func() int {
		_, err := getS3(t.Context(), f.c, f.bucket, "key")
		return status(err)
	}
	f.l.Lie(Ask{"GET", "/key"}, 2, Answer(503, ""))
	f.l.Lie(Ask{"PUT", ""}, 0, Answer(500, ""))
	for i, want := range []int{0, 503, 0} {
		if got := get(); got != want {
			t.Errorf("get %d ended with status %d, want %d", i+1, got, want)
		}
	}
	f.l.Lie(Ask{}, 0, Answer(403, ""))
	f.l.Lie(Ask{}, 0, Answer(404, ""))
	for range 2 {
		if got := get(); got != 403 {
			t.Errorf("status %d, want that of the first lie", got)
		}
	}
	f.l.Honest()
	if got := get(); got != 0 {
		t.Errorf("status %d after the lies", got)
	}
	if got := f.l.Requests(Ask{}); len(got) != 6 {
		t.Errorf("noted %d requests, want 6: %v", len(got), got)
	}
}

func TestARedirectLeadsAClientThatFollows(t *testing.T) {
	t.Parallel()
	s := Versitygw(t)
	here, there := Liar(t, s.Endpoint), Liar(t, s.Endpoint)
	here.Lie(Ask{}, 0, Redirect(307, there.Endpoint, "eu-central-1"))
	resp, err := httpClient(t).Get(here.Endpoint + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := there.Hosts(); resp.StatusCode != http.StatusOK || !slices.Equal(got, []string{host(there.Endpoint)}) {
		t.Errorf("status %d; the other was asked as %q", resp.StatusCode, got)
	}
}

func TestLiarStandsBeforeFakeGCS(t *testing.T) {
	t.Parallel()
	g := FakeGCS(t)
	l := Liar(t, g.Endpoint)
	b := g.Through(l.Endpoint).Client(t).Bucket(g.Bucket(t))
	large := strings.Repeat("x", 20<<20) // takes more than one request
	for name, data := range map[string]string{"a/1": "one", "a/2": large} {
		if err := putGCS(t.Context(), b.Object(name), data); err != nil {
			t.Fatalf("put %q: %v", name, err)
		}
	}
	if got := l.Requests(Ask{"POST", "upload_id="}); len(got) < 2 {
		t.Errorf("the parts of an upload went past the proxy: %v", l.Requests(Ask{}))
	}
	l.Lie(Ask{"GET", "/o?"}, 0, Hide("a/2"))
	if got := listGCS(t, b); !slices.Equal(got, []string{"a/1"}) {
		t.Errorf("listed %q", got)
	}
	l.Lie(Ask{"GET", "alt=media"}, 0, Shorten(2))
	if got, err := getGCS(t.Context(), b.Object("a/1")); got == "one" {
		t.Errorf("get: %q, %v", got, err)
	}
}

func TestLiarStandsBeforeAzurite(t *testing.T) {
	t.Parallel()
	a := Azurite(t)
	l := Liar(t, a.Endpoint)
	c, container := a.Through(l.Endpoint).Client(t), a.Container(t)
	for _, name := range []string{"a/1", "a/2"} {
		if err := putAzure(t.Context(), c, container, name, "data"); err != nil {
			t.Fatalf("put %q: %v", name, err)
		}
	}
	l.Lie(Ask{"GET", "comp=list"}, 0, Hide("a/2"))
	if got := listAzure(t, c, container); !slices.Equal(got, []string{"a/1"}) {
		t.Errorf("listed %q", got)
	}
	l.Lie(Ask{"GET", "/a/1"}, 0, Flip(0))
	if got, err := getAzure(t.Context(), c, container, "a/1"); got != "eata" || err != nil {
		t.Errorf("get: %q, %v", got, err)
	}
}

func TestLiarTLSIsKnownByItsOwnCA(t *testing.T) {
	s := Versitygw(t)
	l, ca := LiarTLS(t, s.Endpoint)
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	for name, test := range map[string]struct {
		roots *x509.CertPool
		want  bool
	}{"its own": {pool, true}, "another": {x509.NewCertPool(), false}} {
		client := httpClient(t)
		client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: test.roots, MinVersion: tls.VersionTLS12}
		resp, err := client.Get(l.Endpoint + "/healthz")
		if (err == nil) != test.want {
			t.Errorf("by %s CA: %v", name, err)
		}
		if err == nil {
			resp.Body.Close()
		}
	}
}

func TestALieByAHeader(t *testing.T) {
	s := Versitygw(t)
	f := newLied(t, s)
	f.l.LieWhen(func(r *http.Request) bool { return r.Header.Get("X-Amz-Meta-A") != "" }, 0, Answer(501, S3Error("NotImplemented")))
	mustPutS3(t, f.c, f.bucket, "plain", object)
	in := &s3.PutObjectInput{Bucket: &f.bucket, Key: aws.String("marked"), Metadata: map[string]string{"a": "b"}}
	if _, err := f.c.PutObject(t.Context(), in); status(err) != 501 {
		t.Errorf("put with the header = %v, want 501", err)
	}
}
