package stores

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/etcdsafe/etcdsafe/storage/bucket/storetest"
)

// later is a request in the middle of an upload in parts.
func (r *road) later() (ask storetest.Ask, nth int) {
	switch r.scheme {
	case "s3":
		return storetest.Ask{Method: "PUT", URI: "partNumber=2"}, 1
	case "gs":
		return storetest.Ask{Method: "POST", URI: "upload_id="}, 2
	}
	return storetest.Ask{Method: "PUT", URI: "blockid="}, 2
}

// TestATokenThatExpiresInMidUploadEndsIt: it is final, nothing can be seen, and no parts are left.
func TestATokenThatExpiresInMidUploadEndsIt(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		for status, code := range map[int]string{403: "AccessDenied", 400: "ExpiredToken"} {
			r := s.road(t)
			ask, nth := r.later()
			r.l.Lie(ask, nth, s.answer(status, code))
			r.wantUnavailable("Put", put(t.Context(), r.b, "new", pattern(parted)))
			if got := r.l.Requests(ask); len(got) < nth || len(got) > 3 {
				t.Errorf("asked %v, want one upload", got)
			}
			r.wantObjects()
			if s.scheme != "s3" {
				continue
			}
			if out, err := s.s3.Client().ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &r.name}); err != nil || len(out.Uploads) > 0 {
				t.Errorf("the store keeps %v, %v, want no parts", out, err)
			}
		}
	})
}

// TestAFaultInMidUploadCostsAPart and not the upload.
func TestAFaultInMidUploadCostsAPart(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		for name, lie := range map[string]storetest.Lie{"503": s.answer(503, codes(s.scheme)[503]), "a lost answer": storetest.LoseAnswer()} {
			t.Run(name, func(t *testing.T) {
				r := s.road(t)
				ask, nth := r.later()
				r.l.Lie(ask, nth, lie)
				if err := put(t.Context(), r.b, "new", pattern(parted)); err != nil {
					t.Errorf("Put = %v, want success", err)
				}
				r.wantObject("new", pattern(parted))
			})
		}
	})
}

// TestAnErrorWithinSuccessIsTriedAgain: S3 says 200 before it has put the parts together.
func TestAnErrorWithinSuccessIsTriedAgain(t *testing.T) {
	eachS3(t, func(t *testing.T, s shop) {
		complete := storetest.Ask{Method: "POST", URI: "uploadId="}
		r := s.road(t)
		r.lieFirst(complete, 4, storetest.Answer(200, storetest.S3Error("InternalError")))
		if err := put(t.Context(), r.b, "new", pattern(parted)); err != nil {
			t.Errorf("Put = %v, want success", err)
		}
		r.wantObject("new", pattern(parted))

		r = s.road(t)
		r.l.Lie(complete, 0, storetest.Answer(200, storetest.S3Error("InternalError")))
		r.wantUnavailable("Put", put(t.Context(), r.b, "new", pattern(parted)))
		r.wantObjects()
		if got := len(r.l.Requests(complete)); got < 5 {
			t.Errorf("asked %d times to complete, want five tries at least", got)
		}
	})
}
