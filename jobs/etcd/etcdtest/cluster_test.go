package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/etcdsafe/etcdsafe/test/child"
	"github.com/etcdsafe/etcdsafe/test/doomed"
)

func TestStartServesEachVersion(t *testing.T) {
	for _, version := range Versions {
		for _, o := range []Options{
			{Members: 1},
			{Members: 1, TLS: true, Auth: true},
			{Members: 3},
			{Members: 3, TLS: true, Auth: true},
		} {
			o.Version = version
			t.Run(fmt.Sprintf("%s/members=%d,secure=%v", version, o.Members, o.TLS), func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				c := Start(t, o)
				t.Logf("started in %v", time.Since(began))
				checkMembers(t, c, o)
				checkReachesAll(t, c)
				if secure := strings.HasPrefix(c.Endpoints()[0], "https://"); secure != o.TLS {
					t.Errorf("endpoint %q with TLS=%v", c.Endpoints()[0], o.TLS)
				}
			})
		}
	}
}

// checkMembers compares what Cluster says of its members with what they say.
func checkMembers(t *testing.T, c *Cluster, o Options) {
	t.Helper()
	client := c.Client(t)
	list, err := client.MemberList(t.Context())
	if err != nil {
		t.Fatalf("MemberList: %v", err)
	}
	if len(list.Members) != o.Members || len(c.Members) != o.Members {
		t.Fatalf("%d members listed and %d in Cluster, want %d", len(list.Members), len(c.Members), o.Members)
	}
	for i, m := range c.Members {
		status, err := client.Status(t.Context(), m.ListenURL)
		if err != nil {
			t.Fatalf("Status: %v", err)
		}
		if !strings.HasPrefix(status.Version, o.Version+".") {
			t.Errorf("member %d runs %s, want %s", i, status.Version, o.Version)
		}
		if status.Header.MemberId != m.ID || status.Leader != c.Members[c.Leader(t)].ID {
			t.Errorf("member %d has id %x and leader %x, Cluster says %x and %x",
				i, status.Header.MemberId, status.Leader, m.ID, c.Members[c.Leader(t)].ID)
		}
		at := slices.IndexFunc(list.Members, func(l *etcdserverpb.Member) bool { return l.ID == m.ID })
		if at < 0 {
			t.Fatalf("member %d (%x) is not listed", i, m.ID)
		}
		if l := list.Members[at]; l.Name != m.Name || l.ClientURLs[0] != m.ClientURL || l.PeerURLs[0] != m.PeerURL {
			t.Errorf("member %d is listed as %v, Cluster says %s %s %s", i, l, m.Name, m.ClientURL, m.PeerURL)
		}
	}
}

// checkReachesAll writes through each member and reads through all of them.
func checkReachesAll(t *testing.T, c *Cluster) {
	t.Helper()
	for i := range c.Members {
		if _, err := c.Client(t, i).Put(t.Context(), fmt.Sprint("k", i), "v"); err != nil {
			t.Fatalf("put through member %d: %v", i, err)
		}
		for j := range c.Members {
			resp, err := c.Client(t, j).Get(t.Context(), fmt.Sprint("k", i))
			if err != nil || len(resp.Kvs) != 1 || resp.Header.MemberId != c.Members[j].ID {
				t.Errorf("get through member %d: %v, %v", j, resp, err)
			}
		}
	}
}

func TestReaderMayReadAndNoMore(t *testing.T) {
	for _, version := range Versions {
		t.Run(version, func(t *testing.T) {
			c := Start(t, Options{Version: version, Auth: true})
			if _, err := c.Client(t).Put(t.Context(), "k", "v"); err != nil {
				t.Fatalf("put as root: %v", err)
			}
			reader := c.ClientAs(t, ReaderUser, ReaderPassword)
			if resp, err := reader.Get(t.Context(), "", clientv3.WithPrefix()); err != nil || len(resp.Kvs) != 1 {
				t.Errorf("get all as reader: %v, %v", resp, err)
			}
			if _, err := reader.Put(t.Context(), "k", "w"); !errors.Is(err, rpctypes.ErrPermissionDenied) {
				t.Errorf("put as reader: %v, want permission denied", err)
			}
			// 3.5 sends this one as a plain text of code Unknown, so errors.Is would not find it.
			if _, err := reader.HashKV(t.Context(), c.Members[0].ListenURL, 0); err == nil || !strings.Contains(err.Error(), "permission denied") {
				t.Errorf("HashKV as reader: %v, want permission denied", err)
			}
			if _, err := c.ClientAs(t, "", "").Get(t.Context(), "k"); !errors.Is(err, rpctypes.ErrUserEmpty) {
				t.Errorf("get as nobody: %v, want user name is empty", err)
			}
		})
	}
}

