package stores

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// openS3 makes a client by the SDK's own chain of credentials. A store with an endpoint of its own
// needs no region: most of them take any.
func openS3(ctx context.Context, p place) (*blob.Bucket, bucket.Kind, error) {
	sums := newChecksums(p.query.Get("checksum"))
	client, err := p.s3Client(ctx, sums)
	if err != nil {
		return nil, bucket.Kind{}, err
	}
	encryption, key, err := p.sse()
	if err != nil {
		return nil, bucket.Kind{}, err
	}
	retain, err := p.retain()
	if err != nil {
		return nil, bucket.Kind{}, err
	}
	b, err := s3blob.OpenBucket(ctx, client, p.bucket, &s3blob.Options{
		EncryptionType: encryption, KMSEncryptionID: key,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired, // ours, see checksums
	})
	about := bucket.Kind{
		Again: passes, Taken: taken, Refuses: refuses,
		Settle: func(ctx context.Context, err error) string {
			return sums.settle(ctx, client, p.bucket, p.prefix+".probe/checksum", err)
		},
		BeforeWrite: func(as func(any) bool, retained bool) error {
			var in *transfermanager.UploadObjectInput
			if !as(&in) {
				return errors.New("gocloud's S3 driver hides its request")
			}
			in.ChecksumAlgorithm = sums.algorithm()
			if retained && retain > 0 {
				in.ObjectLockMode = tmtypes.ObjectLockModeCompliance
				in.ObjectLockRetainUntilDate = aws.Time(time.Now().Add(retain))
			}
			return nil
		},
	}
	s3More{client, p.bucket, p.prefix, new(atomic.Bool)}.addTo(ctx, &about)
	return b, about, err //nolint:wrapcheck // Open wraps it
}

// sse reads how the store is to encrypt: AES256, aws:kms, or aws:kms:KEY.
func (p place) sse() (types.ServerSideEncryption, string, error) {
	text := p.query.Get("sse")
	switch key, isKey := strings.CutPrefix(text, "aws:kms:"); {
	case isKey:
		return types.ServerSideEncryptionAwsKms, key, nil
	case text == "", text == string(types.ServerSideEncryptionAes256), text == string(types.ServerSideEncryptionAwsKms):
		return types.ServerSideEncryption(text), "", nil
	}
	return "", "", fmt.Errorf("sse=%s: want AES256, aws:kms or aws:kms:KEY", text)
}

// retain reads for how long archives and manifests are locked: 7d, 36h.
func (p place) retain() (time.Duration, error) {
	text := p.query.Get("retain")
	if text == "" {
		return 0, nil
	}
	d, err := settings.Duration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("retain=%s: want a time such as 7d or 36h", text)
	}
	return d, nil
}

// s3Fault is the first parameter with a value that cannot be.
func s3Fault(p place) error {
	_, _, sse := p.sse()
	_, retain := p.retain()
	return errors.Join(checksumFault(p.query.Get("checksum")), sse, retain)
}

func (p place) s3Client(ctx context.Context, sums *checksums) (*s3.Client, error) {
	ca, err := p.ca()
	if err != nil {
		return nil, err
	}
	options := []func(*config.LoadOptions) error{
		config.WithLogger(logging.Nop{}), // else it writes to stderr; what matters of it comes back as an error too
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(tune)),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 3, cmp.Or(p.pause, 5*time.Second) })
		}),
	}
	if ca != nil {
		options = append(options, config.WithCustomCABundle(bytes.NewReader(ca)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	cfg.Region = cmp.Or(p.query.Get("region"), cfg.Region)
	if cfg.Region == "" && p.query.Has("endpoint") {
		cfg.Region = "us-east-1"
	}
	if cfg.Region == "" {
		return nil, errors.New("no region: add ?region= to the URL, or set AWS_REGION")
	}
	buildable, ok := cfg.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		return nil, fmt.Errorf("AWS configuration: HTTP client is a %T", cfg.HTTPClient)
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.HTTPClient = &http.Client{Transport: buildable.GetTransport(), CheckRedirect: stay}
		o.UsePathStyle = p.is("path_style")
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.APIOptions = append(o.APIOptions, sums.install)
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired // every byte is hashed by us
		if endpoint := p.query.Get("endpoint"); endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
	}), nil
}
