package storetest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestToxiBreaksTheRoadToS3(t *testing.T) {
	eachS3(t, func(t *testing.T, s S3) {
		p, real, bucket := Toxi(t, s.Endpoint), s.Client(), s.Bucket(t, Plain)
		c := s.Through(p.Endpoint).Client()
		large := strings.Repeat("0123456789", 100_000)
		mustPutS3(t, c, bucket, "key", large)
		get := func(wait time.Duration) (int, time.Duration, error) {
			ctx, stop := context.WithTimeout(t.Context(), wait)
			defer stop()
			began := time.Now()
			got, err := getS3(ctx, c, bucket, "key")
			return len(got), time.Since(began), err
		}
		heal := func(t *testing.T) {
			t.Helper()
			p.Heal(t)
			if n, _, err := get(time.Minute); n != len(large) || err != nil {
				t.Errorf("after Heal: %d bytes, %v", n, err)
			}
		}

		t.Run("latency", func(t *testing.T) {
			p.Latency(t, 200*time.Millisecond)
			if _, took, err := get(time.Minute); took < 200*time.Millisecond || err != nil {
				t.Errorf("get took %v, %v", took, err)
			}
			heal(t)
		})
		t.Run("bandwidth", func(t *testing.T) {
			p.Bandwidth(t, Down, 4000)
			if _, took, err := get(time.Minute); took < 200*time.Millisecond || err != nil {
				t.Errorf("a megabyte at 4 MB/s took %v, %v", took, err)
			}
			heal(t)
		})
		t.Run("an end", func(t *testing.T) {
			p.End(t, Down, 300_000)
			if n, _, err := get(time.Minute); n > 300_000 || n < 290_000 || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("get: %d bytes, %v", n, err)
			}
			heal(t)
		})
		t.Run("a reset", func(t *testing.T) {
			p.Reset(t, Down, 300_000)
			if n, _, err := get(time.Minute); n > 300_000 || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("get: %d bytes, %v", n, err)
			}
			heal(t)
		})
		t.Run("a reset of an upload", func(t *testing.T) {
			p.Reset(t, Up, 300_000)
			if _, err := putS3(t.Context(), c, bucket, "broken", large); err == nil {
				t.Error("put: no error")
			}
			heal(t)
			if got := listS3(t, real, bucket); slices.Contains(got, "broken") {
				t.Errorf("half an upload became an object: %q", got)
			}
		})
		t.Run("lost answers", func(t *testing.T) {
			p.LoseAnswers(t, 500*time.Millisecond)
			if _, err := putS3(t.Context(), c, bucket, "lost", "data"); err == nil || status(err) != 0 {
				t.Errorf("put: %v, want no answer", err)
			}
			if got := listS3(t, real, bucket); !slices.Contains(got, "lost") {
				t.Errorf("the store did not hear of it: %q", got)
			}
			heal(t)
		})
		t.Run("silence", func(t *testing.T) {
			p.Silence(t, 0)
			if n, _, err := get(200 * time.Millisecond); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("get: %d bytes, %v", n, err)
			}
			heal(t)
		})
		t.Run("refusal", func(t *testing.T) {
			p.Refuse(t)
			if n, _, err := get(time.Minute); n != 0 || !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("get: %d bytes, %v", n, err)
			}
			heal(t)
		})
	})
}

func TestToxiStandsBeforeFakeGCSAndAzurite(t *testing.T) {
	t.Parallel()
	g, a := FakeGCS(t), Azurite(t)
	p, q := Toxi(t, g.Endpoint), Toxi(t, a.Endpoint)
	o := g.Through(p.Endpoint).Client(t).Bucket(g.Bucket(t)).Object("key")
	c, container := a.Through(q.Endpoint).Client(t), a.Container(t)
	put := func() error {
		return errors.Join(putGCS(t.Context(), o, "data"), putAzure(t.Context(), c, container, "key", "data"))
	}
	if err := put(); err != nil {
		t.Errorf("put: %v", err)
	}
	// A connection that was kept may end in more than one way.
	p.Refuse(t)
	if err := putGCS(t.Context(), o, "data"); err == nil {
		t.Error("fake-gcs-server was asked through a proxy that refuses")
	}
	q.Refuse(t)
	if err := putAzure(t.Context(), c, container, "key", "data"); err == nil {
		t.Error("Azurite was asked through a proxy that refuses")
	}
	p.Heal(t)
	q.Heal(t)
	if err := put(); err != nil {
		t.Errorf("put after Heal: %v", err)
	}
}