func TestOptionsReachTheServer(t *testing.T) {
	c := Start(t, Options{QuotaBytes: 64 << 20, Args: []string{"--snapshot-count=777"}, Env: []string{"ETCD_MAX_TXN_OPS=55"}})
	for _, want := range []string{`"quota-backend-bytes":67108864`, `"snapshot-count":777`, `ETCD_MAX_TXN_OPS`} {
		if !strings.Contains(c.Members[0].Log(), want) {
			t.Errorf("the log does not say %s", want)
		}
	}
}

func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("ETCD_MAX_TXN_OPS", "55")
	if c := Start(t, Options{}); strings.Contains(c.Members[0].Log(), "ETCD_MAX_TXN_OPS") {
		t.Error("the member read a variable of the test's own environment")
	}
}

func TestRestoredFoldersRun(t *testing.T) {
	for _, version := range Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			db := saveSnapshot(t, version)
			t.Run("one", func(t *testing.T) {
				dir := t.TempDir() + "/restored"
				restore(t, version, db, "--data-dir="+dir)
				checkHas(t, StartOnDataDir(t, version, dir, "--name=other"), "k")
			})
			t.Run("three", func(t *testing.T) {
				c := New(t, Options{Version: version, Members: 3})
				for _, m := range c.Members {
					restore(t, version, db, "--data-dir="+m.DataDir, "--name="+m.Name,
						"--initial-cluster="+c.InitialCluster(), "--initial-advertise-peer-urls="+m.PeerURL)
				}
				c.Run(t)
				checkHas(t, c, "k")
			})
		})
	}
}

func saveSnapshot(t *testing.T, version string) (path string) {
	t.Helper()
	c := Start(t, Options{Version: version})
	if _, err := c.Client(t).Put(t.Context(), "k", "v"); err != nil {
		t.Fatalf("put: %v", err)
	}
	path = t.TempDir() + "/snapshot.db"
	out, err := exec.Command(Tool(t, "etcdctl-"+version), "--endpoints="+c.Endpoints()[0], "snapshot", "save", path).CombinedOutput()
	if err != nil {
		t.Fatalf("snapshot save: %v\n%s", err, out)
	}
	return path
}

func restore(t *testing.T, version, db string, flags ...string) {
	t.Helper()
	args := append([]string{"snapshot", "restore", db}, flags...)
	if out, err := exec.Command(Tool(t, "etcdutl-"+version), args...).CombinedOutput(); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
}

func checkHas(t *testing.T, c *Cluster, key string) {
	t.Helper()
	for i := range c.Members {
		if resp, err := c.Client(t, i).Get(t.Context(), key); err != nil || len(resp.Kvs) != 1 {
			t.Errorf("get through member %d: %v, %v", i, resp, err)
		}
	}
}

func TestDataDirIsForOneMember(t *testing.T) {
	said := doomed.Said(t, func(t testing.TB) { New(t, Options{Members: 3, DataDir: "/nowhere"}) })
	if !strings.Contains(said, "one member") {
		t.Errorf("New said %q", said)
	}
}

func TestStartTellsOfAServerThatEnds(t *testing.T) {
	said := doomed.Said(t, func(t testing.TB) { Start(t, Options{Args: []string{"--no-such-flag"}}) })
	if !strings.Contains(said, "no-such-flag") || !strings.Contains(said, "ended by itself") {
		t.Errorf("Start said %q", said)
	}
}

