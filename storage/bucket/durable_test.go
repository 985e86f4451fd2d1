package bucket

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// recorder writes down the calls that a store makes, and can fail one of them.
type recorder struct {
	calls  []string
	failAt int // index of the call to fail; -1 for none
	err    error
}

func (r *recorder) note(call, name string) error {
	if strings.HasPrefix(name, partPrefix) {
		name = "part"
	}
	r.calls = append(r.calls, strings.TrimSpace(call+" "+name))
	if len(r.calls)-1 == r.failAt {
		return r.err
	}
	return nil
}

// watch returns sys with each call noted before it is made, or not made but failed.
func (r *recorder) watch(sys system) system {
	return system{
		nameless: func(folder *os.File) (*os.File, error) {
			if err := r.note("nameless", ""); err != nil {
				return nil, err
			}
			return sys.nameless(folder)
		},
		linkNameless: func(f, folder *os.File, name string) error {
			return cmpError(r.note("linkNameless", name), func() error { return sys.linkNameless(f, folder, name) })
		},
		named: func(folder *os.File, name string) (*os.File, error) {
			if err := r.note("named", name); err != nil {
				return nil, err
			}
			return sys.named(folder, name)
		},
		link: func(folder *os.File, from, to string) error {
			return cmpError(r.note("link", to), func() error { return sys.link(folder, from, to) })
		},
		renameExclusive: func(folder *os.File, from, to string) error {
			return cmpError(r.note("renameExclusive", to), func() error { return sys.renameExclusive(folder, from, to) })
		},
		rename: func(folder *os.File, from, to string) error {
			return cmpError(r.note("rename", to), func() error { return sys.rename(folder, from, to) })
		},
		unlink: func(folder *os.File, name string) error {
			return cmpError(r.note("unlink", name), func() error { return sys.unlink(folder, name) })
		},
		write: func(f *os.File, p []byte) (int, error) {
			if err := r.note("write", ""); err != nil {
				n, _ := sys.write(f, p[:len(p)/2])
				return n, err
			}
			return sys.write(f, p)
		},
		sync: func(f *os.File) error {
			return cmpError(r.note("sync", syncName(f)), func() error { return sys.sync(f) })
		},
	}
}

