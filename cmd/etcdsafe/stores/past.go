package stores

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

var (
	errGone     = errors.New("not there at that time")
	errReadOnly = errors.New("the past cannot be changed")
)

// OpenAt opens a store as it was at a time, by the versions that it keeps; it can only be read. The
// error wraps ErrURL where the kind of store keeps none, and bucket.ErrUnavailable as Open's does.
func OpenAt(ctx context.Context, rawURL string, at time.Time) (*bucket.Bucket, error) {
	p, _, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	if p.url.Scheme != "s3" {
		return nil, fmt.Errorf("%s: --at needs a store that keeps versions, which is s3 alone: %w", bucket.Redact(rawURL), ErrURL)
	}
	client, err := p.s3Client(ctx, newChecksums("none"))
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", bucket.Redact(rawURL), bucket.Unavailable(err))
	}
	b := blob.NewBucket(&past{client: client, name: p.bucket, at: at})
	if p.prefix != "" {
		b = blob.PrefixedBucket(b, p.prefix)
	}
	return bucket.New(b, rawURL, bucket.Kind{Again: passes}), nil
}

// past is a bucket as it was: of each key the newest version that is not younger than at, unless
// that is a marker of a deletion.
type past struct {
	client *s3.Client
	name   string
	at     time.Time

	mu     sync.Mutex
	prefix string // of listed
	listed []version
}

var _ driver.Bucket = (*past)(nil)

// version is one object as it was.
type version struct {
	key, id  string
	size     int64
	modified time.Time
	gone     bool
}

// versions lists the objects below a prefix, in order of key.
func (p *past) versions(ctx context.Context, prefix string) ([]version, error) {
	newest := map[string]version{}
	see := func(v version) {
		if v.modified.After(p.at) {
			return
		}
		if had, ok := newest[v.key]; !ok || v.modified.After(had.modified) {
			newest[v.key] = v
		}
	}
	pages := s3.NewListObjectVersionsPaginator(p.client, &s3.ListObjectVersionsInput{Bucket: &p.name, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		// Of one second, the store gives the newest first.
		for _, v := range page.Versions {
			see(version{aws.ToString(v.Key), aws.ToString(v.VersionId), aws.ToInt64(v.Size), aws.ToTime(v.LastModified), false})
		}
		for _, v := range page.DeleteMarkers {
			see(version{key: aws.ToString(v.Key), modified: aws.ToTime(v.LastModified), gone: true})
		}
	}
	var out []version
	for _, v := range newest {
		if !v.gone {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b version) int { return strings.Compare(a.key, b.key) })
	return out, nil
}

func (p *past) version(ctx context.Context, key string) (version, error) {
	all, err := p.versions(ctx, key)
	if err != nil {
		return version{}, err
	}
	i, ok := slices.BinarySearchFunc(all, key, func(v version, key string) int { return cmp.Compare(v.key, key) })
	if !ok {
		return version{}, fmt.Errorf("%q at %s: %w", key, p.at.UTC().Format(time.RFC3339), errGone)
	}
	return all[i], nil
}

// ListPaged gives pages of one listing, which is made anew when it is begun.
func (p *past) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(opts.PageToken) == 0 || p.prefix != opts.Prefix {
		all, err := p.versions(ctx, opts.Prefix)
		if err != nil {
			return nil, err
		}
		p.prefix, p.listed = opts.Prefix, all
	}
	from, found := slices.BinarySearchFunc(p.listed, string(opts.PageToken), func(v version, key string) int { return cmp.Compare(v.key, key) })
	if found {
		from++
	}
	page := &driver.ListPage{}
	for _, v := range p.listed[from:min(len(p.listed), from+max(1, opts.PageSize))] {
		page.Objects = append(page.Objects, &driver.ListObject{Key: v.key, ModTime: v.modified, Size: v.size})
	}
	if n := len(page.Objects); from+n < len(p.listed) {
		page.NextPageToken = []byte(page.Objects[n-1].Key)
	}
	return page, nil
}

func (p *past) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	v, err := p.version(ctx, key)
	return &driver.Attributes{Size: v.size, ModTime: v.modified}, err
}

func (p *past) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	v, err := p.version(ctx, key)
	if err != nil {
		return nil, err
	}
	in := &s3.GetObjectInput{Bucket: &p.name, Key: &key, VersionId: &v.id}
	switch {
	case length > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := p.client.GetObject(ctx, in)
	if err != nil {
		return nil, err
	}
	return &pastReader{out.Body, driver.ReaderAttributes{ModTime: v.modified, Size: v.size}}, nil
}

type pastReader struct {
	io.ReadCloser
	attributes driver.ReaderAttributes
}

func (r *pastReader) Attributes() *driver.ReaderAttributes { return &r.attributes }
func (r *pastReader) As(any) bool                          { return false }

func (p *past) ErrorCode(err error) gcerrors.ErrorCode {
	if errors.Is(err, errGone) || hasCode(err, "NoSuchBucket", "NoSuchKey", "NoSuchVersion") {
		return gcerrors.NotFound
	}
	return gcerrors.Unknown
}

func (p *past) NewTypedWriter(context.Context, string, string, *driver.WriterOptions) (driver.Writer, error) {
	return nil, errReadOnly
}
func (p *past) Delete(context.Context, string, *driver.DeleteOptions) error     { return errReadOnly }
func (p *past) Copy(context.Context, string, string, *driver.CopyOptions) error { return errReadOnly }
func (p *past) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errReadOnly
}
func (p *past) As(any) bool             { return false }
func (p *past) ErrorAs(error, any) bool { return false }
func (p *past) Close() error            { return nil }
