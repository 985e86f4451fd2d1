package spool

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrPlace marks a folder that no spool can be made in.
var ErrPlace = errors.New("unusable spool folder")

// ErrNoRoom marks a folder with less free space than was asked for.
var ErrNoRoom = errors.New("not enough free space")

// nfsMagic is NFS in statfs: it renames an unlinked open file to .nfs…, where a crash leaves
// the plaintext.
const nfsMagic = 0x6969

func (p Place) dir() string {
	if p.Dir == "" {
		return os.TempDir()
	}
	return p.Dir
}

func (p Place) open() (*os.File, error) {
	if p.Kind == Memory {
		return openMemory()
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return openDisk(p.dir(), unix.O_TMPFILE)
}

// openDisk makes a file without a name. tmpfile is unix.O_TMPFILE, or 0 to have it made with a
// name and unlinked before its first byte, as on file systems that lack the flag.
func openDisk(dir string, tmpfile int) (*os.File, error) {
	if tmpfile != 0 {
		fd, err := unix.Open(dir, unix.O_RDWR|tmpfile|unix.O_CLOEXEC, 0o600)
		if err == nil {
			return os.NewFile(uintptr(fd), "spool"), nil
		}
		if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.ENOENT) {
			return nil, fmt.Errorf("spool folder %q: %w: %w", dir, err, ErrPlace)
		}
	}
	f, err := os.CreateTemp(dir, ".etcdsafe-spool-*")
	if err != nil {
		return nil, fmt.Errorf("spool folder %q: %w: %w", dir, bare(err), ErrPlace)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("spool folder %q: unlink spool: %w: %w", dir, bare(err), ErrPlace), f.Close())
	}
	return f, nil
}

func openMemory() (*os.File, error) {
	fd, err := unix.MemfdCreate("etcdsafe-spool", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("spool in memory: %w: %w", err, ErrPlace)
	}
	return os.NewFile(uintptr(fd), "spool"), nil
}

// check refuses a folder that does not exist or would keep what was unlinked.
func (p Place) check() error {
	info, err := os.Stat(p.dir())
	if err != nil {
		return fmt.Errorf("spool folder %q: %w: %w", p.dir(), bare(err), ErrPlace)
	}
	if !info.IsDir() {
		return fmt.Errorf("spool folder %q is not a folder: %w", p.dir(), ErrPlace)
	}
	fs, err := p.statfs()
	if err != nil {
		return err
	}
	if fs.Type == nfsMagic {
		return fmt.Errorf("spool folder %q is on NFS, which keeps unlinked files under another name: %w", p.dir(), ErrPlace)
	}
	return nil
}

// Require returns ErrNoRoom, with both numbers, unless needBytes are free in p. The why is
// printed with it. Memory has no such number: there the kernel's limit decides.
func (p Place) Require(needBytes int64, why string) error {
	if p.MaxBytes > 0 && needBytes > p.MaxBytes {
		return fmt.Errorf("spool limit is %s, needed are %s (%s): %w", mib(p.MaxBytes), mib(needBytes), why, ErrNoRoom)
	}
	if p.Kind == Memory {
		return nil
	}
	if err := p.check(); err != nil {
		return err
	}
	return p.Fits("spool folder", needBytes, why)
}

// Fits returns ErrNoRoom, with both numbers, unless needBytes are free on the disk of p.Dir. What
// that folder is for, and why so much, is printed with it.
func (p Place) Fits(what string, needBytes int64, why string) error {
	fs, err := p.statfs()
	if err != nil {
		return err
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < needBytes {
		return fmt.Errorf("%s %q has %s free, needed are %s (%s): %w", what, p.dir(), mib(free), mib(needBytes), why, ErrNoRoom)
	}
	return nil
}

func (p Place) statfs() (unix.Statfs_t, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(p.dir(), &fs); err != nil {
		return fs, fmt.Errorf("spool folder %q: statfs: %w: %w", p.dir(), err, ErrPlace)
	}
	return fs, nil
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
