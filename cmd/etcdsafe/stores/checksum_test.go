package stores

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/etcdsafe/etcdsafe/storage/bucket/storetest"
)

// carries says whether a request brings an object's bytes.
func carries(r *http.Request) bool {
	return r.Method == http.MethodPut && (strings.Contains(r.RequestURI, "x-id=PutObject") || strings.Contains(r.RequestURI, "x-id=UploadPart"))
}

// trails says whether it brings them as some stores refuse them, and others store them.
func trails(r *http.Request) bool {
	return r.Header.Get("X-Amz-Trailer") != "" || strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked") ||
		strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") && r.Header.Get("X-Amz-Decoded-Content-Length") != ""
}

// summed says whether it has a checksum in a header.
func summed(r *http.Request) bool {
	for _, s := range sums() {
		if s.header != "" && r.Header.Get(s.header) != "" {
			return true
		}
	}
	return false
}

// TestUploadsSendNoTrailers in any mode: the store refuses them, and yet all is stored.
func TestUploadsSendNoTrailers(t *testing.T) {
	eachS3(t, func(t *testing.T, s shop) {
		for _, mode := range append(order(), "auto") {
			r := s.road(t, "checksum="+mode)
			r.l.LieWhen(trails, 0, storetest.Answer(501, storetest.S3Error("NotImplemented")))
			for key, n := range map[string]int{"small": 10, "parts": parted} {
				if err := put(t.Context(), r.b, key, pattern(n)); err != nil {
					t.Errorf("checksum=%s: Put of %s = %v", mode, key, err)
				}
				r.wantObject(key, pattern(n))
			}
			r.wantObjects("parts", "small")
			if notes := r.b.Notes(); len(notes) > 0 {
				t.Errorf("checksum=%s: notes %q, want none", mode, notes)
			}
		}
	})
}

// TestEachChecksumIsSentAndKept: in a header of each request that brings bytes, and the store
// verifies it and says so, where it keeps one.
func TestEachChecksumIsSentAndKept(t *testing.T) {
	eachS3(t, func(t *testing.T, s shop) {
		for mode, sum := range sums() {
			r := s.road(t, "checksum="+mode)
			with, without := 0, 0
			r.l.LieWhen(func(req *http.Request) bool {
				switch {
				case !carries(req):
				case sum.header != "" && req.Header.Get(sum.header) != "":
					with++
				default:
					without++
				}
				return false
			}, 0, storetest.Lie{})
			for key, n := range map[string]int{"small": 1000, "parts": parted} {
				if err := put(t.Context(), r.b, key, pattern(n)); err != nil {
					t.Errorf("checksum=%s: Put of %s = %v", mode, key, err)
				}
				r.wantObject(key, pattern(n))
				head, err := s.s3.Client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &r.name, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
				if err != nil {
					t.Fatal(err)
				}
				kept := map[string]*string{"sha256": head.ChecksumSHA256, "crc32": head.ChecksumCRC32}
				if got, keeps := kept[mode]; keeps && aws.ToString(got) == "" {
					t.Errorf("checksum=%s: the store keeps none for %s", mode, key)
				}
			}
			if mode == "none" {
				with, without = without, with
			}
			if with != 4 || without != 0 {
				t.Errorf("checksum=%s: %d requests as wanted and %d not, want 4 and 0", mode, with, without)
			}
		}
	})
}

// TestAWrongChecksumIsRefusedByTheStore: it is no decoration.
func TestAWrongChecksumIsRefusedByTheStore(t *testing.T) {
	eachS3(t, func(t *testing.T, s shop) {
		for mode, sum := range sums() {
			if mode == "none" {
				continue
			}
			r := s.road(t, "checksum="+mode)
			r.l.LieWhen(func(req *http.Request) bool { // a header is not signed over the body: exchange it on the way
				if carries(req) {
					req.Header.Set(sum.header, base64.StdEncoding.EncodeToString(sum.hash().Sum(nil)))
				}
				return false
			}, 0, storetest.Lie{})
			r.wantUnavailable("Put with a wrong "+mode, put(t.Context(), r.b, "new", pattern(10)))
			r.wantObjects()
		}
	})
}

// TestAutoSettlesWhereAChecksumIsDemanded: on buckets with object lock, by the real store, and by a
// proxy that asks as AWS does until a header comes.
func TestAutoSettlesWhereAChecksumIsDemanded(t *testing.T) {
	eachS3(t, func(t *testing.T, s shop) {
		for kind, lock := range map[string]storetest.Kind{"lockable": storetest.Lockable, "locked": storetest.Locked} {
			for _, demand := range []bool{false, true} {
				name := s.s3.Bucket(t, lock)
				s := s
				s.fresh = func(*testing.T) string { return name }
				r := s.road(t, "retain=1h")
				if demand {
					r.l.LieWhen(func(req *http.Request) bool { return carries(req) && !summed(req) }, 0,
						storetest.Answer(400, storetest.S3Error("InvalidRequest")))
				}
				for key, n := range map[string]int{"small": 10, "parts": parted} {
					if err := r.b.Put(t.Context(), key, bytes.NewReader(pattern(n)), int64(n), true); err != nil {
						t.Errorf("%s: Put of %s = %v", kind, key, err)
					}
					r.wantObject(key, pattern(n))
				}
				notes := r.b.Notes()
				t.Logf("%s, demanded by the proxy %v: %q", kind, demand, notes)
				if demand && (len(notes) != 1 || !strings.Contains(notes[0], "sha256")) {
					t.Errorf("%s: notes %q, want that it settled on sha256", kind, notes)
				}
			}
		}
	})
}

// TestAutoThatFindsNothingSaysSo by the first refusal, and looks again the next time.
func TestAutoThatFindsNothingSaysSo(t *testing.T) {
	s := shops()["versitygw"](t)
	r := s.road(t)
	r.l.LieWhen(carries, 0, storetest.Answer(400, storetest.S3Error("InvalidRequest")))
	r.wantUnavailable("Put", put(t.Context(), r.b, "new", pattern(10)))
	if notes := r.b.Notes(); len(notes) > 0 {
		t.Errorf("notes %q, want none", notes)
	}
	r.l.Honest()
	r.l.LieWhen(func(req *http.Request) bool { return carries(req) && !summed(req) }, 0, storetest.Answer(400, storetest.S3Error("InvalidRequest")))
	if err := put(t.Context(), r.b, "new", pattern(10)); err != nil || !slices.ContainsFunc(r.b.Notes(), func(n string) bool { return strings.Contains(n, "sha256") }) {
		t.Errorf("Put = %v with notes %q, want it settled on sha256", err, r.b.Notes())
	}
}
