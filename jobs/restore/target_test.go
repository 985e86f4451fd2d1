package restore

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What was moved aside inside a mount comes back when the last rename fails.
func TestTakeInsideUndoesItsMoves(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"member", "wal", "lost+found"} {
		if err := os.MkdirAll(filepath.Join(dir, name, "inner"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	want := names(t, dir)
	scratch := t.TempDir() // without the folder member: the rename fails
	at := target{dir: dir, exists: true, full: true, mount: true}
	aside, err := at.take(scratch, time.Now())
	if err == nil || aside != "" {
		t.Fatalf("take of an empty scratch folder = %q, %v; want an error", aside, err)
	}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("folder holds %q after the failure, want %q as before", got, want)
	}
}

// The same for a folder that is renamed as a whole.
func TestTakeUndoesItsRename(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(filepath.Join(dir, "member"), 0o700); err != nil {
		t.Fatal(err)
	}
	at := target{dir: dir, exists: true, full: true}
	if aside, err := at.take(filepath.Join(t.TempDir(), "gone"), time.Now()); err == nil || aside != "" {
		t.Fatalf("take of a scratch folder that is gone = %q, %v; want an error", aside, err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"member"}) {
		t.Errorf("folder holds %q after the failure, want what it held", got)
	}
}

func TestOpenTargetRefusesWhatItCannotTell(t *testing.T) {
	for name, make := range map[string]func(db string) error{
		"a locked database": func(db string) error {
			f, err := os.Create(db)
			if err != nil {
				return err
			}
			t.Cleanup(func() { f.Close() })
			return unix.Flock(int(f.Fd()), unix.LOCK_EX)
		},
		"a loop of links": func(db string) error { return os.Symlink(db, db) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			snap := filepath.Join(dir, "member", "snap")
			if err := os.MkdirAll(snap, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := make(filepath.Join(snap, "db")); err != nil {
				t.Fatal(err)
			}
			if _, err := openTarget(dir, true); err == nil {
				t.Error("the folder was taken for free")
			}
		})
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
