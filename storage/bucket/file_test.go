package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
	"golang.org/x/sys/unix"
)

// openRaw opens dir as gocloud sees it.
func openRaw(t *testing.T, dir string) *blob.Bucket {
	t.Helper()
	raw, err := OpenFile(dir, FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return raw
}

func write(t *testing.T, raw *blob.Bucket, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := raw.WriteAll(t.Context(), key, []byte(key), nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestObjectsAndFoldersAreTheOwnersAlone(t *testing.T) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	dir := filepath.Join(t.TempDir(), "a", "b")
	raw, err := OpenFile(dir, FileOptions{CreateDir: true})
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	write(t, raw, "prod/replaced")
	if err := New(raw, "", Kind{}).Upload(t.Context(), "prod/created", strings.NewReader(""), 0); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{
		filepath.Dir(dir): fs.ModeDir | 0o700, dir: fs.ModeDir | 0o700, dir + "/prod": fs.ModeDir | 0o700,
		dir + "/prod/replaced": 0o600, dir + "/prod/created": 0o600,
	} {
		if fi, err := os.Stat(path); err != nil || fi.Mode() != want {
			t.Errorf("%q has mode %v, %v; want %v", path, fi.Mode(), err, want)
		}
	}
}

func TestAMissingFolderIsNotMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mount")
	_, err := OpenFile(dir, FileOptions{})
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "create_dir") {
		t.Errorf("OpenFile of no folder = %v; want ErrUnavailable, and what would make it", err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenFile of no folder left something there")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []FileOptions{{}, {CreateDir: true}} {
		if _, err := OpenFile(file, o); !errors.Is(err, ErrUnavailable) {
			t.Errorf("OpenFile(%+v) of a file = %v, want ErrUnavailable", o, err)
		}
		if _, err := OpenFile(file+"/below", o); !errors.Is(err, ErrUnavailable) {
			t.Errorf("OpenFile(%+v) below a file = %v, want ErrUnavailable", o, err)
		}
	}
}

func TestACreatedFolderIsSyncedIntoItsParent(t *testing.T) {
	dir := subfolder(t, "base")
	rec := &recorder{failAt: -1}
	for _, want := range [][]string{{"sync base/", "sync x/"}, nil} {
		rec.calls = nil
		b, err := openFile(filepath.Join(dir, "x", "y"), FileOptions{CreateDir: true}, rec.watch(linux()))
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		if !slices.Equal(rec.calls, want) {
			t.Errorf("opening a folder two levels down called %q, want %q", rec.calls, want)
		}
	}
	rec = &recorder{failAt: 0, err: unix.EIO}
	if _, err := openFile(filepath.Join(dir, "z"), FileOptions{CreateDir: true}, rec.watch(linux())); !errors.Is(err, unix.EIO) {
		t.Errorf("opening a folder that cannot be synced = %v, want EIO", err)
	}
}

func TestARemovedFolderIsUnavailable(t *testing.T) {
	dir := subfolder(t, "store")
	b := openTest(t, dir, linux())
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	calls := map[string]error{}
	_, calls["Stat"] = b.Stat(t.Context(), "x")
	_, _, calls["Open"] = b.Open(t.Context(), "x")
	calls["Upload"] = b.Upload(t.Context(), "a/x", strings.NewReader(""), 0)
	for _, calls["List"] = range b.List(t.Context(), "") {
		break
	}
	for call, err := range calls {
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNotExist) {
			t.Errorf("%s in a folder that was removed = %v, want ErrUnavailable alone", call, err)
		}
	}
}

