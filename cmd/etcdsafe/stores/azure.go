package stores

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// openAzure makes a client by what the environment holds, first of these: a connection string, an
// account's key, a SAS token, and Azure's own chain of identities.
func openAzure(ctx context.Context, p place) (*blob.Bucket, bucket.Kind, error) {
	transport, err := p.transport()
	if err != nil {
		return nil, bucket.Kind{}, err
	}
	client, err := p.azureClient(&container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: transport, CheckRedirect: stay},
		Retry:     policy.RetryOptions{MaxRetries: 2, RetryDelay: cmp.Or(p.pause, time.Second), MaxRetryDelay: cmp.Or(p.pause, 5*time.Second)},
	}})
	if err != nil {
		return nil, bucket.Kind{}, err
	}
	b, err := azureblob.OpenBucket(ctx, client, nil)
	return b, bucket.Kind{Again: passes, Taken: taken, Refuses: refuses}, err //nolint:wrapcheck // Open wraps it
}

func (p place) azureClient(options *container.ClientOptions) (*container.Client, error) {
	account, key := p.getenv("AZURE_STORAGE_ACCOUNT"), p.getenv("AZURE_STORAGE_KEY")
	if text := cmp.Or(p.getenv("AZURE_STORAGE_CONNECTION_STRING"), p.getenv("AZURE_STORAGEBLOB_CONNECTIONSTRING")); text != "" {
		client, err := container.NewClientFromConnectionString(text, p.bucket, options)
		if err != nil {
			return nil, errors.New("AZURE_STORAGE_CONNECTION_STRING is none") // the SDK's error may quote it
		}
		return client, nil
	}
	endpoint, err := p.azureEndpoint(account)
	if err != nil {
		return nil, err
	}
	switch token := strings.TrimPrefix(p.getenv("AZURE_STORAGE_SAS_TOKEN"), "?"); {
	case key != "":
		shared, err := container.NewSharedKeyCredential(account, key)
		if err != nil {
			return nil, errors.New("AZURE_STORAGE_KEY is no key in base64")
		}
		return container.NewClientWithSharedKeyCredential(endpoint, shared, options)
	case token != "":
		// Else each error of a request could quote it, in pieces that no longer look like a URL's.
		if _, err := url.ParseQuery(token); err != nil || strings.ContainsFunc(token, unicode.IsSpace) {
			return nil, errors.New("AZURE_STORAGE_SAS_TOKEN is no token of SAS")
		}
		return container.NewClientWithNoCredential(endpoint+"?"+token, options)
	}
	identity, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: options.ClientOptions})
	if err != nil {
		return nil, fmt.Errorf("azure credentials: %w", err)
	}
	return container.NewClient(endpoint, identity, options)
}

// azureEndpoint is the container's URL.
func (p place) azureEndpoint(account string) (string, error) {
	endpoint := strings.TrimSuffix(p.query.Get("endpoint"), "/")
	if endpoint == "" && account == "" {
		return "", errors.New("no account: set AZURE_STORAGE_ACCOUNT, or add ?endpoint=https://ACCOUNT.blob.core.windows.net")
	}
	if endpoint == "" {
		endpoint = "https://" + account + ".blob.core.windows.net"
	}
	return endpoint + "/" + p.bucket, nil
}
