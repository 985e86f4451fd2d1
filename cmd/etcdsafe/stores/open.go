package stores

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"gocloud.dev/blob"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// ErrURL marks a URL that names no store of ours.
var ErrURL = errors.New("not a store")

// kind is one scheme: its parameters, and how it is opened.
type kind struct {
	params []string
	open   func(ctx context.Context, p place) (*blob.Bucket, bucket.Kind, error)
}

func kinds() map[string]kind {
	return map[string]kind{
		"file":   {[]string{"create_dir"}, openFile},
		"s3":     {[]string{"endpoint", "region", "path_style", "ca", "checksum", "sse", "retain"}, openS3},
		"gs":     {[]string{"endpoint", "ca", "anonymous"}, openGS},
		"azblob": {[]string{"endpoint", "ca"}, openAzure},
	}
}

// pace is how patient a store's client is. The zero one is for use; tests hurry.
type pace struct {
	pause time.Duration      // the longest between two tries of the cloud's own client
	about func(*bucket.Kind) // has the last word
}

// place is a URL taken apart.
type place struct {
	pace
	url    *url.URL
	bucket string
	prefix string // ends in a slash, unless it is empty
	query  url.Values
	getenv func(string) string // for what a cloud's client leaves to us
}

// Check says whether rawURL names a store, as far as its text tells. The error wraps ErrURL.
func Check(rawURL string) error {
	_, _, err := parse(rawURL)
	return err
}

// Same says whether two URLs name one store, as far as their texts tell: what else they ask of it may
// differ.
func Same(rawURL, other string) bool {
	a, _, errA := parse(rawURL)
	b, _, errB := parse(other)
	return errA == nil && errB == nil && a.name() == b.name()
}

// name is what tells a store from all others.
func (p place) name() string {
	if p.url.Scheme == "file" {
		return "file://" + path.Clean(p.url.Path)
	}
	return p.url.Scheme + "://" + p.bucket + "/" + p.prefix + "?" + strings.TrimRight(p.query.Get("endpoint"), "/")
}

// Open opens the store that rawURL names; the caller closes it. What the text of the URL tells is
// ErrURL, as Check has it. All else is the store's own fault, bucket.ErrUnavailable: a folder that is
// not there, a file of a CA that cannot be read, credentials that a cloud's client misses before its
// first request. beside is how many stores are written at the same time: what they hold in memory is
// shared among them.
func Open(ctx context.Context, rawURL string, getenv func(string) string, beside int) (*bucket.Bucket, error) {
	return open(ctx, rawURL, getenv, pace{about: func(k *bucket.Kind) { k.Parts = min(3, max(1, allParts/beside)) }})
}

// allParts of 8 MiB are in memory at once, over all stores.
const allParts = 6

func open(ctx context.Context, rawURL string, getenv func(string) string, pace pace) (*bucket.Bucket, error) {
	p, k, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	p.getenv, p.pace = getenv, pace
	b, about, err := k.open(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", bucket.Redact(rawURL), bucket.Unavailable(err))
	}
	if p.prefix != "" {
		b = blob.PrefixedBucket(b, p.prefix)
	}
	if pace.about != nil {
		pace.about(&about)
	}
	return bucket.New(b, rawURL, about), nil
}

func parse(rawURL string) (place, kind, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return place{}, kind{}, fmt.Errorf("%s: no URL: %w", bucket.Redact(rawURL), ErrURL)
	}
	k, ok := kinds()[u.Scheme]
	query, err := url.ParseQuery(u.RawQuery) // u.Query would drop what it cannot read
	if err != nil {
		return place{}, kind{}, fmt.Errorf("%s: its query cannot be read: %w", bucket.Redact(rawURL), ErrURL)
	}
	p := place{url: u, bucket: u.Host, query: query}
	if prefix := strings.Trim(u.Path, "/"); prefix != "" && u.Scheme != "file" {
		p.prefix = prefix + "/"
	}
	if !ok {
		return p, k, fmt.Errorf("%s: no store of kind %q, this release knows s3, gs, azblob and file: %w", bucket.Redact(rawURL), u.Scheme, ErrURL)
	}
	if err := p.fault(k); err != nil {
		return p, k, fmt.Errorf("%s: %w: %w", bucket.Redact(rawURL), err, ErrURL)
	}
	return p, k, nil
}

// fault is the first thing in a URL that cannot be.
func (p place) fault(k kind) error {
	switch {
	case p.url.User != nil:
		return errors.New("credentials do not belong in a URL: each cloud's own environment variables and files are read")
	case p.url.Scheme != "file" && p.bucket == "":
		return errors.New("it names no bucket")
	case p.url.Fragment != "":
		return errors.New("it has a part behind #")
	}
	if p.prefix != "" {
		if err := bucket.CheckKey(strings.TrimSuffix(p.prefix, "/")); err != nil {
			return fmt.Errorf("prefix: %w", err)
		}
	}
	for name, values := range p.query {
		switch {
		case name == "retain" && !slices.Contains(k.params, name):
			return errors.New("retain: only s3 stores lock objects")
		case !slices.Contains(k.params, name):
			return fmt.Errorf("unknown parameter %q%s", name, settings.DidYouMean(name, k.params))
		case len(values) > 1:
			return fmt.Errorf("parameter %q is given twice", name)
		case values[0] == "":
			return fmt.Errorf("parameter %q is empty", name)
		}
	}
	return errors.Join(p.boolFault("path_style"), p.boolFault("anonymous"), p.endpointFault(), s3Fault(p), p.folderFault())
}

func (p place) folderFault() error {
	if p.url.Scheme != "file" {
		return nil
	}
	return bucket.FileOpener{}.CheckURL(p.url) //nolint:wrapcheck // parse wraps it
}

func (p place) boolFault(name string) error {
	text := p.query.Get(name)
	if _, err := strconv.ParseBool(text); text != "" && err != nil {
		return fmt.Errorf("%s=%s: want true or false", name, text)
	}
	return nil
}

func (p place) is(name string) bool {
	yes, err := strconv.ParseBool(p.query.Get(name))
	return err == nil && yes
}

func (p place) endpointFault() error {
	text := p.query.Get("endpoint")
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.RawQuery != "" {
		return fmt.Errorf("endpoint=%s: want http://host:port or https://host", bucket.Redact(text))
	}
	return nil
}

func openFile(ctx context.Context, p place) (*blob.Bucket, bucket.Kind, error) {
	b, err := bucket.FileOpener{}.OpenBucketURL(ctx, p.url)
	return b, bucket.Kind{}, err //nolint:wrapcheck // Open wraps it
}
