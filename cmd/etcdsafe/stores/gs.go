package stores

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cloud.google.com/go/storage"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/gcp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// gsScope is the least that can both read and write objects.
const gsScope = "https://www.googleapis.com/auth/devstorage.read_write"

// openGS makes a client by Google's application default credentials, or by none where the URL says
// anonymous.
func openGS(ctx context.Context, p place) (*blob.Bucket, bucket.Kind, error) {
	transport, err := p.transport()
	if err != nil {
		return nil, bucket.Kind{}, err
	}
	client, credentials := &http.Client{Transport: unsummed{transport}, CheckRedirect: stay}, []byte(nil)
	if !p.is("anonymous") {
		if client, credentials, err = p.gsClient(ctx, client); err != nil {
			return nil, bucket.Kind{}, err
		}
	}
	options := &gcsblob.Options{}
	if endpoint := p.query.Get("endpoint"); endpoint != "" {
		options.ClientOptions = append(options.ClientOptions, option.WithEndpoint(strings.TrimSuffix(endpoint, "/")+"/storage/v1/"))
	}
	b, err := gcsblob.OpenBucket(ctx, &gcp.HTTPClient{Client: *client}, p.bucket, options)
	if err != nil {
		return nil, bucket.Kind{}, err //nolint:wrapcheck // Open wraps it
	}
	var google *storage.Client
	if !b.As(&google) {
		return nil, bucket.Kind{}, errors.New("gocloud's Google driver hides its client")
	}
	// Else it asks a busy store for as long as its context lives, and bucket never comes to know. A
	// part of a large upload is tried again all the same, for half a minute.
	google.SetRetry(storage.WithPolicy(storage.RetryNever))
	about := bucket.Kind{Again: passes, Taken: taken, Refuses: refuses}
	gsMore{google, p.bucket}.addTo(&about, credentials)
	return b, about, nil
}

// gsClient also returns the credentials' file, where there is one.
func (p place) gsClient(ctx context.Context, plain *http.Client) (*http.Client, []byte, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, plain)
	credentials, err := google.FindDefaultCredentials(ctx, gsScope)
	if err != nil {
		return nil, nil, fmt.Errorf("google credentials: %w", err)
	}
	return &http.Client{Transport: &oauth2.Transport{Source: credentials.TokenSource, Base: plain.Transport}, CheckRedirect: stay}, credentials.JSON, nil
}

// unsummed hides the checksum that Google gives beside an object. Its client fails by it, as if the
// store were out of reach, before our own has found other bytes than those that were stored.
type unsummed struct{ http.RoundTripper }

func (u unsummed) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := u.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Header.Del("X-Goog-Hash")
	}
	return resp, err //nolint:wrapcheck // net/http tells its own errors apart
}
