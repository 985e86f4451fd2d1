package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
)

// TestABadSpoolFolderIsRefusedBeforeTheStream names what is wrong with it, and holds no member.
func TestABadSpoolFolderIsRefusedBeforeTheStream(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c.Put(t, noise(20, 100_000))
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		name  string
		place spool.Place
		want  error
		says  []string
	}{
		{"does not exist", spool.Place{Dir: "/nowhere/spool"}, spool.ErrPlace, []string{`"/nowhere/spool"`, "no such file"}},
		{"is a file", spool.Place{Dir: file}, spool.ErrPlace, []string{file, "not a folder"}},
		{"is read-only", spool.Place{Dir: disk(t, 256<<20, true)}, spool.ErrPlace, []string{"read-only"}},
		{"is small", spool.Place{Dir: disk(t, 8<<20, false)}, spool.ErrNoRoom, []string{"8.0 MiB free", "needed are ", "2 x the database + 64 MiB"}},
		{"is limited", spool.Place{Dir: t.TempDir(), MaxBytes: 64 << 20}, spool.ErrNoRoom, []string{"limit is 64.0 MiB", "needed are ", "2 x the database + 64 MiB"}},
		{"is limited memory", spool.Place{Kind: spool.Memory, MaxBytes: 64 << 20}, spool.ErrNoRoom, []string{"limit is 64.0 MiB", "needed are "}},
	} {
		for _, dry := range []bool{false, true} {
			if dry && bad.name == "is read-only" {
				continue // only a file made there shows it
			}
			t.Run(fmt.Sprintf("%s,dry=%v", bad.name, dry), func(t *testing.T) {
				r := newRig(t, c)
				r.Place, r.DryRun = bad.place, dry
				_, err := r.refused()
				if !errors.Is(err, bad.want) || errors.Is(err, etcd.ErrUnavailable) {
					t.Errorf("Run = %v, want %v, and not etcd's fault", err, bad.want)
				}
				for _, text := range bad.says {
					if !strings.Contains(fmt.Sprint(err), text) {
						t.Errorf("Run = %v, want %q in it", err, text)
					}
				}
			})
		}
	}
	if n := streams(t, c); n != 0 {
		t.Errorf("%d streams were opened, want none", n)
	}
}

// TestRoomIsAskedForTwiceTheDatabase compares the number with the member's own.
func TestRoomIsAskedForTwiceTheDatabase(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	c.Put(t, noise(50, 100_000))
	r := newRig(t, c)
	r.Place.Dir = disk(t, 8<<20, false)
	// A database goes on growing for a moment after the last put.
	said, want := "", "-"
	for i := 0; i < 10 && !strings.Contains(said, want); i++ {
		known, err := etcd.Discover(t.Context(), r.Etcd)
		if err != nil {
			t.Fatal(err)
		}
		want = fmt.Sprintf("needed are %.1f MiB", float64(2*known.Members[0].Status.DBBytes+64<<20)/(1<<20))
		_, err = r.refused()
		said = err.Error()
	}
	if !strings.Contains(said, want) {
		t.Errorf("Run = %v, want %q in it", said, want)
	}
}

// TestAFullDiskWhileSpoolingIsOurs fills the disk in mid-stream: no other member is held for
// what it cannot help.
func TestAFullDiskWhileSpoolingIsOurs(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c.Put(t, noise(60, 100_000))
	for _, leave := range []int64{0, 1 << 20} {
		t.Run(fmt.Sprint(leave), func(t *testing.T) {
			before := streams(t, c)
			r := newRig(t, c)
			mount := disk(t, 100<<20, false)
			r.spool = filepath.Join(mount, "spool")
			if err := os.Mkdir(r.spool, 0o700); err != nil {
				t.Fatal(err)
			}
			r.Place.Dir = r.spool
			r.inStream(func() { fillUp(t, mount, leave) })
			_, err := r.refused()
			if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, etcd.ErrUnavailable) {
				t.Errorf("Run = %v, want ENOSPC, and not etcd's fault", err)
			}
			if n := streams(t, c) - before; n != 1 {
				t.Errorf("%d streams were opened, want one", n)
			}
		})
	}
}