// TestWhatIsNoObjectIsNotServed fills a folder with what an operator's machine puts there.
func TestWhatIsNoObjectIsNotServed(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := openTest(t, dir, linux())
	if err := b.Upload(t.Context(), "prod/real", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	made := []error{
		os.Symlink(outside, filepath.Join(dir, "out")),
		os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "prod", "link")),
		os.Symlink("real", filepath.Join(dir, "prod", "inner")),
		os.Symlink("prod", filepath.Join(dir, "alias")),
		os.Mkdir(filepath.Join(dir, "lost+found"), 0),
		os.Mkdir(filepath.Join(dir, "prod", "empty"), 0o700),
		os.WriteFile(filepath.Join(dir, "prod", "a name"), nil, 0o600),
		os.WriteFile(filepath.Join(dir, "prod", ".part-0123"), nil, 0o600),
		unix.Mkfifo(filepath.Join(dir, "prod", "pipe"), 0o600),
	}
	if err := errors.Join(made...); err != nil {
		t.Fatal(err)
	}
	if got, want := listTest(t, b, ""), []string{"prod/real"}; !slices.Equal(got, want) {
		t.Errorf("List = %q, want %q", got, want)
	}
	for _, key := range []string{"out/secret", "prod/link", "prod/inner", "prod/empty", "prod/pipe", "out"} {
		if data, _, err := b.ReadAll(t.Context(), key, 100); err == nil {
			t.Errorf("ReadAll(%q) = %q; want it refused", key, data)
		}
	}
	if err := b.Upload(t.Context(), "out/new", strings.NewReader("x"), 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Upload through a link out of the store = %v, want ErrUnavailable", err)
	}
	if left := filesIn(t, outside); len(left) != 1 {
		t.Errorf("the folder outside holds %q", left)
	}
}

func TestTheStoresFolderMayBeALink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "backups")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := openTest(t, link, linux()).Upload(t.Context(), "x", strings.NewReader("abc"), 3); err != nil {
		t.Fatal(err)
	}
	wantStore(t, dir, map[string][]byte{"x": []byte("abc")})
}

func TestAFolderIsNoObjectAndAnObjectNoFolder(t *testing.T) {
	b := openTest(t, t.TempDir(), linux())
	if err := b.Upload(t.Context(), "a/b", strings.NewReader(""), 0); err != nil {
		t.Fatal(err)
	}
	if err := b.Upload(t.Context(), "a", strings.NewReader(""), 0); !errors.Is(err, ErrExists) {
		t.Errorf("Upload over a folder = %v, want ErrExists", err)
	}
	if err := b.Upload(t.Context(), "a/b/c", strings.NewReader(""), 0); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Upload below an object = %v, want ErrUnavailable", err)
	}
}

func TestRangesOfAnObject(t *testing.T) {
	raw := openRaw(t, t.TempDir())
	data := []byte("0123456789")
	if err := raw.WriteAll(t.Context(), "x", data, nil); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		offset, length int64
		want           string
	}{
		{0, -1, "0123456789"}, {3, -1, "3456789"}, {3, 4, "3456"}, {3, 0, ""}, {0, 1, "0"},
		{8, 100, "89"}, {10, -1, ""}, {20, -1, ""}, {20, 5, ""},
	} {
		r, err := raw.NewRangeReader(t.Context(), "x", test.offset, test.length, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != test.want || r.Size() != 10 {
			t.Errorf("range %d+%d = %q of %d, %v; want %q of 10", test.offset, test.length, got, r.Size(), err, test.want)
		}
		r.Close()
	}
	r, err := raw.NewReader(t.Context(), "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Seek(5, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != "56789" {
		t.Errorf("after Seek(5) = %q, %v", got, err)
	}
}

func TestListingByDelimiterAndPage(t *testing.T) {
	raw := openRaw(t, t.TempDir())
	keys := []string{"a-b", "a.b", "a/b/c", "a/b/d", "a/x", "a0", "b/b/b", "c"}
	write(t, raw, keys...)
	tests := []struct {
		prefix, delimiter string
		want              []string
	}{
		{"", "", keys},
		{"", "/", []string{"a-b", "a.b", "a/", "a0", "b/", "c"}},
		{"a/", "/", []string{"a/b/", "a/x"}},
		{"a", "/", []string{"a-b", "a.b", "a/", "a0"}},
		{"", "b", []string{"a-b", "a.b", "a/b", "a/x", "a0", "b", "c"}},
		{"b", "/", []string{"b/"}},
		{"x/", "/", nil},
	}
	for _, test := range tests {
		for size := 1; size <= len(keys)+1; size++ {
			got, pages := listByPage(t, raw, size, test.prefix, test.delimiter)
			if !slices.Equal(got, test.want) {
				t.Errorf("pages of %d below %q by %q = %q, want %q", size, test.prefix, test.delimiter, got, test.want)
			}
			if want := max(1, (len(test.want)+size-1)/size); pages != want {
				t.Errorf("pages of %d below %q by %q: %d pages, want %d", size, test.prefix, test.delimiter, pages, want)
			}
		}
	}
}

