package bucket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"gocloud.dev/blob"
)

// FileOptions says how OpenFile opens a folder. The zero value is safe.
type FileOptions struct {
	// CreateDir makes the folder, with mode 0700, where it does not exist. Without it a missing
	// folder is an error: more often than a first run it is a mount that did not come.
	CreateDir bool
}

// OpenFile returns a store in a folder of a local or mounted file system. An object is there
// whole and synced, or not at all, whatever stops the process or the machine; of several writers
// of one key, in however many processes, one wins. Objects have mode 0600, folders 0700.
//
// The store holds the folder open until it is closed, so that a mount cannot be replaced under
// it by the empty folder below. It follows no link that leads out of the folder. Besides bytes,
// size and time it keeps nothing: no metadata, no content type. Copy and SignedURL are not
// implemented. Where neither a link nor an exclusive rename exists, each write is an error.
//
// A folder that does not exist, or cannot be opened, is ErrUnavailable.
func OpenFile(dir string, o FileOptions) (*blob.Bucket, error) {
	b, err := openFile(dir, o, linux())
	if err != nil {
		return nil, err
	}
	return blob.NewBucket(b), nil
}

func openFile(dir string, o FileOptions, sys system) (*fileBucket, error) {
	if o.CreateDir {
		if err := createFolder(filepath.Clean(dir), sys); err != nil {
			return nil, fmt.Errorf("create folder %q: %w", dir, unavailable(err))
		}
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("no such folder (is it mounted? ?create_dir=true would make it): %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open folder %q: %w", dir, unavailable(err))
	}
	return &fileBucket{root: root, sys: sys}, nil
}

// createFolder makes dir and what is missing above it, each synced into its parent.
func createFolder(dir string, sys system) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := createFolder(parent, sys); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // its sync is what counts
	return sys.sync(f)
}

// FileOpener opens the URLs of OpenFile, for a blob.URLMux:
//
//	file:///path/of/folder[?create_dir=true]
//
// The host is empty or "localhost". Anything that it would have to ignore is refused.
type FileOpener struct{}

// OpenBucketURL implements blob.BucketURLOpener.
func (FileOpener) OpenBucketURL(_ context.Context, u *url.URL) (*blob.Bucket, error) {
	o, err := fileOptions(u)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", Redact(u.String()), err)
	}
	return OpenFile(u.Path, o)
}

// CheckURL says what in a URL's text keeps it from naming a folder.
func (FileOpener) CheckURL(u *url.URL) error {
	_, err := fileOptions(u)
	return err
}

func fileOptions(u *url.URL) (FileOptions, error) {
	switch {
	case u.Scheme != "file":
		return FileOptions{}, errors.New(`scheme is not "file"`)
	case u.User != nil:
		return FileOptions{}, errors.New("a folder has no user")
	case u.Host != "" && u.Host != "localhost":
		return FileOptions{}, errors.New("host must be empty: file:///path has three slashes")
	case !filepath.IsAbs(u.Path):
		return FileOptions{}, errors.New("path must be absolute: file:///path")
	case u.Fragment != "":
		return FileOptions{}, errors.New("write # in a folder's name as %23")
	}
	return fileQuery(u.RawQuery)
}

func fileQuery(rawQuery string) (FileOptions, error) {
	var o FileOptions
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return o, errors.New("query cannot be parsed")
	}
	for name, values := range query {
		if name != "create_dir" {
			return o, fmt.Errorf("unknown parameter %q", name)
		}
		if len(values) > 1 {
			return o, fmt.Errorf("parameter %q is given twice", name)
		}
		if o.CreateDir, err = strconv.ParseBool(values[0]); err != nil {
			return o, fmt.Errorf("parameter %q is neither true nor false", name)
		}
	}
	return o, nil
}
