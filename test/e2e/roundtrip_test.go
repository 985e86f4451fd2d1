package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
	"github.com/etcdsafe/etcdsafe/test/data"
)

// Invariant 11, and the whole of the main job: a snapshot of a cluster under writes, opened by
// stock tools and by restore, is the same etcd again.
func TestArchiveIsTheSameEtcdAgain(t *testing.T) {
	for _, version := range etcdtest.Versions {
		t.Run(version, func(t *testing.T) {
			c := etcdtest.Start(t, etcdtest.Options{Version: version, Members: 3, TLS: true, Auth: true})
			c.Put(t, data.Kubernetes(1, 300))
			compact(t, c)
			stop := writes(t, c)
			u := newUser(t).of(c)
			u.run(0, "snapshot")
			stop()

			m := u.manifest()
			if m.HashKV.Outcome != catalog.Equal || m.Member.Leader || !m.Quorum {
				t.Errorf("manifest: HashKV %q (%s), leader %t, quorum %t; want equal, off a follower, with a quorum", m.HashKV.Outcome, m.HashKV.Why, m.Member.Leader, m.Quorum)
			}
			for i := range c.Members {
				hash, compacted := c.HashKV(t, i, m.HashKV.Revision)
				if hash != m.HashKV.Hash || compacted != m.HashKV.CompactRevision {
					t.Errorf("member %d: HashKV %d, compacted at %d; manifest %d and %d", i, hash, compacted, m.HashKV.Hash, m.HashKV.CompactRevision)
				}
			}
			u.run(0, "verify", "latest")

			u.shell(fmt.Sprintf("%s -d -i identity.txt store/prod/%s | zstd -d > snapshot.db && sha256sum -c <<<'%s  snapshot.db'", etcdtest.Tool(t, "age"), m.Archive.Object, m.Snapshot.SHA256))
			u.shell(fmt.Sprintf("%s snapshot restore snapshot.db --data-dir stock", etcdtest.Tool(t, "etcdutl-"+version)))
			same(t, version, u.path("stock"), m, 0)

			u.run(13, "restore", string(m.ID), "--data-dir", u.path("ours")) // its own cluster is up
			u.etcd = nil
			u.run(0, "restore", string(m.ID), "--data-dir", u.path("ours"), "--bump-revision", "0")
			same(t, version, u.path("ours"), m, 0)
			out, _ := u.run(0, "restore", "latest", "--data-dir", u.path("bumped"), "--name", "m0")
			var report struct{ BumpedBy int64 }
			if err := json.Unmarshal([]byte(out), &report); err != nil || report.BumpedBy != 1_000_000_000 {
				t.Errorf("restore of Kubernetes keys bumped by %d, %v", report.BumpedBy, err)
			}
			same(t, version, u.path("bumped"), m, report.BumpedBy)
		})
	}
}

// compact leaves something finished behind, so that HashKV has something to skip.
func compact(t *testing.T, c *etcdtest.Cluster) {
	t.Helper()
	client := c.Client(t)
	for i := range 50 {
		if _, err := client.Put(t.Context(), fmt.Sprintf("/registry/pods/a/p%d", i%20), "v"); err != nil {
			t.Fatal(err)
		}
	}
	r, err := client.Delete(t.Context(), "/registry/pods/a/p3")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Compact(t.Context(), r.Header.Revision-5, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
}

// writes puts and deletes all the while, without compacting: a member compacted further would
// answer another HashKV.
func writes(t *testing.T, c *etcdtest.Cluster) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	client := c.Client(t)
	var wait sync.WaitGroup
	wait.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			key := fmt.Sprintf("/registry/leases/l%d", i%100)
			if _, err := client.Put(ctx, key, fmt.Sprint(i)); err == nil && i%7 == 0 {
				client.Delete(ctx, key)
			}
		}
	})
	return func() { cancel(); wait.Wait() }
}

// same starts etcd on a restored folder and compares it with the manifest.
func same(t *testing.T, version, dir string, m catalog.Manifest, bumped int64) {
	t.Helper()
	c := etcdtest.New(t, etcdtest.Options{Version: version, DataDir: dir})
	c.User, c.Password = etcdtest.RootUser, etcdtest.RootPassword
	c.Run(t)
	r, err := c.Client(t).Get(t.Context(), "\x00", clientv3.WithFromKey(), clientv3.WithCountOnly()) // the lock's key too
	if err != nil {
		t.Fatal(err)
	}
	if r.Count != m.Snapshot.Keys || r.Header.Revision != m.Snapshot.Revision+bumped {
		t.Errorf("%s serves %d keys at revision %d, want %d at %d", dir, r.Count, r.Header.Revision, m.Snapshot.Keys, m.Snapshot.Revision+bumped)
	}
	if bumped == 0 {
		if hash, _ := c.HashKV(t, 0, m.HashKV.Revision); hash != m.HashKV.Hash {
			t.Errorf("%s has HashKV %d at revision %d, the manifest %d", dir, hash, m.HashKV.Revision, m.HashKV.Hash)
		}
	}
	c.Members[0].Stop(t)
}

// A cluster without a quorum is when a backup is wanted most.
func TestSnapshotCommitsWithoutAQuorum(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 3, TLS: true})
	c.Put(t, data.Kubernetes(1, 50))
	u := newUser(t).of(c)
	c.Members[1].Stop(t)
	c.Members[2].Stop(t)
	out, _ := u.run(3, "snapshot")
	var report struct {
		Cause, Result string
		Committed     bool
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if report.Cause != "cluster" || report.Result != "partial" || !report.Committed {
		t.Errorf("report %+v, want cause cluster, result partial, committed", report)
	}
	m := u.manifest()
	if m.Quorum || m.Member.Name != "m0" {
		t.Errorf("manifest: quorum %t, member %q; want none, and the one that is left", m.Quorum, m.Member.Name)
	}
	u.run(0, "verify", "latest")
}
