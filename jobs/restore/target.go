package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
)

// target is where a data folder is to be.
type target struct {
	dir    string // as the user named it
	exists bool
	full   bool // something lies in it that must be moved aside
	mount  bool // it is a mount point, and cannot be renamed
}

// openTarget looks at dir. It refuses (ErrRefused) one that is not empty, unless it is to be
// moved aside, and one whose database a running etcd holds.
func openTarget(dir string, moveAside bool) (target, error) {
	t := target{dir: filepath.Clean(dir)}
	if real, err := filepath.EvalSymlinks(t.dir); err == nil {
		t.dir = real // a link is not to be renamed, nor its own disk to be filled
	}
	entries, err := os.ReadDir(t.dir)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = os.Stat(filepath.Dir(t.dir))
	} else {
		t.exists = true
	}
	if err != nil {
		return t, fmt.Errorf("data folder %q: %w: %w", dir, bare(err), ErrRefused)
	}
	inWay := slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return keeps(e.Name()) })
	t.full, t.mount = len(inWay) > 0, t.exists && isMount(t.dir)
	if err := notInUse(filepath.Join(t.dir, "member", "snap", "db")); err != nil {
		return t, fmt.Errorf("data folder %q: %w: %w", dir, err, ErrRefused)
	}
	if t.full && !moveAside {
		return t, fmt.Errorf("data folder %q is not empty (it holds %q): empty it, name another, or use --move-aside: %w", dir, inWay[0].Name(), ErrRefused)
	}
	return t, nil
}

const (
	asidePrefix   = ".pre-restore-"
	scratchPrefix = ".etcdsafe-"
)

// keeps says whether something in a data folder is in nobody's way: what mkfs made, and what
// this job moved aside or builds.
func keeps(name string) bool {
	return name == "lost+found" || strings.HasPrefix(name, asidePrefix) || strings.HasPrefix(name, scratchPrefix)
}

// isMount says whether dir is the root of a mount, bind mounts among them (statx, Linux 5.8).
func isMount(dir string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_BASIC_STATS, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// inside says whether only `member` in the folder is made: where the folder is a mount point,
// or is there, empty, and somebody's.
func (t target) inside() bool { return t.exists && (t.mount || !t.full) }

// notInUse fails where somebody holds the lock that bbolt takes on its file, and where that cannot
// be told.
func notInUse(db string) error {
	f, err := os.Open(db)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("whether etcd runs on %q cannot be told: %w", db, bare(err))
	}
	defer f.Close() //nolint:errcheck // a reader's Close, which frees the lock as well
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return errors.New("it is in use by a running etcd")
	case err != nil:
		return fmt.Errorf("whether etcd runs on %q cannot be told: %w", db, err)
	}
	return nil
}

// walBytes is what etcd's library lays out for an empty log (server/storage/wal, SegmentSizeBytes).
const walBytes = 64 << 20

// room fails where a folder made of a snapshot of so many bytes does not fit on the target's disk.
// Asked before anything is written, it is no promise.
func (t target) room(snapshotBytes int64) error {
	beside := filepath.Dir(t.dir)
	if t.inside() {
		beside = t.dir
	}
	return spool.Place{Dir: beside}.Fits("disk of data folder", snapshotBytes+walBytes, "the database + 64 MiB of log")
}

// scratch makes the folder to build in, on the same mount as what it will become.
func (t target) scratch(suffix string) (string, error) {
	dir := filepath.Join(filepath.Dir(t.dir), "."+filepath.Base(t.dir)+scratchPrefix+suffix)
	if t.inside() {
		dir = filepath.Join(t.dir, scratchPrefix+suffix)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("make %q: %w", dir, bare(err))
	}
	return dir, nil
}

// take renames what lies in scratch to its final name, after moving aside what is in the way.
// It returns where that went, or "". All renames are synced; where the last one fails, what was
// moved aside comes back. Only the sync behind the last rename can fail with the new folder there.
func (t target) take(scratch string, now time.Time) (aside string, err error) {
	stamp := asidePrefix + now.UTC().Format("20060102T150405Z")
	switch {
	case t.inside():
		return t.takeInside(scratch, filepath.Join(t.dir, stamp))
	case t.full:
		aside = filepath.Join(filepath.Dir(t.dir), filepath.Base(t.dir)+stamp)
		if err := rename(t.dir, aside); err != nil {
			return "", err
		}
	}
	if err := rename(scratch, t.dir); err != nil {
		if aside != "" {
			err = errors.Join(err, rename(aside, t.dir))
		}
		return "", err
	}
	return aside, syncPath(filepath.Dir(t.dir))
}

func (t target) takeInside(scratch, stamp string) (aside string, err error) {
	var moved []string
	undo := func(err error) (string, error) {
		for _, name := range moved {
			err = errors.Join(err, rename(filepath.Join(stamp, name), filepath.Join(t.dir, name)))
		}
		if t.full {
			err = errors.Join(err, os.Remove(stamp))
		}
		return "", err
	}
	if t.full {
		aside = stamp
		if moved, err = t.clear(aside); err != nil {
			return undo(err)
		}
	}
	// etcd warns of a data folder that others may read.
	if err := os.Chmod(t.dir, 0o700); err != nil { //nolint:gosec // a folder
		return undo(fmt.Errorf("chmod %q: %w", t.dir, bare(err)))
	}
	if err := rename(filepath.Join(scratch, "member"), filepath.Join(t.dir, "member")); err != nil {
		return undo(err)
	}
	if err := os.Remove(scratch); err != nil {
		return aside, fmt.Errorf("remove %q: %w", scratch, bare(err))
	}
	return aside, syncPath(t.dir)
}

// clear moves what is in the way into a folder inside, on the same mount, and says what it moved,
// with an error too.
func (t target) clear(aside string) (moved []string, err error) {
	if err := os.Mkdir(aside, 0o700); err != nil {
		return nil, fmt.Errorf("make %q: %w", aside, bare(err))
	}
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return nil, fmt.Errorf("move aside: %w", bare(err))
	}
	for _, e := range entries {
		if keeps(e.Name()) {
			continue
		}
		if err := rename(filepath.Join(t.dir, e.Name()), filepath.Join(aside, e.Name())); err != nil {
			return moved, err
		}
		moved = append(moved, e.Name())
	}
	return moved, errors.Join(syncPath(aside), syncPath(t.dir))
}

func rename(from, to string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("rename %q to %q: %w", from, to, err)
	}
	return nil
}

// syncTree syncs every file and folder below dir, and dir itself: etcd's restore leaves
// member/snap and the folders above unsynced.
func syncTree(dir string, each func(path string) error) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("sync %q: %w", path, bare(err))
		}
		if err := each(path); err != nil {
			return err
		}
		return syncPath(path)
	})
}

// syncPath syncs one file or folder.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync %q: %w", path, bare(err))
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %q: %w", path, bare(err))
	}
	return nil
}

// bare drops the path from an error whose text names it already.
func bare(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
