package soak

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// TestJobsFitIntoLittleMemory runs snapshot, verify and restore, each in a control group whose
// limit is far below the database's size, its children included. Slow is allowed, wrong is not:
// HashKV is the live member's, and etcd starts on the restored folder with all keys.
func TestJobsFitIntoLittleMemory(t *testing.T) {
	size := scaleOf(t)
	sum := newSummary(t, "memory")
	m := &memory{rig: newRig(t, "-bytes", size.memoryBytes), limit: size.memoryLimit, sum: sum}
	sum.add("| job | database | limit for all processes | of it anonymous, most | time |")
	sum.add("|---|---:|---:|---:|---:|")

	m.confined("snapshot", append(m.sealing(), "--compare", "all")...)
	if t.Failed() {
		return
	}
	all := m.list()
	if len(all) != 1 || all[0].HashKV != catalog.Equal {
		t.Fatalf("list says %+v, want one archive that equals the live member", all)
	}
	m.m = m.manifest(all[0].ID)
	if hash, compacted := m.cluster.HashKV(t, 0, m.m.HashKV.Revision); hash != m.m.HashKV.Hash || compacted != m.m.HashKV.CompactRevision {
		t.Errorf("the member has HashKV %d compacted at %d, the manifest %+v", hash, compacted, m.m.HashKV)
	}
	// Only the store may be needed from here on; and the member's memory is somebody else's.
	m.cluster.Members[0].Stop(t)

	m.confined("verify", m.opening("verify", string(m.m.ID), "--level", "content")...)
	dir := filepath.Join(m.dir, "data")
	m.confined("restore", m.opening("restore", string(m.m.ID), "--data-dir", dir)...)
	if !t.Failed() {
		m.serves(dir)
	}
}

// confinedWait ends a job that does nothing but wait for pages; restore of 2 GB in 256 MiB took
// three minutes.
const confinedWait = 45 * time.Minute

type memory struct {
	*rig
	m     catalog.Manifest
	limit int64
	sum   *summary
}

// confined runs one job in a group of its own.
func (m *memory) confined(job string, args ...string) {
	m.t.Helper()
	g := newGroup(m.t, m.limit)
	m.forget()
	ctx, stop := context.WithTimeout(m.t.Context(), confinedWait)
	defer stop()
	var out output
	began := time.Now()
	use := g.during(func() { out = m.finish(g.confine(ctx, m.command(ctx, args...))) })
	took := time.Since(began)
	verdict := took.Round(100 * time.Millisecond).String()
	if out.code != 0 || use.kills > 0 {
		m.t.Errorf("%s in %d MiB exits with %d, killed %d times for lack of memory, peak %+v, after %v\n%s%s", job, m.limit>>20, out.code, use.kills, use, took, out.stdout, out.stderr)
		verdict = fmt.Sprintf("FAILED with exit code %d, %d kills by the kernel", out.code, use.kills)
	}
	m.sum.add(fmt.Sprintf("| %s | %d MiB | %d MiB of %d MiB | %d MiB | %s |", job, m.bytes()>>20, use.peak>>20, m.limit>>20, use.anonymous>>20, verdict))
	m.tidy()
}

func (m *memory) bytes() int64 {
	info, err := os.Stat(filepath.Join(m.cluster.Members[0].DataDir, "member", "snap", "db"))
	if err != nil {
		m.t.Fatal(err)
	}
	return info.Size()
}

// forget drops the store's pages from the cache: what an earlier job read is charged to that
// job's group, and would be had for nothing.
func (m *memory) forget() {
	m.t.Helper()
	for _, name := range files(m.t, m.store) {
		f, err := os.Open(filepath.Join(m.store, name))
		if err != nil {
			m.t.Fatal(err)
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			m.t.Error(err)
		}
		f.Close()
	}
}

// serves fails unless the folder holds what the manifest promises, and etcd serves it.
func (m *memory) serves(dir string) {
	m.t.Helper()
	m.holds(filepath.Join(dir, "member", "snap", "db"), m.m)
	c := etcdtest.StartOnDataDir(m.t, version, dir, "--quota-backend-bytes=8589934592")
	resp, err := c.Client(m.t).Get(m.t.Context(), "", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || resp.Count != m.m.Snapshot.Keys {
		m.t.Errorf("etcd on the restored folder counts %v, %v; the manifest has %d keys", resp, err, m.m.Snapshot.Keys)
	}
	m.sum.add("")
	m.sum.add(fmt.Sprintf("HashKV %d at revision %d of manifest, live member and restored folder equal; etcd serves %d keys from it. Spools and target on disk, GOMEMLIMIT unset.",
		m.m.HashKV.Hash, m.m.HashKV.Revision, m.m.Snapshot.Keys))
}
