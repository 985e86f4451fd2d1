package stores

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/bucket/storetest"
)

// codes are the stores' own names of what they answer.
func codes(scheme string) map[int]string {
	return map[string]map[int]string{
		"s3": {
			400: "ExpiredToken", 401: "Unauthorized", 403: "AccessDenied", 404: "NoSuchBucket", 405: "MethodNotAllowed", 408: "RequestTimeout", 409: "InvalidBucketState", 412: "PreconditionFailed",
			429: "TooManyRequests", 500: "InternalError", 502: "BadGateway", 503: "SlowDown", 504: "GatewayTimeout", 507: "XMinioStorageFull",
		},
		"azblob": {
			400: "InvalidUri", 401: "NoAuthenticationInformation", 403: "AuthorizationFailure", 404: "ContainerNotFound", 408: "RequestTimeout", 409: "LeaseIdMissing", 412: "ConditionNotMet",
			429: "TooManyRequests", 500: "InternalError", 502: "BadGateway", 503: "ServerBusy", 504: "GatewayTimeout", 507: "InsufficientStorage",
		},
		"gs": {},
	}[scheme]
}

// calls are what is asked of a store that holds "there" and not "new".
func (r *road) calls(data []byte) map[string]struct {
	ask  storetest.Ask
	call func() error
} {
	type call = struct {
		ask  storetest.Ask
		call func() error
	}
	return map[string]call{
		"Put": {r.putting("new"), func() error { return put(r.t.Context(), r.b, "new", data) }},
		"read": {r.getting("there"), func() error {
			got, err := read(r.t.Context(), r.b, "there")
			if err == nil && !bytes.Equal(got, data) {
				return fmt.Errorf("%d bytes came, not the %d that are there", len(got), len(data))
			}
			return err
		}},
		"List": {r.listing(), func() error { _, err := keysOf(r.t.Context(), r.b); return err }},
	}
}

// TestAnswersThatPassAreTriedAgain: the first answers are bad, then all is well, or never.
func TestAnswersThatPassAreTriedAgain(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		data := pattern(1000)
		for _, status := range []int{408, 429, 500, 502, 503, 504} {
			for _, name := range []string{"Put", "read", "List"} {
				t.Run(fmt.Sprintf("%d to %s", status, name), func(t *testing.T) {
					r := s.road(t)
					r.there("there", data)
					c := r.calls(data)[name]
					r.lieFirst(c.ask, 4, s.answer(status, codes(s.scheme)[status]))
					if err := c.call(); err != nil {
						t.Errorf("%s = %v, want success", name, err)
					}
					r.wantAsked(c.ask, 5)
					if name == "Put" {
						r.wantObject("new", data)
					}
				})
			}
		}
		s.busyForGood(t)
	})
}

// busyForGood counts: five tries of ours, each of as many as the store's own client makes.
func (s shop) busyForGood(t *testing.T) {
	t.Helper()
	for _, name := range []string{"Put", "read", "List"} {
		t.Run("for good to "+name, func(t *testing.T) {
			r := s.road(t)
			r.there("there", pattern(10))
			c := r.calls(pattern(10))[name]
			r.l.Lie(c.ask, 0, s.answer(503, codes(s.scheme)[503]))
			r.wantUnavailable(name, c.call())
			r.wantAsked(c.ask, 5*s.asks)
			r.wantObjects("there")
		})
	}
}

// TestARefusalIsAskedOnce: who is refused once, or misses a bucket, is told at once.
func TestARefusalIsAskedOnce(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		data := pattern(10)
		for _, status := range []int{400, 401, 403, 404, 405, 409} {
			for _, name := range []string{"Put", "read", "List"} {
				t.Run(fmt.Sprintf("%d to %s", status, name), func(t *testing.T) {
					r := s.road(t)
					r.there("there", data)
					c := r.calls(data)[name]
					r.l.Lie(c.ask, 0, s.answer(status, codes(s.scheme)[status]))
					r.wantUnavailable(name, c.call())
					r.wantAsked(c.ask, 1)
					r.wantObjects("there")
				})
			}
		}
	})
}

// TestAStoreThatTakesNothingIsToldFromOthers: full, or not ours to write to.
func TestAStoreThatTakesNothingIsToldFromOthers(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		for status, want := range map[int]bool{403: true, 507: true, 400: false, 401: false, 404: false, 500: false} {
			r := s.road(t)
			c := r.calls(pattern(10))["Put"]
			r.l.Lie(c.ask, 0, s.answer(status, codes(s.scheme)[status]))
			if err := c.call(); r.b.Refuses(err) != want {
				t.Errorf("%d: Refuses(%v) = %t, want %t", status, err, !want, want)
			}
		}
	})
}

// TestATakenNameIsToldApart: by a 412, and by Azure's 409, and as the store says it itself.
func TestATakenNameIsToldApart(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		taken := map[string]storetest.Lie{"412": s.answer(412, codes(s.scheme)[412]), "itself": {}}
		if s.scheme == "azblob" {
			taken["409"] = s.answer(409, "BlobAlreadyExists")
		}
		for name, lie := range taken {
			for size, data := range map[string][]byte{"small": pattern(10), "in parts": pattern(parted)} {
				t.Run(name+" "+size, func(t *testing.T) {
					r := s.road(t)
					r.there("new", []byte("another's"))
					if name != "itself" {
						r.l.Lie(r.putting("new"), 0, lie)
						if s.scheme == "s3" {
							r.l.Lie(storetest.Ask{Method: "POST", URI: "uploadId="}, 0, lie)
						}
					}
					if err := put(t.Context(), r.b, "new", data); !errors.Is(err, bucket.ErrExists) {
						t.Errorf("Put = %v, want %v", err, bucket.ErrExists)
					}
					r.wantObject("new", []byte("another's"))
				})
			}
		}
	})
}

// TestAConflictOfConditionsIsTriedAgain: S3 says so when two creates meet.
func TestAConflictOfConditionsIsTriedAgain(t *testing.T) {
	eachS3(t, func(t *testing.T, s shop) {
		for size, n := range map[string]int{"small": 10, "in parts": parted} {
			t.Run(size, func(t *testing.T) {
				r := s.road(t)
				ask := r.putting("new")
				if n == parted {
					ask = storetest.Ask{Method: "POST", URI: "uploadId="}
				}
				r.lieFirst(ask, 3, s.answer(409, "ConditionalRequestConflict"))
				if err := put(t.Context(), r.b, "new", pattern(n)); err != nil {
					t.Errorf("Put = %v, want success", err)
				}
				r.wantAsked(ask, 4)
				r.wantObject("new", pattern(n))
			})
		}
	})
}
