package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// bare is the SDK as its documentation has it, with as many connections as etcdsafe keeps: what
// anybody's few lines would do.
type bare struct{ client *s3.Client }

// atOnce is how many GETs etcdsafe has under way.
const atOnce = 16

func (g *gateway) bare() bare {
	return bare{s3.New(s3.Options{
		BaseEndpoint: &g.endpoint, Region: gatewayRegion, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(gatewayKey, gatewaySecret, ""),
		HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = 2 * atOnce
		}),
	})}
}

func (c bare) makeBucket(ctx context.Context) error {
	_, err := c.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(gatewayBucket)})
	return err
}

// list returns the keys below several prefixes, which are listed side by side, page by page.
func (c bare) list(ctx context.Context, prefixes ...string) ([]string, error) {
	keys, faults := make([][]string, len(prefixes)), make([]error, len(prefixes))
	var wait sync.WaitGroup
	for i, prefix := range prefixes {
		wait.Go(func() {
			pages := s3.NewListObjectsV2Paginator(c.client, &s3.ListObjectsV2Input{Bucket: aws.String(gatewayBucket), Prefix: &prefix})
			for pages.HasMorePages() && faults[i] == nil {
				var page *s3.ListObjectsV2Output
				if page, faults[i] = pages.NextPage(ctx); faults[i] == nil {
					for _, o := range page.Contents {
						keys[i] = append(keys[i], *o.Key)
					}
				}
			}
		})
	}
	wait.Wait()
	return slices.Concat(keys...), errors.Join(faults...)
}

// get reads objects, several at a time.
func (c bare) get(ctx context.Context, keys []string) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work := make(chan string)
	var wait sync.WaitGroup
	for range atOnce {
		wait.Go(func() {
			for key := range work {
				if err := c.getOne(ctx, key); err != nil {
					stop(err)
				}
			}
		})
	}
	for _, key := range keys {
		work <- key
	}
	close(work)
	wait.Wait()
	return context.Cause(ctx)
}

func (c bare) getOne(ctx context.Context, key string) error {
	out, err := c.client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(gatewayBucket), Key: &key})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	_, err = io.ReadAll(out.Body)
	return err
}

// put uploads a file by one PutObject.
func (c bare) put(ctx context.Context, key string, f *os.File) error {
	_, err := c.client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(gatewayBucket), Key: &key, Body: f})
	return err
}

// putParts uploads a file by the SDK's own multipart upload.
func (c bare) putParts(ctx context.Context, key string, f *os.File) error {
	_, err := transfermanager.New(c.client).UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: aws.String(gatewayBucket), Key: &key, Body: f})
	return err
}
