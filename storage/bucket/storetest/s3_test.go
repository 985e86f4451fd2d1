package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// s3Stores are those that speak S3.
var s3Stores = map[string]func(testing.TB) S3{
	"versitygw": Versitygw,
	"minio":     func(t testing.TB) S3 { return MinIO(t).S3 },
}

// eachS3 runs a test against every store.
func eachS3(t *testing.T, run func(t *testing.T, s S3)) {
	for name, open := range s3Stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, open(t))
		})
	}
}

func putS3(ctx context.Context, c *s3.Client, bucket, key, data string) (version string, err error) {
	out, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(data)})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.VersionId), nil
}

func mustPutS3(t *testing.T, c *s3.Client, bucket, key, data string) (version string) {
	t.Helper()
	version, err := putS3(t.Context(), c, bucket, key, data)
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return version
}

func getS3(ctx context.Context, c *s3.Client, bucket, key string) (string, error) {
	out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	return string(data), err
}

func listS3(t *testing.T, c *s3.Client, bucket string) []string {
	t.Helper()
	out, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket})
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	var keys []string
	for _, object := range out.Contents {
		keys = append(keys, *object.Key)
	}
	return keys
}

// status is that of the answer inside an error of S3's client, 0 for none.
func status(err error) int {
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return answer.HTTPStatusCode()
	}
	return 0
}

func TestS3KeepsObjects(t *testing.T) {
	eachS3(t, func(t *testing.T, s S3) {
		c, bucket := s.Client(), s.Bucket(t, Plain)
		mustPutS3(t, c, bucket, "a/1", "one")
		mustPutS3(t, c, bucket, "a/2", "two")
		if got, err := getS3(t.Context(), c, bucket, "a/2"); got != "two" || err != nil {
			t.Errorf("get a/2: %q, %v", got, err)
		}
		if got := listS3(t, c, bucket); !slices.Equal(got, []string{"a/1", "a/2"}) {
			t.Errorf("listed %q", got)
		}
		other := s.Bucket(t, Plain)
		if got := listS3(t, c, other); got != nil || other == bucket {
			t.Errorf("a second bucket %q holds %q", other, got)
		}
	})
}

func TestS3KeepsVersions(t *testing.T) {
	eachS3(t, func(t *testing.T, s S3) {
		c, bucket := s.Client(), s.Bucket(t, Versioned)
		first := mustPutS3(t, c, bucket, "key", "first")
		second := mustPutS3(t, c, bucket, "key", "second")
		if first == "" || first == second {
			t.Errorf("versions %q and %q", first, second)
		}
		if _, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("key")}); err != nil {
			t.Fatal(err)
		}
		out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("key"), VersionId: &first})
		if err != nil {
			t.Fatalf("get the first version after all: %v", err)
		}
		defer out.Body.Close()
		if data, err := io.ReadAll(out.Body); string(data) != "first" || err != nil {
			t.Errorf("the first version is %q, %v", data, err)
		}
	})
}

func TestALockedVersionCannotBeDeleted(t *testing.T) {
	eachS3(t, func(t *testing.T, s S3) {
		c := s.Client()
		for _, kind := range []Kind{Lockable, Locked} {
			bucket := s.Bucket(t, kind)
			version := mustPutS3(t, c, bucket, "key", "data")
			for _, bypass := range []bool{false, true} {
				_, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{
					Bucket: &bucket, Key: aws.String("key"), VersionId: &version, BypassGovernanceRetention: &bypass,
				})
				if kind == Locked && err == nil {
					t.Errorf("a locked version was deleted, bypass %v", bypass)
				}
				if kind == Lockable && err != nil {
					t.Errorf("delete of a version without lock: %v", err)
				}
			}
		}
	})
}

func TestS3CreatesOnlyOnce(t *testing.T) {
	eachS3(t, func(t *testing.T, s S3) {
		c, bucket := s.Client(), s.Bucket(t, Plain)
		mustPutS3(t, c, bucket, "key", "first")
		_, err := c.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: &bucket, Key: aws.String("key"), Body: strings.NewReader("second"), IfNoneMatch: aws.String("*"),
		})
		if status(err) != http.StatusPreconditionFailed {
			t.Errorf("create again: %v, want status 412", err)
		}
	})
}

func TestVersitygwKeepsObjectsAsFiles(t *testing.T) {
	s := Versitygw(t)
	c, bucket := s.Client(), s.Bucket(t, Plain)
	mustPutS3(t, c, bucket, "a/key", "as it was stored")
	path := filepath.Join(s.Dir, bucket, "a", "key")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(data, []byte("was"), []byte("wAs"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := getS3(t.Context(), c, bucket, "a/key"); got != "as it wAs stored" {
		t.Errorf("get after a flip on the disk: %q, %v", got, err)
	}
}