func listByPage(t *testing.T, raw *blob.Bucket, size int, prefix, delimiter string) (keys []string, pages int) {
	t.Helper()
	for token := blob.FirstPageToken; len(token) > 0; pages++ {
		page, next, err := raw.ListPage(t.Context(), token, size, &blob.ListOptions{Prefix: prefix, Delimiter: delimiter})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page {
			if o.IsDir != strings.HasSuffix(o.Key, delimiter) && delimiter != "" {
				t.Errorf("%q listed by %q with IsDir %v", o.Key, delimiter, o.IsDir)
			}
			keys = append(keys, o.Key)
		}
		token = next
	}
	return keys, pages
}

func TestACancelStopsTheWalk(t *testing.T) {
	b, err := openFile(t.TempDir(), FileOptions{}, linux())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.ListPaged(ctx, &driver.ListOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("ListPaged after a cancel = %v, want the context's error", err)
	}
}

func TestDeletingTakesOneObject(t *testing.T) {
	raw := openRaw(t, t.TempDir())
	write(t, raw, "a/b", "a/c")
	for _, key := range []string{"a", "x", "a/x", "a/b/x"} {
		if err := raw.Delete(t.Context(), key); gcerrors.Code(err) != gcerrors.NotFound {
			t.Errorf("Delete(%q) = %v, want NotFound", key, err)
		}
	}
	if err := raw.Delete(t.Context(), "a/../a/b"); gcerrors.Code(err) != gcerrors.InvalidArgument {
		t.Errorf("Delete of an unsafe key = %v, want InvalidArgument", err)
	}
	if err := raw.Delete(t.Context(), "a/b"); err != nil {
		t.Error(err)
	}
	if got, _ := listByPage(t, raw, 10, "", ""); !slices.Equal(got, []string{"a/c"}) {
		t.Errorf("after Delete the store holds %q", got)
	}
}

func TestWhatAFolderCannotKeepIsRefused(t *testing.T) {
	raw := openRaw(t, t.TempDir())
	write(t, raw, "a")
	_, signErr := raw.SignedURL(t.Context(), "a", nil)
	for call, err := range map[string]error{
		"Copy":      raw.Copy(t.Context(), "b", "a", nil),
		"SignedURL": signErr,
		"metadata":  raw.WriteAll(t.Context(), "c", nil, &blob.WriterOptions{Metadata: map[string]string{"k": "v"}}),
	} {
		if gcerrors.Code(err) != gcerrors.Unimplemented {
			t.Errorf("%s = %v, want Unimplemented", call, err)
		}
	}
	if got, _ := listByPage(t, raw, 10, "", ""); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the store holds %q, want what it held before", got)
	}
}

// TestHooksAreCalledOnceAndHeeded is what gocloud's driver contract asks.
func TestHooksAreCalledOnceAndHeeded(t *testing.T) {
	raw := openRaw(t, t.TempDir())
	write(t, raw, "a")
	veto := errors.New("veto")
	calls := map[string]func(hook func(func(any) bool) error) error{
		"write": func(h func(func(any) bool) error) error {
			return raw.WriteAll(t.Context(), "b", nil, &blob.WriterOptions{BeforeWrite: h})
		},
		"read": func(h func(func(any) bool) error) error {
			r, err := raw.NewReader(t.Context(), "a", &blob.ReaderOptions{BeforeRead: h})
			if err == nil {
				r.Close()
			}
			return err
		},
		"list": func(h func(func(any) bool) error) error {
			_, _, err := raw.ListPage(t.Context(), blob.FirstPageToken, 5, &blob.ListOptions{BeforeList: h})
			return err
		},
		"delete": func(h func(func(any) bool) error) error {
			return raw.DeleteWithOptions(t.Context(), "a", &blob.DeleteOptions{BeforeDelete: h})
		},
	}
	for _, name := range []string{"read", "list", "write", "delete"} {
		n := 0
		err := calls[name](func(as func(any) bool) error { n++; as(new(int)); return veto })
		if n != 1 || !errors.Is(err, veto) {
			t.Errorf("%s called its hook %d times and gave %v; want once, and its veto", name, n, err)
		}
		if err := calls[name](func(func(any) bool) error { return nil }); err != nil {
			t.Errorf("%s with a hook that agrees: %v", name, err)
		}
	}
}

