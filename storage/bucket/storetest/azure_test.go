package storetest

import (
	"context"
	"io"
	"slices"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
)

func putAzure(ctx context.Context, c *azblob.Client, container, name, data string) error {
	_, err := c.UploadBuffer(ctx, container, name, []byte(data), nil)
	return err
}

func getAzure(ctx context.Context, c *azblob.Client, container, name string) (string, error) {
	out, err := c.DownloadStream(ctx, container, name, nil)
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	return string(data), err
}

func listAzure(t *testing.T, c *azblob.Client, container string) (names []string) {
	t.Helper()
	for pages := c.NewListBlobsFlatPager(container, nil); pages.More(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, blob := range page.Segment.BlobItems {
			names = append(names, *blob.Name)
		}
	}
	return names
}

func TestAzuriteKeepsObjects(t *testing.T) {
	t.Parallel()
	a := Azurite(t)
	c, container := a.Client(t), a.Container(t)
	for name, data := range map[string]string{"a/1": "one", "a/2": "two"} {
		if err := putAzure(t.Context(), c, container, name, data); err != nil {
			t.Fatalf("put %q: %v", name, err)
		}
	}
	if got, err := getAzure(t.Context(), c, container, "a/2"); got != "two" || err != nil {
		t.Errorf("get a/2: %q, %v", got, err)
	}
	if got := listAzure(t, c, container); !slices.Equal(got, []string{"a/1", "a/2"}) {
		t.Errorf("listed %q", got)
	}

	creator := a.ClientSAS(t, a.SAS(t, container, sas.ContainerPermissions{Create: true}))
	if err := putAzure(t.Context(), creator, container, "b/1", "first"); err != nil {
		t.Errorf("create with a token that may: %v", err)
	}
	if err := putAzure(t.Context(), creator, container, "b/1", "second"); !denied(err) {
		t.Errorf("overwrite with a token to create: %v, want it refused", err)
	}
	if _, err := getAzure(t.Context(), creator, container, "b/1"); !denied(err) {
		t.Errorf("read with a token to create: %v, want it refused", err)
	}
	reader := a.ClientSAS(t, a.SAS(t, container, sas.ContainerPermissions{Read: true, List: true}))
	if got, err := getAzure(t.Context(), reader, container, "b/1"); got != "first" || err != nil {
		t.Errorf("read with a token that may: %q, %v", got, err)
	}
	if _, err := reader.DeleteBlob(t.Context(), container, "b/1", nil); !denied(err) {
		t.Errorf("delete with a token to read: %v, want it refused", err)
	}
}

// denied is how Azure says that a right is missing.
func denied(err error) bool {
	return bloberror.HasCode(err, bloberror.AuthorizationPermissionMismatch, bloberror.AuthorizationFailure, bloberror.UnauthorizedBlobOverwrite)
}