func cmpError(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

// syncName tells a folder by its name from the file that is being written.
func syncName(f *os.File) string {
	if fi, err := f.Stat(); err == nil && fi.IsDir() {
		return filepath.Base(filepath.Clean(f.Name())) + "/"
	}
	return "file"
}

// TestAnObjectIsSyncedBeforeItHasAName compares every call of an upload into new folders: the
// parent of each new folder, then the file, then its name, then its folder.
func TestAnObjectIsSyncedBeforeItHasAName(t *testing.T) {
	folders := []string{"sync store/", "sync prod/"}
	tests := map[string]struct {
		sys  system
		want []string
	}{
		"nameless file and link": {linux(), []string{
			"nameless", "linkNameless part", "unlink part", // the trial
			"nameless", "write", "sync file", "linkNameless x", "sync manifests/",
		}},
		"named file and link": {withoutNameless(), []string{
			"nameless", "named part", "write", "sync file", "link x", "unlink part", "sync manifests/",
		}},
		"named file and rename": {withoutLinks(), []string{
			"nameless", "named part", "write", "sync file", "link x", "renameExclusive x", "unlink part", "sync manifests/",
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			rec := &recorder{failAt: -1}
			b := openTest(t, subfolder(t, "store"), rec.watch(test.sys))
			if err := b.Upload(t.Context(), "prod/manifests/x", strings.NewReader("abc"), 3); err != nil {
				t.Fatal(err)
			}
			if want := append(folders, test.want...); !slices.Equal(rec.calls, want) {
				t.Errorf("Upload called\n%q, want\n%q", rec.calls, want)
			}
		})
	}
}

func subfolder(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReplacingAnObjectIsSynced(t *testing.T) {
	rec := &recorder{failAt: -1}
	raw, err := openOn(subfolder(t, "store"), rec.watch(linux()))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, text := range []string{"first", "second"} {
		rec.calls = nil
		if err := raw.WriteAll(t.Context(), "x", []byte(text), nil); err != nil {
			t.Fatal(err)
		}
		if got, err := raw.ReadAll(t.Context(), "x"); string(got) != text {
			t.Errorf("after WriteAll of %q, ReadAll = %q, %v", text, got, err)
		}
	}
	want := []string{"named part", "write", "sync file", "rename x", "sync store/"}
	if !slices.Equal(rec.calls, want) {
		t.Errorf("WriteAll over an object called\n%q, want\n%q", rec.calls, want)
	}
}

func TestARemovalIsSynced(t *testing.T) {
	rec := &recorder{failAt: -1}
	raw, err := openOn(subfolder(t, "store"), rec.watch(linux()))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.WriteAll(t.Context(), "prod/x", []byte("abc"), nil); err != nil {
		t.Fatal(err)
	}
	rec.calls = nil
	if err := raw.Delete(t.Context(), "prod/x"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"sync prod/"}; !slices.Equal(rec.calls, want) {
		t.Errorf("Delete called %q, want %q", rec.calls, want)
	}
}

// TestAFaultAtAnyCallLeavesWholeObjectsAlone fails each call of an upload in turn. Either Upload
// finds another way, and the object is whole, or it says so, and nothing is there.
func TestAFaultAtAnyCallLeavesWholeObjectsAlone(t *testing.T) {
	for mode, sys := range modes() {
		for _, cause := range []error{unix.EIO, unix.ENOSPC, unix.EACCES} {
			t.Run(fmt.Sprintf("%s/%v", mode, cause), func(t *testing.T) {
				for i := 0; ; i++ {
					rec := &recorder{failAt: i, err: cause}
					err := uploadWithFault(t, sys, rec)
					if len(rec.calls) <= i {
						break // the fault was beyond the last call
					}
					if err == nil && !hasOtherWay(rec.calls[i]) {
						t.Errorf("Upload succeeded in spite of a fault at %q", rec.calls[i])
					}
				}
			})
		}
	}
}

// hasOtherWay tells which calls an upload can do without: those of a file without a name, and the
// removal of a name that nobody sees.
func hasOtherWay(call string) bool {
	return slices.Contains([]string{"nameless", "linkNameless part", "unlink part"}, call)
}

func uploadWithFault(t *testing.T, sys system, rec *recorder) error {
	t.Helper()
	dir := subfolder(t, "store")
	old, data := []byte("old"), bytes.Repeat([]byte("new"), 1000)
	if err := openTest(t, dir, sys).Upload(t.Context(), "prod/old", bytes.NewReader(old), 3); err != nil {
		t.Fatal(err)
	}
	err := openTest(t, dir, rec.watch(sys)).Upload(t.Context(), "prod/new/x", bytes.NewReader(data), int64(len(data)))
	want := map[string][]byte{"prod/old": old}
	if err == nil {
		want["prod/new/x"] = data
	} else if !errors.Is(err, ErrUnavailable) || !errors.Is(err, rec.err) || !strings.Contains(err.Error(), "prod/new/x") {
		t.Errorf("fault at %q: Upload = %v; want the cause, marked ErrUnavailable, and the key", rec.calls[rec.failAt], err)
	}
	wantStore(t, dir, want)
	wantNoParts(t, dir, rec)
	return err
}

// wantStore checks what a fresh look at the folder finds.
func wantStore(t *testing.T, dir string, want map[string][]byte) {
	t.Helper()
	b := openTest(t, dir, linux())
	keys := listTest(t, b, "")
	if len(keys) != len(want) {
		t.Errorf("the store lists %q, want %d objects", keys, len(want))
	}
	for key, data := range want {
		if got, _, err := b.ReadAll(t.Context(), key, 1<<20); !bytes.Equal(got, data) {
			t.Errorf("%q holds %d bytes, %v; want %d", key, len(got), err, len(data))
		}
	}
}

// wantNoParts looks for leftovers, which only a failed unlink excuses.
func wantNoParts(t *testing.T, dir string, rec *recorder) {
	t.Helper()
	if rec.failAt < len(rec.calls) && strings.HasPrefix(rec.calls[rec.failAt], "unlink") {
		return
	}
	for _, file := range filesIn(t, dir) {
		if strings.Contains(file, partPrefix) {
			t.Errorf("fault at call %d of %q left %q", rec.failAt, rec.calls, file)
		}
	}
}

// TestALinkThatWasMadeTwiceIsMade plays the NFS server whose answer was lost.
func TestALinkThatWasMadeTwiceIsMade(t *testing.T) {
	sys := withoutNameless()
	sys.link = func(folder *os.File, from, to string) error {
		if err := link(folder, from, to); err != nil {
			return err
		}
		return link(folder, from, to)
	}
	dir := t.TempDir()
	b := openTest(t, dir, sys)
	if err := b.Upload(t.Context(), "x", strings.NewReader("abc"), 3); err != nil {
		t.Errorf("Upload whose link was repeated = %v, want success", err)
	}
	if err := b.Upload(t.Context(), "x", strings.NewReader("def"), 3); !errors.Is(err, ErrExists) {
		t.Errorf("second Upload = %v, want ErrExists", err)
	}
	wantStore(t, dir, map[string][]byte{"x": []byte("abc")})
}

func TestWithoutAnExclusiveRenameNothingIsWritten(t *testing.T) {
	sys := withoutLinks()
	sys.renameExclusive = func(*os.File, string, string) error { return unix.EINVAL }
	dir := t.TempDir()
	err := openTest(t, dir, sys).Upload(t.Context(), "x", strings.NewReader("abc"), 3)
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, unix.EINVAL) {
		t.Errorf("Upload = %v, want ErrUnavailable", err)
	}
	if left := filesIn(t, dir); len(left) > 0 {
		t.Errorf("Upload left %q", left)
	}
}

// TestOldPartsAreSwept leaves alone what may still be written to, and what is not a part.
func TestOldPartsAreSwept(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	for name, age := range map[string]time.Duration{
		".part-old": partMaxAge + time.Hour, ".part-fresh": time.Hour, "object": 10 * partMaxAge,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := openTest(t, dir, withoutNameless()).Upload(t.Context(), "x", strings.NewReader("abc"), 3); err != nil {
		t.Fatal(err)
	}
	if got, want := filesIn(t, dir), []string{".part-fresh", "object", "x"}; !slices.Equal(got, want) {
		t.Errorf("after an upload the folder holds %q, want %q", got, want)
	}
}

// TestAFullDiskLeavesNothing fills a real small file system, where the machine lets us mount one.
func TestAFullDiskLeavesNothing(t *testing.T) {
	for mode, sys := range modes() {
		t.Run(mode, func(t *testing.T) {
			dir, sys := smallDisk(t, sys)
			b := openTest(t, dir, sys)
			small := bytes.Repeat([]byte("s"), 300<<10)
			if err := b.Upload(t.Context(), "prod/small", bytes.NewReader(small), int64(len(small))); err != nil {
				t.Fatal(err)
			}
			big := make([]byte, 2<<20)
			err := b.Upload(t.Context(), "prod/big", bytes.NewReader(big), int64(len(big)))
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), `"prod/big"`) {
				t.Errorf("Upload to a full disk = %v; want ENOSPC, marked ErrUnavailable, naming the object", err)
			}
			if got, want := filesIn(t, dir), []string{"prod/small"}; !slices.Equal(got, want) {
				t.Errorf("a full disk holds %q, want %q", got, want)
			}
			// The room is free again.
			if err := b.Upload(t.Context(), "prod/second", bytes.NewReader(small), int64(len(small))); err != nil {
				t.Errorf("Upload after a full disk: %v", err)
			}
			wantStore(t, dir, map[string][]byte{"prod/small": small, "prod/second": small})
		})
	}
}

// smallDisk returns a folder that takes one megabyte: a file system of its own, or where that
// cannot be mounted, a folder whose writes are refused beyond it.
func smallDisk(t *testing.T, sys system) (string, system) {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m")
	if err == nil {
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
		return dir, sys
	}
	t.Logf("no disk of its own: mount: %v", err)
	sys.write = func(f *os.File, p []byte) (int, error) {
		if fi, err := f.Stat(); err != nil || fi.Size()+int64(len(p)) > 1<<20 {
			return 0, unix.ENOSPC
		}
		return f.Write(p)
	}
	return dir, sys
}