func TestToolThatIsMissingFails(t *testing.T) {
	t.Setenv("ETCDSAFE_TOOLS", t.TempDir())
	for name, group := range map[string]string{"etcd-3.6": "etcd36", "etcdutl-3.5": "etcd35", "etcd-3.7-fail": "etcd37fail", "age": "age"} {
		if said := doomed.Said(t, func(t testing.TB) { Tool(t, name) }); !strings.HasSuffix(said, "run scripts/tools.sh "+group) {
			t.Errorf("Tool of %q said %q", name, said)
		}
	}
}

func TestNothingOutlivesATest(t *testing.T) {
	before := goleak.IgnoreCurrent()
	var pids []int
	var dir string
	t.Run("inner", func(t *testing.T) {
		c := Start(t, Options{Members: 3, TLS: true, Auth: true, Proxied: true})
		dir = c.Members[0].DataDir
		c.AddLearner(t)
		c.Write(t) // never stopped
		for _, m := range c.Members {
			pids = append(pids, m.proc.PID())
			client := c.Client(t)
			if err := put(t, client, callWait); err != nil {
				t.Errorf("put: %v", err)
			}
		}
		c.Members[1].Proxy.StallAfter(0)
		c.Members[1].Pause(t)
		c.Members[2].Kill(t)
	})
	for _, pid := range pids {
		if !child.Gone(t.Context(), pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the data folder is still there: %v", err)
	}
}

func TestPutWritesAll(t *testing.T) {
	c := Start(t, Options{})
	want := map[string][]byte{}
	for i := range 100 {
		want[fmt.Sprintf("key %d", i)] = fmt.Append(nil, "value ", i)
	}
	c.Put(t, maps.All(want))
	resp, err := c.Client(t).Get(t.Context(), "", clientv3.WithPrefix())
	if err != nil {
		t.Fatalf("get all: %v", err)
	}
	got := map[string][]byte{}
	for _, kv := range resp.Kvs {
		got[string(kv.Key)] = kv.Value
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%d keys came back, %d were put, or their values differ", len(got), len(want))
	}
}

func TestPutTellsOfAFailure(t *testing.T) {
	c := Start(t, Options{})
	nameless := map[string][]byte{"": nil, "a": nil}
	if said := doomed.Said(t, func(t testing.TB) { c.Put(t, maps.All(nameless)) }); !strings.Contains(said, "key is not provided") {
		t.Errorf("Put without a key said %q", said)
	}
}

func TestWriteWritesUntilStopped(t *testing.T) {
	c := Start(t, Options{})
	revision := func() int64 {
		resp, err := c.Client(t).Get(t.Context(), "x")
		if err != nil {
			t.Fatalf("get: %v", err)
		}
		return resp.Header.Revision
	}
	began := revision()
	stop := c.Write(t)
	waitFor(t, "a compaction", func() bool {
		_, compacted := c.HashKV(t, 0, 0)
		return compacted > 100
	})
	writes, ended := stop(), revision()
	// Deletes of what is not there are no revisions.
	if made := int(ended - began); made < writes/2 || made > writes {
		t.Errorf("%d writes made %d revisions", writes, made)
	}
	if again := stop(); again != writes || revision() != ended {
		t.Errorf("after stop: %d writes, then %d; revision %d, then %d", writes, again, ended, revision())
	}
}

func TestWriteSurvivesAPausedMember(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{Members: 3})
	follower := (c.Leader(t) + 1) % 3
	stop := c.Write(t)
	c.Members[follower].Pause(t)
	client := c.Client(t, c.Leader(t))
	resp, err := client.Get(t.Context(), "x")
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	waitFor(t, "more writes", func() bool {
		now, err := client.Get(t.Context(), "x")
		return err == nil && now.Header.Revision > resp.Header.Revision+20
	})
	stop()
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	err := child.Poll(ctx, 20*time.Millisecond, func() error {
		if !done() {
			return os.ErrDeadlineExceeded
		}
		return nil
	})
	if err != nil {
		t.Fatalf("no %s in 30 s", what)
	}
}
