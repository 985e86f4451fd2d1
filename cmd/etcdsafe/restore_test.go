package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// TestRestoreAsOf chooses by when the stream was opened.
func TestRestoreAsOf(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, nil)
	now := time.Now()
	var ids []string
	for _, ago := range []time.Duration{3 * time.Minute, 2 * time.Minute, time.Minute} {
		r := u.inProcess(t.Context(), -ago, "snapshot", "--endpoints", c.Endpoints()[0])
		if r.code != exitOK {
			t.Fatal(r)
		}
		ids = append(ids, r.field(t, "archive.id"))
	}
	for ago, want := range map[time.Duration]int{150 * time.Second: 0, 90 * time.Second: 1, 30 * time.Second: 2, -time.Hour: 2} {
		// In another zone, which must not matter.
		at := now.Add(-ago).In(time.FixedZone("", 9*3600)).Format(time.RFC3339)
		r := u.ok(t, "restore", "latest", "--as-of", at, "--dry-run", "--data-dir", "data")
		if got := r.field(t, "archive.id"); got != ids[want] {
			t.Errorf("as of %v ago: %s, want %s", ago, got, ids[want])
		}
	}
	u.exits(t, exitFailed, "restore", "latest", "--as-of", now.Add(-time.Hour).Format(time.RFC3339), "--data-dir", "data")
}

// TestRestoreGivesTheFolderToItsOwner: all of it, the folder that was there already among it,
// or else etcd cannot open what is its own.
func TestRestoreGivesTheFolderToItsOwner(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, nil)
	u.ok(t, "snapshot", "--endpoints", c.Endpoints()[0])
	uid, gid := 1234, 2345
	if os.Geteuid() != 0 {
		uid, gid = os.Geteuid(), os.Getegid() // nobody else can give files away
	}
	owner := fmt.Sprintf("%d:%d", uid, gid)
	for _, target := range []string{"missing", "empty", "full"} {
		t.Run(target, func(t *testing.T) {
			args := []string{"restore", "latest", "--owner", owner, "--data-dir", target}
			switch target {
			case "full":
				u.mkdir(t, target)
				u.write(t, "full/note", "")
				args = append(args, "--move-aside")
			case "empty":
				u.mkdir(t, target)
			}
			u.ok(t, args...)
			checkOwner(t, u.path(target), uid, gid)
		})
	}
	t.Run("db-only", func(t *testing.T) {
		u.ok(t, "restore", "latest", "--owner", owner, "--db-only", "snapshot.db")
		checkOwner(t, u.path("snapshot.db"), uid, gid)
	})
	t.Run("fetch-only", func(t *testing.T) {
		u.mkdir(t, "fetched")
		u.ok(t, "restore", "latest", "--owner", owner, "--fetch-only", "fetched")
		for _, file := range u.glob(t, "fetched/*") {
			checkOwner(t, file, uid, gid)
		}
	})
}

func checkOwner(t *testing.T, path string, uid, gid int) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		n++
		info, err := d.Info()
		if err != nil {
			return err
		}
		if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != uid || int(st.Gid) != gid {
			t.Errorf("%s belongs to %d:%d, want %d:%d", path, st.Uid, st.Gid, uid, gid)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Fatalf("walked %d files: %v", n, err)
	}
}

// TestRestoreOfThreeMembersMakesOneCluster: with what the report says to start them with.
func TestRestoreOfThreeMembersMakesOneCluster(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	c.Put(t, func(yield func(string, []byte) bool) {
		for i := range 20 {
			if !yield(fmt.Sprintf("/app/%d", i), fmt.Appendf(nil, "value-%d", i)) {
				return
			}
		}
	})
	u := newOperator(t, nil)
	id := u.ok(t, "snapshot", "--endpoints", c.Endpoints()[0]).field(t, "archive.id")
	rev := func(c *etcdtest.Cluster, member int) uint32 {
		hash, _ := c.HashKV(t, member, 21)
		return hash
	}
	want := rev(c, 0)

	three := etcdtest.New(t, etcdtest.Options{Members: 3})
	for _, m := range three.Members {
		r := u.ok(t, "restore", id, "--data-dir", m.DataDir, "--name", m.Name, "--initial-cluster", three.InitialCluster(), "--initial-advertise-peer-urls", m.PeerURL)
		if got := r.field(t, "start.2"); !strings.Contains(got, "--name m2 ") || !strings.Contains(got, "--initial-cluster-token etcdsafe-"+id) {
			t.Errorf("the third member is to be started with %q", got)
		}
	}
	three.Run(t)
	for i := range three.Members {
		if got := rev(three, i); got != want {
			t.Errorf("HashKV of member %d is %d, want %d", i, got, want)
		}
	}
}

// TestRestoreKeepsTheOldFolder whatever happens after it was to be moved aside.
func TestRestoreKeepsTheOldFolder(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, nil)
	u.ok(t, "snapshot", "--endpoints", c.Endpoints()[0])
	u.mkdir(t, "old/member")
	u.write(t, "old/member/db", "precious")
	raw := u.glob(t, "store/prod/archives/*")
	if len(raw) != 1 {
		t.Fatal(raw)
	}
	text, err := os.ReadFile(raw[0])
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(raw[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	u.exits(t, exitIntegrity, "restore", "latest", "--data-dir", "old", "--move-aside")
	if got := u.read(t, "old/member/db"); got != "precious" {
		t.Errorf("the old folder holds %q", got)
	}
	if left := append(u.glob(t, "old.*"), u.glob(t, ".old*")...); left != nil {
		t.Errorf("left beside: %q", left)
	}
}
