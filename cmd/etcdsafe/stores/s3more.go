package stores

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// s3More is what S3 can do beyond gocloud's interface. Keys come as the bucket's users know them:
// without the prefix of its URL.
type s3More struct {
	client *s3.Client
	bucket string
	prefix string
	noLock *atomic.Bool // asking for an object's lock is of no use here
}

func (m s3More) addTo(ctx context.Context, k *bucket.Kind) {
	k.LockedUntil, k.Lock, k.Versioned = m.lockedUntil, m.lock, m.versioned
	k.Unfinished, k.Abort, k.Facts, k.Identity = m.unfinished, m.abort, m.facts, m.identity(ctx)
}

// hasCode says whether S3 answered with one of these error codes.
func hasCode(err error, codes ...string) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, c := range codes {
		if api.ErrorCode() == c {
			return true
		}
	}
	return false
}

// lockedUntil is zero for an object without a lock, and in a bucket that knows none.
func (m s3More) lockedUntil(ctx context.Context, key string) (time.Time, error) {
	if m.noLock.Load() {
		return time.Time{}, nil
	}
	out, err := m.client.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: &m.bucket, Key: aws.String(m.prefix + key)})
	status, _ := answered(err)
	switch {
	case hasCode(err, "ObjectLockConfigurationNotFoundError", "InvalidRequest", "NotImplemented"), status == http.StatusForbidden:
		m.noLock.Store(true) // the bucket knows none, or we may not ask: a removal would then fail
		return time.Time{}, nil
	case hasCode(err, "NoSuchObjectLockConfiguration", "NoSuchKey"), err != nil && (status == http.StatusNotFound || status == http.StatusNotImplemented):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	case out.Retention == nil || out.Retention.RetainUntilDate == nil:
		return time.Time{}, nil
	}
	return *out.Retention.RetainUntilDate, nil
}

func (m s3More) lock(ctx context.Context, key string, until time.Time) error {
	_, err := m.client.PutObjectRetention(ctx, &s3.PutObjectRetentionInput{Bucket: &m.bucket, Key: aws.String(m.prefix + key),
		Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionModeCompliance, RetainUntilDate: &until}})
	return err
}

func (m s3More) versioned(ctx context.Context) bool {
	out, err := m.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &m.bucket})
	return err == nil && out.Status == types.BucketVersioningStatusEnabled
}

func (m s3More) unfinished(ctx context.Context, prefix string) ([]bucket.Unfinished, error) {
	var out []bucket.Unfinished
	pages := s3.NewListMultipartUploadsPaginator(m.client, &s3.ListMultipartUploadsInput{Bucket: &m.bucket, Prefix: aws.String(m.prefix + prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if status, _ := answered(err); status == http.StatusForbidden || status == http.StatusNotImplemented {
			return nil, nil // who may not ask cannot clean up either
		}
		if err != nil {
			return nil, err
		}
		for _, u := range page.Uploads {
			out = append(out, bucket.Unfinished{Key: strings.TrimPrefix(aws.ToString(u.Key), m.prefix), ID: aws.ToString(u.UploadId), Since: aws.ToTime(u.Initiated)})
		}
	}
	return out, nil
}

func (m s3More) abort(ctx context.Context, u bucket.Unfinished) error {
	_, err := m.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &m.bucket, Key: aws.String(m.prefix + u.Key), UploadId: &u.ID})
	if hasCode(err, "NoSuchUpload") {
		return nil
	}
	return err
}

// identity is drawn from the public half of the credentials.
func (m s3More) identity(ctx context.Context) string {
	provider := m.client.Options().Credentials
	if provider == nil {
		return ""
	}
	found, err := provider.Retrieve(ctx)
	if err != nil {
		return ""
	}
	return shortHash(found.AccessKeyID)
}

func shortHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

// facts asks what the bucket is set up to do, and says what is missing. It changes nothing.
func (m s3More) facts(ctx context.Context) []bucket.Fact {
	versioned := m.versioned(ctx)
	return []bucket.Fact{m.versioningFact(ctx, versioned), m.lockFact(ctx), m.lifecycleFact(ctx, versioned)}
}

func (m s3More) versioningFact(ctx context.Context, versioned bool) bucket.Fact {
	f := bucket.Fact{Name: "versioning", Value: "on: what is removed is hidden, not freed"}
	if !versioned {
		f.Value = "off"
		if _, err := m.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &m.bucket}); err != nil {
			f.Value = "not known: " + reason(err)
		}
	}
	return f
}

func (m s3More) lockFact(ctx context.Context) bucket.Fact {
	out, err := m.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &m.bucket})
	f := bucket.Fact{Name: "object lock", Value: "off"}
	switch status, _ := answered(err); {
	case err == nil && out.ObjectLockConfiguration != nil && out.ObjectLockConfiguration.ObjectLockEnabled == types.ObjectLockEnabledEnabled:
		f.Value = "on" + defaultRetention(out.ObjectLockConfiguration.Rule)
	case status == http.StatusForbidden:
		f.Value = "not known: " + reason(err)
	}
	return f
}

func defaultRetention(rule *types.ObjectLockRule) string {
	if rule == nil || rule.DefaultRetention == nil {
		return ", no default: ?retain=7d in the store's URL locks archives"
	}
	r := rule.DefaultRetention
	return ", default " + string(r.Mode) + " for " + days(aws.ToInt32(r.Days)+365*aws.ToInt32(r.Years))
}

// lifecycleFact looks for the two rules that free what nobody sees.
func (m s3More) lifecycleFact(ctx context.Context, versioned bool) bucket.Fact {
	f := bucket.Fact{Name: "lifecycle", Value: "no rules"}
	out, err := m.client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &m.bucket})
	if err != nil && !hasCode(err, "NoSuchLifecycleConfiguration") {
		f.Value = "not known: " + reason(err)
		return f
	}
	var aborts, expires bool
	if err == nil {
		f.Value = "rules: " + number(len(out.Rules))
		for _, r := range out.Rules {
			on := r.Status == types.ExpirationStatusEnabled
			aborts = aborts || on && r.AbortIncompleteMultipartUpload != nil
			expires = expires || on && r.NoncurrentVersionExpiration != nil
		}
	}
	var missing []string
	if !aborts {
		missing = append(missing, "AbortIncompleteMultipartUpload, so that parts of uploads that broke off are freed")
	}
	if versioned && !expires {
		missing = append(missing, "NoncurrentVersionExpiration, so that removed archives are freed")
	}
	f.Advice = strings.Join(missing, "; ")
	return f
}
