package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"sync/atomic"

	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
	"golang.org/x/sys/unix"
)

var (
	errUnimplemented = errors.New("not implemented for folders")
	errGone          = errors.New("the store's folder has been removed")
)

// fileCodes is how gocloud is to understand the driver's errors; the first that fits counts.
var fileCodes = []struct {
	err  error
	code gcerrors.ErrorCode
}{
	{errBadKey, gcerrors.InvalidArgument},
	{errUnimplemented, gcerrors.Unimplemented},
	{ErrExists, gcerrors.FailedPrecondition},
	{fs.ErrNotExist, gcerrors.NotFound},
	{unix.ENOTDIR, gcerrors.NotFound},
	{unix.ENOSPC, gcerrors.ResourceExhausted},
	{unix.EDQUOT, gcerrors.ResourceExhausted},
	{unix.EROFS, gcerrors.PermissionDenied},
	{fs.ErrPermission, gcerrors.PermissionDenied},
}

// fileBucket is the driver behind OpenFile.
type fileBucket struct {
	root  *os.Root
	sys   system
	links atomic.Bool // a file without a name was given one here
	swept sync.Map    // names of folders that were rid of old parts
}

var _ driver.Bucket = (*fileBucket)(nil)

func (b *fileBucket) Close() error { return b.root.Close() }

func (b *fileBucket) As(any) bool { return false }

func (b *fileBucket) ErrorAs(err error, target any) bool { return errors.As(err, target) }

func (b *fileBucket) ErrorCode(err error) gcerrors.ErrorCode {
	for _, row := range fileCodes {
		if errors.Is(err, row.err) {
			return row.code
		}
	}
	return gcerrors.Unknown
}

func (b *fileBucket) Attributes(_ context.Context, key string) (*driver.Attributes, error) {
	fi, err := b.stat(key)
	if err != nil {
		return nil, err
	}
	return &driver.Attributes{
		ContentType: "application/octet-stream",
		ModTime:     fi.ModTime(),
		Size:        fi.Size(),
		ETag:        fmt.Sprintf(`"%x-%x"`, fi.ModTime().UnixNano(), fi.Size()),
	}, nil
}

// stat tells of a regular file; nothing else is an object.
func (b *fileBucket) stat(key string) (fs.FileInfo, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	fi, err := b.root.Lstat(key)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file: %w", key, fs.ErrNotExist)
	}
	return fi, nil
}

func (b *fileBucket) NewRangeReader(_ context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	if _, err := b.stat(key); err != nil {
		return nil, err
	}
	f, err := b.root.Open(key)
	if err != nil {
		return nil, err
	}
	r, err := rangeOf(f, offset, length, opts)
	if err != nil {
		f.Close() //nolint:errcheck // nothing was written over it
		return nil, err
	}
	return r, nil
}

// rangeOf makes f a reader that owns it.
func rangeOf(f *os.File, offset, length int64, opts *driver.ReaderOptions) (*fileReader, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := call(opts.BeforeRead); err != nil {
		return nil, err
	}
	if length < 0 {
		length = max(0, fi.Size()-offset)
	}
	return &fileReader{
		SectionReader: io.NewSectionReader(f, offset, length),
		file:          f,
		attrs: driver.ReaderAttributes{
			ContentType: "application/octet-stream", ModTime: fi.ModTime(), Size: fi.Size(),
		},
	}, nil
}

// fileReader reads the bytes that the file had when it was opened.
type fileReader struct {
	*io.SectionReader
	file  *os.File
	attrs driver.ReaderAttributes
}

func (r *fileReader) Close() error                         { return r.file.Close() }
func (r *fileReader) Attributes() *driver.ReaderAttributes { return &r.attrs }
func (r *fileReader) As(any) bool                          { return false }

// Delete removes an object, and returns once its absence is synced. Folders stay.
func (b *fileBucket) Delete(_ context.Context, key string, opts *driver.DeleteOptions) error {
	if _, err := b.stat(key); err != nil {
		return err
	}
	if err := call(opts.BeforeDelete); err != nil {
		return err
	}
	if err := b.root.Remove(key); err != nil {
		return err
	}
	return b.syncFolder(path.Dir(key))
}

func (b *fileBucket) Copy(context.Context, string, string, *driver.CopyOptions) error {
	return fmt.Errorf("copy: %w", errUnimplemented)
}

func (b *fileBucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", fmt.Errorf("signed URL: %w", errUnimplemented)
}

// makeFolder makes dir and what is missing above it, each synced into its parent.
func (b *fileBucket) makeFolder(dir string) error {
	if dir == "." {
		return nil
	}
	parent := path.Dir(dir)
	err := b.root.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) && parent != "." {
		if err := b.makeFolder(parent); err != nil {
			return err
		}
		err = b.root.Mkdir(dir, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return b.syncFolder(parent)
}

func (b *fileBucket) syncFolder(dir string) error {
	f, err := b.openFolder(dir)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // its sync is what counts
	return b.sys.sync(f)
}

func (b *fileBucket) openFolder(dir string) (*os.File, error) {
	return b.root.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
}

// call calls one of gocloud's hooks, which we have nothing to offer.
func call(hook func(func(any) bool) error) error {
	if hook == nil {
		return nil
	}
	return hook(func(any) bool { return false })
}
