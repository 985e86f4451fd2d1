package stores

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what some stores demand; SHA-256 is what we believe
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A sum is one way to tell an S3 store the checksum of what it is sent: always in a header, over
// bytes that lie in memory. The SDK's own go behind the body, in aws-chunked encoding, which some
// stores refuse and others store as if it were the object.
type sum struct {
	header    string
	algorithm tmtypes.ChecksumAlgorithm // declared where S3 wants it for a whole upload
	hash      func() hash.Hash
}

func sums() map[string]sum {
	return map[string]sum{
		"none":   {},
		"sha256": {"X-Amz-Checksum-Sha256", tmtypes.ChecksumAlgorithmSha256, sha256.New},
		"crc32":  {"X-Amz-Checksum-Crc32", tmtypes.ChecksumAlgorithmCrc32, func() hash.Hash { return crc32.NewIEEE() }},
		"md5":    {"Content-Md5", "", md5.New},
	}
}

// order is how auto tries them: none first, for all stores take it but those with object lock.
func order() []string { return []string{"none", "sha256", "crc32", "md5"} }

func checksumFault(text string) error {
	if _, known := sums()[text]; text == "" || text == "auto" || known {
		return nil
	}
	return fmt.Errorf("checksum=%s: want auto, sha256, crc32, md5 or none", text)
}

// checksums is the mode of one store. It is safe for several goroutines.
type checksums struct {
	mu      sync.Mutex
	mode    string
	auto    bool
	settled bool
}

func newChecksums(text string) *checksums {
	if text == "" || text == "auto" {
		return &checksums{mode: order()[0], auto: true}
	}
	return &checksums{mode: text}
}

func (c *checksums) now() sum {
	c.mu.Lock()
	defer c.mu.Unlock()
	return sums()[c.mode]
}

func (c *checksums) algorithm() tmtypes.ChecksumAlgorithm { return c.now().algorithm }

// install adds the header to what carries an object's bytes.
func (c *checksums) install(stack *middleware.Stack) error {
	return stack.Build.Add(middleware.BuildMiddlewareFunc("EtcdsafeChecksum", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
		req, ok := in.Request.(*smithyhttp.Request)
		if op := awsmiddleware.GetOperationName(ctx); ok && (op == "PutObject" || op == "UploadPart") {
			if err := c.now().set(req); err != nil {
				return middleware.BuildOutput{}, middleware.Metadata{}, err
			}
		}
		return next.HandleBuild(ctx, in)
	}), middleware.After)
}

// set hashes the body and rewinds it.
func (s sum) set(req *smithyhttp.Request) error {
	if s.hash == nil {
		return nil
	}
	h := s.hash()
	if body := req.GetStream(); body != nil {
		if _, err := io.Copy(h, body); err != nil {
			return fmt.Errorf("hash body: %w", err)
		}
		if err := req.RewindStream(); err != nil {
			return fmt.Errorf("hash body: %w", err)
		}
	}
	req.Header.Set(s.header, base64.StdEncoding.EncodeToString(h.Sum(nil)))
	return nil
}

// settle looks for a mode that the store takes, until it has found one, after it refused an upload with err: by one
// small object under key, which is overwritten. It says which mode is in force now, or "".
func (c *checksums) settle(ctx context.Context, client *s3.Client, name, key string, err error) string {
	if !refused(err) {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.auto || c.settled {
		return ""
	}
	before := c.mode
	for _, mode := range slices.DeleteFunc(order(), func(m string) bool { return m == before }) {
		if probe(ctx, client, name, key, sums()[mode]) {
			c.mode, c.settled = mode, true
			return "checksum=auto settled on " + mode + ": an upload with " + before + " was refused"
		}
	}
	return ""
}

// refused says whether a store took offence at the request itself, as it does at a checksum that is
// missing or strange: not at who sends it, and not at what lies there.
func refused(err error) bool {
	var answer *awshttp.ResponseError
	if !errors.As(err, &answer) {
		return false
	}
	var api smithy.APIError
	if errors.As(err, &api) && slices.Contains(strangers(), api.ErrorCode()) {
		return false
	}
	code := answer.HTTPStatusCode()
	return code == http.StatusBadRequest || code == http.StatusLengthRequired || code == http.StatusNotImplemented
}

// strangers are what S3 calls, by the same status, those that it does not know.
func strangers() []string {
	return []string{"AuthorizationHeaderMalformed", "ExpiredToken", "IllegalLocationConstraintException", "InvalidToken", "TokenRefreshRequired"}
}

// probe writes an object by s and reads it back.
func probe(ctx context.Context, client *s3.Client, name, key string, s sum) bool {
	want := []byte("etcdsafe: which checksum does this store take? " + strings.Repeat(".", 64))
	only := func(o *s3.Options) {
		o.APIOptions = append(slices.Clone(o.APIOptions), func(stack *middleware.Stack) error {
			if _, err := stack.Build.Remove("EtcdsafeChecksum"); err != nil {
				return err
			}
			return (&checksums{mode: modeOf(s)}).install(stack)
		})
	}
	_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(name), Key: aws.String(key), Body: bytes.NewReader(want)}, only)
	if err != nil {
		return false
	}
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(name), Key: aws.String(key)})
	if err != nil {
		return false
	}
	defer out.Body.Close() //nolint:errcheck // a reader's Close
	got, err := io.ReadAll(io.LimitReader(out.Body, int64(len(want))+1))
	return err == nil && bytes.Equal(got, want)
}

func modeOf(s sum) string {
	for mode, one := range sums() {
		if one.header == s.header {
			return mode
		}
	}
	return "none"
}
