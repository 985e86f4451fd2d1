package storetest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/etcdsafe/etcdsafe/test/doomed"
)

func TestAMinIOUserMayDoWhatThePolicySays(t *testing.T) {
	t.Parallel()
	m := MinIO(t)
	bucket, other := m.Bucket(t, Plain), m.Bucket(t, Plain)
	user := m.User(t, fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"], "Resource": ["arn:aws:s3:::%s/*"]}
	]}`, bucket))
	c := user.Client()
	mustPutS3(t, c, bucket, "key", "data")
	if got, err := getS3(t.Context(), c, bucket, "key"); got != "data" || err != nil {
		t.Errorf("get: %q, %v", got, err)
	}
	_, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("key")})
	if status(err) != http.StatusForbidden {
		t.Errorf("delete without the right to: %v, want status 403", err)
	}
	if _, err := putS3(t.Context(), c, other, "key", "data"); status(err) != http.StatusForbidden {
		t.Errorf("put into another bucket: %v, want status 403", err)
	}
	if got := listS3(t, m.Client(), bucket); len(got) != 1 {
		t.Errorf("after the delete that was refused there are %q", got)
	}
}

func TestMinIOTellsOfABadPolicy(t *testing.T) {
	t.Parallel()
	m := MinIO(t)
	said := doomed.Said(t, func(t testing.TB) { m.User(t, `{"Version": "2012-10-17", "Statement": "none"}`) })
	if !strings.Contains(said, "import users") {
		t.Errorf("the test failed with %q", said)
	}
}

func TestMinIOKeepsASmallObjectInsideItsMetadata(t *testing.T) {
	t.Parallel()
	m := MinIO(t)
	c, bucket := m.Client(), m.Bucket(t, Plain)
	mustPutS3(t, c, bucket, "a/key", "as it was stored")
	path := filepath.Join(m.Dir, bucket, "a", "key", "xl.meta")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), "was", "wAs", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := getS3(t.Context(), c, bucket, "a/key"); err == nil {
		t.Errorf("MinIO, which has a checksum of its own, gave %q after a flip on the disk", got)
	}
}
