package bucket

import (
	"os"

	"gocloud.dev/blob"
	"golang.org/x/sys/unix"
)

// OpenWithoutNameless opens a folder as if its file system knew no file without a name.
func OpenWithoutNameless(dir string) (*blob.Bucket, error) {
	return openOn(dir, unsynced(withoutNameless()))
}

// OpenWithoutLinks opens a folder as if its file system knew no links either.
func OpenWithoutLinks(dir string) (*blob.Bucket, error) { return openOn(dir, unsynced(withoutLinks())) }

// OpenUnsynced opens a folder for a test that needs many objects.
func OpenUnsynced(dir string) (*blob.Bucket, error) { return openOn(dir, unsynced(linux())) }

// unsynced spares a test the time; what is synced, and when, has tests of its own.
func unsynced(sys system) system {
	sys.sync = func(*os.File) error { return nil }
	return sys
}

func openOn(dir string, sys system) (*blob.Bucket, error) {
	b, err := openFile(dir, FileOptions{}, sys)
	if err != nil {
		return nil, err
	}
	return blob.NewBucket(b), nil
}

func withoutNameless() system {
	sys := linux()
	sys.nameless = func(*os.File) (*os.File, error) { return nil, unix.EOPNOTSUPP }
	return sys
}

func withoutLinks() system {
	sys := withoutNameless()
	sys.link = func(*os.File, string, string) error { return unix.EPERM }
	return sys
}
