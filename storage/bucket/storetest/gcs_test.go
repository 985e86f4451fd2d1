package storetest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
)

func putGCS(ctx context.Context, o *storage.ObjectHandle, data string) error {
	w := o.NewWriter(ctx)
	if _, err := io.WriteString(w, data); err != nil {
		return errors.Join(err, w.Close())
	}
	return w.Close()
}

func getGCS(ctx context.Context, o *storage.ObjectHandle) (string, error) {
	r, err := o.NewReader(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}

func listGCS(t *testing.T, b *storage.BucketHandle) (names []string) {
	t.Helper()
	objects := b.Objects(t.Context(), nil)
	for {
		o, err := objects.Next()
		if errors.Is(err, iterator.Done) {
			return names
		}
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		names = append(names, o.Name)
	}
}

func TestFakeGCSKeepsObjects(t *testing.T) {
	t.Parallel()
	g := FakeGCS(t)
	b := g.Client(t).Bucket(g.Bucket(t))
	large := strings.Repeat("two", 7<<20) // takes more than one request
	for name, data := range map[string]string{"a/1": "one", "a/2": large} {
		if err := putGCS(t.Context(), b.Object(name), data); err != nil {
			t.Fatalf("put %q: %v", name, err)
		}
	}
	if got, err := getGCS(t.Context(), b.Object("a/2")); got != large || err != nil {
		t.Errorf("get a/2: %d bytes, %v", len(got), err)
	}
	if got := listGCS(t, b); !slices.Equal(got, []string{"a/1", "a/2"}) {
		t.Errorf("listed %q", got)
	}
	err := putGCS(t.Context(), b.Object("a/1").If(storage.Conditions{DoesNotExist: true}), "again")
	if refused, ok := errors.AsType[*googleapi.Error](err); !ok || refused.Code != http.StatusPreconditionFailed {
		t.Errorf("create again: %v, want status 412", err)
	}
}
