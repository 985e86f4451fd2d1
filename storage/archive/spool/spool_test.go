package spool

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func kinds(t *testing.T) map[string]func() (*os.File, error) {
	dir := t.TempDir()
	return map[string]func() (*os.File, error){
		"O_TMPFILE": func() (*os.File, error) { return openDisk(dir, unix.O_TMPFILE) },
		"unlinked":  func() (*os.File, error) { return openDisk(dir, 0) },
		"memory":    openMemory,
	}
}

func TestSpoolHasNoNameAndIsPrivate(t *testing.T) {
	for name, open := range kinds(t) {
		f, err := open()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer f.Close()
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		if name != "memory" && (st.Nlink != 0 || st.Mode&0o777 != 0o600) {
			t.Errorf("%s: %d links and mode %o, want none and 600", name, st.Nlink, st.Mode&0o777)
		}
	}
	dir := t.TempDir()
	s, err := New(Place{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte("plain"))
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("folder of a spool holds %v", left)
	}
	s.Close()
}

func TestFollowersReadAllThatIsWritten(t *testing.T) {
	for _, kind := range []Kind{Disk, Memory} {
		s, err := New(Place{Dir: t.TempDir(), Kind: kind})
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, 3<<20)
		rand.NewChaCha8([32]byte{}).Read(want)
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				got, err := io.ReadAll(io.NewSectionReader(s, 0, 1<<40))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: follower read %d bytes, %v", kind, len(got), err)
				}
			})
		}
		for at := 0; at < len(want); at += 33_000 {
			if _, err := s.Write(want[at:min(at+33_000, len(want))]); err != nil {
				t.Fatal(err)
			}
		}
		s.End(nil)
		readers.Wait()
		s.Close()
	}
}

func TestFollowersSeeTheErrorAndNeverACleanEnd(t *testing.T) {
	broken := errors.New("the stream broke")
	s, err := New(Place{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Write([]byte("some"))
	done := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(io.NewSectionReader(s, 0, 1<<40))
		done <- err
	}()
	s.End(broken)
	s.End(nil) // only the first counts
	if err := <-done; !errors.Is(err, broken) {
		t.Errorf("follower ended with %v, want %v", err, broken)
	}
}

func TestCloseFreesAWaitingFollower(t *testing.T) {
	s, err := New(Place{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(io.NewSectionReader(s, 0, 1<<40))
		done <- err
	}()
	s.Close()
	if err := <-done; err == nil {
		t.Error("follower of a closed spool saw a clean end")
	}
}

func TestSpoolStopsAtItsLimit(t *testing.T) {
	s, err := New(Place{Dir: t.TempDir(), MaxBytes: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Write(make([]byte, 10)); err != nil {
		t.Errorf("Write up to the limit: %v", err)
	}
	if _, err := s.Write([]byte{1}); !errors.Is(err, ErrFull) {
		t.Errorf("Write past the limit: %v, want ErrFull", err)
	}
}

func TestUnusableFoldersAreRefusedByName(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	readOnly := filepath.Join(dir, "ro")
	if err := os.Mkdir(readOnly, 0o700); err != nil {
		t.Fatal(err)
	}
	mount(t, readOnly, unix.MS_RDONLY, "")
	for _, bad := range []string{filepath.Join(dir, "missing"), file, readOnly, "/proc"} {
		_, err := New(Place{Dir: bad})
		if !errors.Is(err, ErrPlace) || !strings.Contains(err.Error(), bad) {
			t.Errorf("New in %q: %v, want ErrPlace that names it", bad, err)
		}
	}
}

func TestRequireNamesBothNumbers(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, 0, "size=8m")
	err := Place{Dir: dir}.Require(64<<20, "2 x the database + 64 MiB")
	if !errors.Is(err, ErrNoRoom) {
		t.Fatalf("Require of 64 MiB on 8 MiB: %v, want ErrNoRoom", err)
	}
	for _, part := range []string{dir, "8.0 MiB free", "64.0 MiB", "2 x the database"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("Require says %q, want %q in it", err, part)
		}
	}
	if err := (Place{Dir: dir}).Require(4<<20, ""); err != nil {
		t.Errorf("Require of 4 MiB on 8 MiB: %v", err)
	}
	if err := (Place{Dir: dir, MaxBytes: 1 << 20}).Require(4<<20, ""); !errors.Is(err, ErrNoRoom) {
		t.Errorf("Require past the limit: %v, want ErrNoRoom", err)
	}
}

func TestWriteToAFullDiskFails(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, 0, "size=1m")
	s, err := New(Place{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Write(make([]byte, 2<<20))
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Write to a full disk: %v, want ENOSPC", err)
	}
}

// mount puts a tmpfs on dir for the length of the test.
func mount(t *testing.T, dir string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, data); err != nil {
		t.Fatalf("mount: %v (tests run as root)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}
