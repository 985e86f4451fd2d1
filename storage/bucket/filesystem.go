package bucket

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// system holds the calls whose order and whose failure decide whether an object is whole, so
// that a test can watch and refuse each of them. Names are names in the folder.
type system struct {
	nameless        func(folder *os.File) (*os.File, error)
	linkNameless    func(f, folder *os.File, name string) error // create-only
	named           func(folder *os.File, name string) (*os.File, error)
	link            func(folder *os.File, from, to string) error // create-only
	renameExclusive func(folder *os.File, from, to string) error // create-only
	rename          func(folder *os.File, from, to string) error
	unlink          func(folder *os.File, name string) error
	write           func(f *os.File, p []byte) (int, error)
	sync            func(f *os.File) error // of a file or of a folder
}

func linux() system {
	return system{
		nameless:        openNameless,
		linkNameless:    linkNameless,
		named:           openNamed,
		link:            link,
		renameExclusive: renameExclusive,
		rename:          rename,
		unlink:          unlink,
		write:           (*os.File).Write,
		sync:            (*os.File).Sync,
	}
}

func openNameless(folder *os.File) (*os.File, error) {
	return openAt(folder, ".", unix.O_TMPFILE|unix.O_RDWR)
}

func openNamed(folder *os.File, name string) (*os.File, error) {
	return openAt(folder, name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR)
}

func openAt(folder *os.File, name string, flags int) (*os.File, error) {
	var fd int
	err := retry("open", folder, name, func() (err error) {
		fd, err = unix.Openat(int(folder.Fd()), name, flags|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path.Join(folder.Name(), name)), nil
}

// linkNameless goes through /proc: linkat by descriptor alone needs CAP_DAC_READ_SEARCH.
func linkNameless(f, folder *os.File, name string) error {
	self := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	return retry("link", folder, name, func() error {
		return unix.Linkat(unix.AT_FDCWD, self, int(folder.Fd()), name, unix.AT_SYMLINK_FOLLOW)
	})
}

func link(folder *os.File, from, to string) error {
	return retry("link", folder, to, func() error {
		return unix.Linkat(int(folder.Fd()), from, int(folder.Fd()), to, 0)
	})
}

func renameExclusive(folder *os.File, from, to string) error {
	return retry("rename", folder, to, func() error {
		return unix.Renameat2(int(folder.Fd()), from, int(folder.Fd()), to, unix.RENAME_NOREPLACE)
	})
}

func rename(folder *os.File, from, to string) error {
	return retry("rename", folder, to, func() error {
		return unix.Renameat(int(folder.Fd()), from, int(folder.Fd()), to)
	})
}

func unlink(folder *os.File, name string) error {
	return retry("unlink", folder, name, func() error {
		return unix.Unlinkat(int(folder.Fd()), name, 0)
	})
}

// retry makes a system call until no signal interrupts it, as package os does, and says in its
// error what was tried on which name.
func retry(op string, folder *os.File, name string, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return &fs.PathError{Op: op, Path: path.Join(folder.Name(), name), Err: err}
		}
	}
}