// TestASpoolAtItsLimitIsOurs has a member that sends far more than its status said.
func TestASpoolAtItsLimitIsOurs(t *testing.T) {
	t.Parallel()
	_, r, lie := lying(t, 3)
	r.Place.MaxBytes = 80 << 20
	asked := 0
	for _, l := range lie {
		l.tell(func(l *liar) { l.stream = func(m *pb.SnapshotResponse) { m.Blob = make([]byte, 16<<20) } })
	}
	_, err := r.refused()
	if !errors.Is(err, spool.ErrFull) || errors.Is(err, etcd.ErrUnavailable) {
		t.Errorf("Run = %v, want spool.ErrFull, and not etcd's fault", err)
	}
	for _, l := range lie {
		asked += l.calls("Snapshot")
	}
	if asked != 1 {
		t.Errorf("%d streams were opened, want one", asked)
	}
}

// TestAFullDiskWhileSealingIsOurs puts /dev/full in the place of the second spool.
func TestAFullDiskWhileSealingIsOurs(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c.Put(t, noise(60, 100_000))
	r := newRig(t, c)
	r.inStream(func() { fullSecondSpool(t, r.spool) })
	_, err := r.refused()
	if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, etcd.ErrUnavailable) {
		t.Errorf("Run = %v, want ENOSPC, and not etcd's fault", err)
	}
	if n := streams(t, c); n != 1 {
		t.Errorf("%d streams were opened, want one", n)
	}
}

// fullSecondSpool makes every write to the smaller of two spools fail as on a full disk.
func fullSecondSpool(t *testing.T, dir string) {
	t.Helper()
	fds := openSpools(t, dir)
	if len(fds) != 2 {
		t.Errorf("%d spools are open in mid-stream, want two", len(fds))
	}
	sealed, least := -1, int64(1)<<62
	for fd, size := range fds {
		if size < least {
			sealed, least = fd, size
		}
	}
	full, err := unix.Open("/dev/full", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer unix.Close(full)
	if err := unix.Dup3(full, sealed, unix.O_CLOEXEC); err != nil {
		t.Error(err)
	}
}

// TestASealThatFailsEndsTheStream has the cores that sealing needs to follow the stream: then a
// full disk must not hold the member until a slow stream's end. It is not parallel, since the
// number of cores is the process's.
func TestASealThatFailsEndsTheStream(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(followFrom))
	c := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c.Put(t, noise(480, 100_000))
	r := newRig(t, c)
	var broken time.Time
	slow := false
	r.Progress = func(_ string, done, _ int64) {
		if broken.IsZero() {
			fullSecondSpool(t, r.spool)
			broken = time.Now()
		}
		// Sealing writes once it has a segment of 32 MiB.
		if done > 28<<20 && !slow {
			slow = true
			c.Members[0].Proxy.Rate(2 << 20)
		}
	}
	_, err := r.refused()
	if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, etcd.ErrUnavailable) {
		t.Errorf("Run = %v, want ENOSPC, and not etcd's fault", err)
	}
	if took := time.Since(broken); took > 7*time.Second {
		t.Errorf("Run went on for %s, as long as the stream of some 9 s; want it ended when the seal failed", took.Round(time.Second))
	}
}

// TestSealingMayFollowTheStream has as many cores too, and checks the outcome alone.
func TestSealingMayFollowTheStream(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(followFrom))
	c := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c.Put(t, noise(100, 100_000))
	c.Members[0].Proxy.Rate(20 << 20)
	newRig(t, c).taken()
	r := newRig(t, c)
	c.Members[0].Proxy.CutAfter(5_000_000, etcdtest.RST)
	if _, err := r.refused(); !errors.Is(err, etcd.ErrUnavailable) {
		t.Errorf("Run with a cut stream = %v, want ErrUnavailable", err)
	}
}
