package storetest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// region is the one that MinIO and versitygw take themselves to be in.
const region = "us-east-1"

// An S3 is what a client needs to know of a store that speaks S3.
type S3 struct {
	Endpoint             string // http://host:port
	Region               string
	AccessKey, SecretKey string // at first those of the one who may do everything
	// Dir holds the bytes: Dir/BUCKET/KEY is the object's own file in Versitygw, and in MinIO
	// a folder with xl.meta, which holds small objects itself, and else the parts.
	Dir string
}

// A Kind of bucket, by what becomes of objects that are overwritten or deleted.
type Kind int

// In a Versioned bucket a delete only hides. In a Lockable one, which is versioned too, each
// object may say how long its version must stay; in a Locked one every version stays for a
// day, in COMPLIANCE mode, which nobody can shorten.
const (
	Plain Kind = iota
	Versioned
	Lockable
	Locked
)

// Through is the same store by another endpoint, such as that of Toxi or Liar. Signatures
// cover the host, so both pass on the one that the client asked for.
func (s S3) Through(endpoint string) S3 {
	s.Endpoint = endpoint
	return s
}

// URL is how gocloud opens a bucket, given Env.
func (s S3) URL(bucket string) string {
	return "s3://" + bucket + "?" + url.Values{
		"endpoint": {s.Endpoint}, "region": {s.Region}, "use_path_style": {"true"}, "disable_https": {"true"},
	}.Encode()
}

// Env is the environment of a client's process.
func (s S3) Env() []string {
	return []string{
		"AWS_REGION=" + s.Region, "AWS_ACCESS_KEY_ID=" + s.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.SecretKey,
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
	}
}

// Client is the bare SDK, which here tries once, so that a test sees each fault. It keeps no
// connection, so that nothing of it is left.
func (s S3) Client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.Endpoint), Region: s.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
		HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
			tr.DisableKeepAlives = true
		}),
		RetryMaxAttempts: 1,
	})
}

// Bucket makes a bucket with a name of its own.
func (s S3) Bucket(t testing.TB, kind Kind) string {
	t.Helper()
	client, name := s.Client(), randomName("test")
	in := &s3.CreateBucketInput{Bucket: &name, ObjectLockEnabledForBucket: aws.Bool(kind >= Lockable)}
	if _, err := client.CreateBucket(t.Context(), in); err != nil {
		t.Fatalf("make bucket %q: %v", name, err)
	}
	var err error
	switch kind {
	case Versioned:
		_, err = client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
			Bucket:                  &name,
			VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
		})
	case Locked:
		_, err = client.PutObjectLockConfiguration(t.Context(), lockForADay(name))
	}
	if err != nil {
		t.Fatalf("set up bucket %q: %v", name, err)
	}
	return name
}

func lockForADay(bucket string) *s3.PutObjectLockConfigurationInput {
	return &s3.PutObjectLockConfigurationInput{
		Bucket: &bucket,
		ObjectLockConfiguration: &types.ObjectLockConfiguration{
			ObjectLockEnabled: types.ObjectLockEnabledEnabled,
			Rule: &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{
				Mode: types.ObjectLockRetentionModeCompliance, Days: aws.Int32(1),
			}},
		},
	}
}

// host is the host:port of an endpoint.
func host(endpoint string) string {
	return strings.TrimPrefix(endpoint, "http://")
}