func TestErrorCodesOfAFolder(t *testing.T) {
	b := &fileBucket{}
	for err, want := range map[error]gcerrors.ErrorCode{
		errBadKey:                          gcerrors.InvalidArgument,
		errUnimplemented:                   gcerrors.Unimplemented,
		ErrExists:                          gcerrors.FailedPrecondition,
		unix.ENOENT:                        gcerrors.NotFound,
		unix.ENOTDIR:                       gcerrors.NotFound,
		unix.ENOSPC:                        gcerrors.ResourceExhausted,
		unix.EDQUOT:                        gcerrors.ResourceExhausted,
		unix.EACCES:                        gcerrors.PermissionDenied,
		unix.EPERM:                         gcerrors.PermissionDenied,
		unix.EROFS:                         gcerrors.PermissionDenied,
		unix.EIO:                           gcerrors.Unknown,
		unix.EEXIST:                        gcerrors.Unknown,
		fs.ErrClosed:                       gcerrors.Unknown,
		errors.New("a text of no meaning"): gcerrors.Unknown,
	} {
		wrapped := fmt.Errorf("op: %w", &fs.PathError{Op: "op", Path: "x", Err: err})
		if got := b.ErrorCode(wrapped); got != want {
			t.Errorf("ErrorCode(%v) = %v, want %v", err, got, want)
		}
	}
}

// TestAnObjectIsReadAsItWasOpened replaces and removes an object under a reader.
func TestAnObjectIsReadAsItWasOpened(t *testing.T) {
	raw := openRaw(t, t.TempDir())
	first := bytes.Repeat([]byte("1"), 100_000)
	if err := raw.WriteAll(t.Context(), "x", first, nil); err != nil {
		t.Fatal(err)
	}
	r, err := raw.NewReader(t.Context(), "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := raw.WriteAll(t.Context(), "x", []byte("2"), nil); err != nil {
		t.Fatal(err)
	}
	if err := raw.Delete(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); !bytes.Equal(got, first) {
		t.Errorf("a reader of a replaced object read %d bytes, %v; want the first %d", len(got), err, len(first))
	}
}

func TestTheOpenerTakesOnlyWhatItKnows(t *testing.T) {
	dir := t.TempDir()
	fresh := filepath.Join(dir, "fresh")
	tests := []struct {
		raw  string
		want string // part of the error; empty for success
	}{
		{"file://" + dir, ""},
		{"file://localhost" + dir, ""},
		{"file://" + dir + "?create_dir=false", ""},
		{"file://" + dir + "?prefix=team/", ""}, // the mux takes it
		{"file://" + fresh, "no such folder"},
		{"file://" + fresh + "?create_dir=0", "no such folder"},
		{"file://" + fresh + "/deep?create_dir=true", ""},
		{"file://" + dir + "?create_dir", "create_dir"},
		{"file://" + dir + "?create_dir=maybe", "create_dir"},
		{"file://" + dir + "?create_dir=true&create_dir=false", "twice"},
		{"file://" + dir + "?no_tmp_dir=1", `"no_tmp_dir"`},
		{"file://" + dir + "?metadata=skip&create_dir=true", `"metadata"`},
		{"file://" + dir + "?a;b", "query"},
		{"file://" + dir + "#x", "%23"},
		{"file://backups", "three slashes"},
		{"file://./backups", "three slashes"},
		{"file://", "absolute"},
		{"file:backups", "absolute"},
		{"file://zzz:zzz@localhost" + dir, "user"},
		{"file://zzz@" + dir, "user"},
		{"file://" + dir + "?access_key=zzz", `"access_key"`},
	}
	var mux blob.URLMux
	mux.RegisterBucket("file", FileOpener{})
	for _, test := range tests {
		raw, err := mux.OpenBucket(t.Context(), test.raw)
		if err == nil {
			write(t, raw, "x")
			raw.Close()
		}
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("open %q = %v; want an error with %q", test.raw, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "zzz") {
			t.Errorf("open %q = %v: it tells a secret", test.raw, err)
		}
	}
	if got, want := filesIn(t, dir), []string{"fresh/deep/x", "team/x", "x"}; !slices.Equal(got, want) {
		t.Errorf("the opened stores wrote %q, want %q", got, want)
	}
	if _, err := (FileOpener{}).OpenBucketURL(t.Context(), &url.URL{Scheme: "s3", Path: dir}); err == nil {
		t.Error("the opener took another scheme")
	}
}
