package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// silent is an address that accepts connections and never says a word.
func silent(t *testing.T) (addr string, connections *atomic.Int32) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int32)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			t.Cleanup(func() { conn.Close() })
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String(), connections
}

// inProcess carries out a command line in this process, at another time by its clock.
func (u *user) inProcess(ctx context.Context, clock time.Duration, args ...string) result {
	return u.inProcessTo(ctx, new(said), process{now: func() time.Time { return time.Now().Add(clock) }, lease: u.lease}, args...)
}

// said is a stderr that may be read while it is written to.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// inProcessTo is inProcess with more that is not as usual.
func (u *user) inProcessTo(ctx context.Context, stderr *said, p process, args ...string) result {
	var stdout bytes.Buffer
	p.args, p.env, p.stdout, p.stderr, p.random, p.readFile = args, u.env, &stdout, stderr, rand.Reader, os.ReadFile
	code := run(ctx, p)
	return result{args: args, code: code, stdout: stdout.String(), stderr: stderr.String()}
}

func raise(t *testing.T, c *etcdtest.Cluster, kind pb.AlarmType, action pb.AlarmRequest_AlarmAction) {
	t.Helper()
	_, err := pb.NewMaintenanceClient(c.Client(t).ActiveConnection()).Alarm(t.Context(),
		&pb.AlarmRequest{Action: action, MemberID: c.Members[0].ID, Alarm: kind})
	if err != nil {
		t.Fatalf("%v %v: %v", action, kind, err)
	}
}

// TestExitCodeByItsRealCause has a run for each row of DESIGN's table; the scripts have more.
func TestExitCodeByItsRealCause(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, c.Endpoints())
	id := u.ok(t, "snapshot").field(t, "archive.id")
	u.write(t, "store/file", "no folder")
	u.mkdir(t, "broken")
	u.write(t, "broken/prod", "a file where the cluster's folder would be")
	u.mkdir(t, "full")
	u.write(t, "full/something", "")
	other := u.run(t, "keygen", "other.txt")
	if other.code != 0 {
		t.Fatal(other)
	}
	store := "file://" + u.path("store")

	for _, row := range []struct {
		name string
		code int
		said string // on stderr
		args []string
	}{
		{"done", 0, "", []string{"verify", id}},
		{"nothing to do", 0, "skipped", []string{"snapshot", "--if-older-than", "1h"}},
		{"empty store", 1, "no archive fits", []string{"restore", "latest", "--data-dir", "data", "--cluster", "other"}},
		{"no such archive", 1, "no such object", []string{"verify", "20200102T030405Z-0000000000000001-00000002"}},
		{"spool limit", 1, "spool limit is 1.0 MiB, needed are", []string{"snapshot", "--spool-max-bytes", "1Mi"}},
		{"one of two stores broken", 3, "store", []string{"snapshot", "--stores", "file://" + u.path("broken") + "," + store}},
		{"no cluster", 10, "must be given", []string{"snapshot", "--cluster", ""}},
		{"identity for nobody", 12, "no identity fits", []string{"verify", id, "--identities-file", "other.txt"}},
		{"promised age", 12, "too old", []string{"verify", id, "--max-age", "1ms"}},
		{"data folder not empty", 13, "is not empty", []string{"restore", id, "--data-dir", "full", "--endpoints", "127.0.0.1:1"}},
		{"cluster is up", 13, "is up and has a quorum", []string{"restore", id, "--data-dir", "data"}},
		{"nothing listens", 14, "nothing listens there", []string{"snapshot", "--endpoints", "127.0.0.1:1"}},
		{"no store folder", 15, "no such folder", []string{"snapshot", "--stores", "file://" + u.path("missing")}},
		{"store is a file", 15, "store unavailable", []string{"verify", id, "--stores", "file://" + u.path("store/file")}},
		{"every store broken", 15, "store unavailable", []string{"snapshot", "--stores", "file://" + u.path("broken")}},
		{"deadline", 16, "deadline of the job passed", []string{"snapshot", "--deadline", "1ms"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			// A flag set to nothing is given; the variable has to go.
			who := u
			if row.name == "no cluster" {
				who, row.args = u.with("ETCDSAFE_CLUSTER="), []string{"snapshot"}
			}
			r := who.exits(t, row.code, row.args...)
			if !strings.Contains(r.stderr, row.said) {
				t.Errorf("stderr does not say %q\n%v", row.said, r)
			}
			if got := r.field(t, "exitCode"); got != fmt.Sprint(row.code) {
				t.Errorf("report says exit code %s, want %d\n%v", got, row.code, r)
			}
		})
	}
}

// TestExitCode3NamesTheCause: the archive is there, and a person should look at something.
func TestExitCode3NamesTheCause(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, c.Endpoints())
	check := func(t *testing.T, r result, cause, warning string) {
		t.Helper()
		if r.code != exitPartial {
			t.Fatalf("exit code %d, want %d\n%v", r.code, exitPartial, r)
		}
		for path, want := range map[string]string{"result": "partial", "cause": cause, "exitCode": "3", "committed": "true"} {
			if got := r.field(t, path); got != want {
				t.Errorf("%s is %q, want %q\n%v", path, got, want, r)
			}
		}
		if got := r.field(t, "warnings.0"); !strings.Contains(got, warning) {
			t.Errorf("warning %q does not say %q", got, warning)
		}
		if !strings.Contains(r.stderr, "etcdsafe: snapshot: "+cause+": ") {
			t.Errorf("stderr does not name the cause\n%v", r)
		}
	}
	t.Run("clock", func(t *testing.T) {
		check(t, u.inProcess(t.Context(), -10*time.Minute, "snapshot"), "clock", "our clock is -10m")
		if r := u.inProcess(t.Context(), -4*time.Minute, "snapshot"); r.code != exitOK {
			t.Errorf("4 minutes apart: exit code %d, want 0\n%v", r.code, r)
		}
	})
	t.Run("cluster", func(t *testing.T) {
		raise(t, c, pb.AlarmType_NOSPACE, pb.AlarmRequest_ACTIVATE)
		check(t, u.run(t, "snapshot"), "cluster", "NOSPACE")
		raise(t, c, pb.AlarmType_NOSPACE, pb.AlarmRequest_DEACTIVATE)
		u.ok(t, "snapshot")
	})
	t.Run("store", func(t *testing.T) {
		u.mkdir(t, "broken")
		u.write(t, "broken/prod", "")
		r := u.run(t, "snapshot", "--stores", "file://"+u.path("broken")+",file://"+u.path("store"))
		check(t, r, "store", "store unavailable")
		for path, want := range map[string]string{"stores.0.result": "failed", "stores.1.result": "ok"} {
			if got := r.field(t, path); got != want {
				t.Errorf("%s is %q, want %q", path, got, want)
			}
		}
		if got := r.field(t, "stores.0.error"); !strings.Contains(got, "store unavailable") {
			t.Errorf("stores.0.error is %q", got)
		}
	})
}

// TestAStoreThatLagsIsNamed although another keeps the promise of --max-age; no store keeps it: 12.
func TestAStoreThatLagsIsNamed(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, c.Endpoints())
	lags, keeps := "file://"+u.mkdir(t, "lags"), "file://"+u.path("store")
	old := u.inProcess(t.Context(), -10*time.Hour, "snapshot", "--stores", lags).field(t, "archive.id")
	young := u.ok(t, "snapshot", "--stores", keeps).field(t, "archive.id")
	r := u.exits(t, exitPartial, "verify", "latest", "--max-age", "5h", "--stores", lags+","+keeps)
	for path, want := range map[string]string{
		"cause": "store", "stores.0.result": "failed", "stores.0.newestVerified": old, "stores.1.result": "ok", "stores.1.newestVerified": young,
	} {
		if got := r.field(t, path); got != want {
			t.Errorf("%s is %q, want %q\n%v", path, got, want, r)
		}
	}
	for _, said := range []string{"in " + lags + " is 10h0m", "promised were 5h0m0s"} {
		if !strings.Contains(r.field(t, "stores.0.error"), said) {
			t.Errorf("the store's error does not say %q\n%v", said, r)
		}
	}
	u.exits(t, exitIntegrity, "verify", "latest", "--max-age", "5h", "--stores", lags)
}

// TestConfigurationIsRefusedBeforeEtcdIsTouched: exit 10, and not one connection to etcd.
func TestConfigurationIsRefusedBeforeEtcdIsTouched(t *testing.T) {
	addr, connections := silent(t)
	u := newOperator(t, []string{addr})
	pq := u.ok(t, "keygen", "--post-quantum", "pq.txt").stdout
	u.write(t, "mixed.txt", u.read(t, "recipients.txt")+pq)
	u.write(t, "nobody.txt", "# no recipient\n")
	u.write(t, "bad-identities.txt", "AGE-SECRET-KEY-1NOT\n")
	u.env = append(u.env, "ETCDSAFE_DIAL_TIMEOUT=50s") // a slip would be felt
	for _, c := range []struct {
		name, said string
		env        []string
		args       []string
	}{
		{"no cluster", "--cluster (ETCDSAFE_CLUSTER): must be given", []string{"ETCDSAFE_CLUSTER="}, nil},
		{"no store", "--stores (ETCDSAFE_STORES): must be given", []string{"ETCDSAFE_STORES="}, nil},
		{"no recipient", "no recipient to seal to", []string{"ETCDSAFE_RECIPIENTS_FILE="}, nil},
		{"a file of no recipients", "no recipient", nil, []string{"--recipients-file", "nobody.txt"}},
		{"slash in the cluster's name", `cluster name "a/b": not a valid name`, nil, []string{"--cluster", "a/b"}},
		{"dots for a cluster's name", `cluster name "..": not a valid name`, nil, []string{"--cluster", ".."}},
		{"post-quantum and classic recipients", "post-quantum and classic ones cannot be mixed", nil, []string{"--recipients-file", "mixed.txt"}},
		{"no recipient at all", `recipient "age1nobody"`, nil, []string{"--recipients", "age1nobody"}},
		{"no file of recipients", "no such file or directory", nil, []string{"--recipients-file", "missing.txt"}},
		{"no password file", "no such file or directory", nil, []string{"--user", "root", "--password-file", "missing.txt"}},
		{"unknown kind of store", `no store of kind "ftp"`, nil, []string{"--stores", "ftp://host/x"}},
		{"half a pair of keys", "needs its key", nil, []string{"--cert", "client.crt"}},
		{"unknown variable", "nearest is ETCDSAFE_CLUSTER", []string{"ETCDSAFE_CLUSTR=x"}, nil},
		{"unknown flag", "nearest is --recipients", nil, []string{"--recipient", "x"}},
		{"quoted boolean", "the quotes in", []string{`ETCDSAFE_DRY_RUN='true'`}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := u.with(c.env...).exits(t, exitConfig, append([]string{"snapshot"}, c.args...)...)
			if !strings.Contains(r.stderr, c.said) {
				t.Errorf("stderr does not say %q\n%v", c.said, r)
			}
			if n := connections.Load(); n != 0 {
				t.Errorf("etcd was asked %d times", n)
			}
		})
	}
	t.Run("bad identities", func(t *testing.T) {
		for _, args := range [][]string{{"verify", "latest"}, {"restore", "latest", "--data-dir", "data"}} {
			r := u.exits(t, exitConfig, append(args, "--identities-file", "bad-identities.txt")...)
			if !strings.Contains(r.stderr, `--identities-file: "bad-identities.txt": not a file of age identities`) {
				t.Error(r)
			}
		}
	})
	t.Run("the endpoint would have been asked", func(t *testing.T) {
		u.exits(t, exitDeadline, "snapshot", "--deadline", "300ms")
		if connections.Load() == 0 {
			t.Error("not one connection with settings that are sound: this test proves nothing")
		}
	})
}

// TestStoreURLsThatCannotBeOpened are faults of the configuration, told before etcd is touched.
func TestStoreURLsThatCannotBeOpened(t *testing.T) {
	addr, connections := silent(t)
	u := newOperator(t, []string{addr})
	for _, url := range []string{"file://user:secret@localhost" + u.path("store"), "file://" + u.path("store") + "?colour=red",
		"file://host/backups", "file://backups", "file://" + u.path("store") + "?create_dir=maybe"} {
		r := u.run(t, "snapshot", "--stores", url)
		if r.code != exitConfig {
			t.Errorf("exit code %d, want %d\n%v", r.code, exitConfig, r)
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("etcd was asked %d times", n)
	}
}

// TestNoStoreAtAllIsToldBeforeEtcdIsTouched: a member streams for nobody where no store is there.
func TestNoStoreAtAllIsToldBeforeEtcdIsTouched(t *testing.T) {
	addr, connections := silent(t)
	u := newOperator(t, []string{addr})
	r := u.exits(t, exitStore, "snapshot", "--deadline", "3s", "--stores", "file://"+u.path("gone")+",file://"+u.path("away"))
	for _, name := range []string{"gone", "away"} {
		if !strings.Contains(r.field(t, "error"), u.path(name)) {
			t.Errorf("the error does not name %s\n%v", name, r)
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("etcd was asked %d times", n)
	}
}

// TestSpoolFolderThatIsNone is exit 10, with the folder's name.
func TestSpoolFolderThatIsNone(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, c.Endpoints())
	u.write(t, "file", "")
	u.ok(t, "snapshot")
	for _, dir := range []string{"missing", "file"} {
		for _, job := range [][]string{{"snapshot"}, {"verify"}, {"restore", "latest", "--data-dir", "data", "--endpoints", "127.0.0.1:1"}} {
			r := u.exits(t, exitConfig, append(job, "--spool-dir", u.path(dir))...)
			if !strings.Contains(r.stderr, `spool folder "`+u.path(dir)+`"`) {
				t.Errorf("stderr does not name the folder\n%v", r)
			}
		}
	}
	if left := u.glob(t, "data*"); left != nil {
		t.Errorf("restore left %q", left)
	}
}

// TestEtcdThatRefusesUs: 14, each told apart.
func TestEtcdThatRefusesUs(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{TLS: true, Auth: true})
	u := newOperator(t, c.Endpoints())
	u.write(t, "password", etcdtest.RootPassword)
	u.write(t, "reader-password", etcdtest.ReaderPassword)
	expired, stranger := c.PKI.Expired(t), c.PKI.WrongCA(t)
	tls := []string{"--cacert", c.CA, "--cert", c.ClientCert, "--key", c.ClientKey}
	root := []string{"--user", "root", "--password-file", "password"}
	for _, row := range []struct {
		name, said string
		args       []string
	}{
		{"wrong CA", "not signed by the CA given (--cacert)", append([]string{"--cacert", etcdtest.NewPKI(t).CA, "--cert", c.ClientCert, "--key", c.ClientKey}, root...)},
		{"no client certificate", "wants a client certificate (--cert, --key)", append([]string{"--cacert", c.CA}, root...)},
		{"expired certificate", "our client certificate expired", append([]string{"--cacert", c.CA, "--cert", expired.Cert, "--key", expired.Key}, root...)},
		{"certificate of another CA", "does not trust our client certificate", append([]string{"--cacert", c.CA, "--cert", stranger.Cert, "--key", stranger.Key}, root...)},
		{"wrong host name", "for another host name (--server-name)", append(append([]string{"--server-name", "elsewhere.example"}, tls...), root...)},
		{"wrong password", "wrong user or password", append([]string{"--user", "root", "--password-file", "reader-password"}, tls...)},
		{"no right", "need the role root", append([]string{"--user", "reader", "--password-file", "reader-password"}, tls...)},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := u.exits(t, exitEtcd, append([]string{"snapshot"}, row.args...)...)
			if !strings.Contains(r.stderr, row.said) {
				t.Errorf("stderr does not say %q\n%v", row.said, r)
			}
			if got := r.field(t, "result"); got != "failed" {
				t.Errorf("result %q, want failed", got)
			}
		})
	}
	u.ok(t, append(append([]string{"snapshot"}, tls...), root...)...)
}

// TestInterleavedClustersAreRefused: two clusters write under one name, and "latest" is either's.
func TestInterleavedClustersAreRefused(t *testing.T) {
	one, two := etcdtest.Start(t, etcdtest.Options{}), etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, nil)
	var ids []string
	for i, c := range []*etcdtest.Cluster{one, two, one} {
		r := u.inProcess(t.Context(), time.Duration(10*i-40)*time.Second, "snapshot", "--endpoints", c.Endpoints()[0])
		want := []struct {
			code    int
			warning string
		}{{exitOK, ""}, {exitOK, "right after a restore, wrong otherwise"}, {exitPartial, "two clusters write under the name"}}[i]
		if r.code != want.code || !strings.Contains(r.stdout, want.warning) {
			t.Fatalf("snapshot %d: want exit code %d and %q\n%v", i, want.code, want.warning, r)
		}
		ids = append(ids, r.field(t, "archive.id"))
	}
	if r := u.exits(t, exitOK, "list", "--long"); strings.Count(r.stdout, "cluster ") != 3 {
		t.Errorf("list does not name the cluster of each archive\n%v", r)
	}
	for _, args := range [][]string{{"restore", "latest", "--data-dir", "data"}, {"verify", "latest"}, {"show", "latest"}} {
		r := u.exits(t, exitRefused, args...)
		if !strings.Contains(r.stderr, "archives of two cluster ids interleave") {
			t.Error(r)
		}
	}
	u.ok(t, "verify", ids[2])
	u.ok(t, "restore", ids[1], "--data-dir", "data")
}

// TestFullAndReadOnlyDisks mounts file systems of its own.
func TestFullAndReadOnlyDisks(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, c.Endpoints())
	u.ok(t, "snapshot")
	u.mkdir(t, "mount")
	u.env = append(u.env, "STORE=file://"+u.path("mount"))
	for _, row := range []struct {
		name, script string
		code         int
		said         string
	}{
		{"no room to spool", "mount -t tmpfs -o size=8m tmpfs mount; etcdsafe snapshot --spool-dir mount", 1, " MiB (2 x the database + 64 MiB): not enough free space"},
		{"read-only spool", "mount -t tmpfs tmpfs mount; mount -o remount,ro mount; etcdsafe snapshot --spool-dir mount", 10, "read-only file system"},
		{"read-only store", "mount -t tmpfs tmpfs mount; mount -o remount,ro mount; etcdsafe snapshot --stores $STORE", 15, "read-only file system"},
		{"full store", "mount -t tmpfs -o size=4k tmpfs mount; etcdsafe snapshot --stores $STORE", 15, "no space left on device"},
		{"one store of two read-only", "mount -t tmpfs tmpfs mount; mount -o remount,ro mount; etcdsafe snapshot --stores $STORE,$ETCDSAFE_STORES", 3, "read-only file system"},
		{"receipt on a read-only store", "mount --bind store mount; mount -o remount,bind,ro mount; etcdsafe verify --stores $STORE", 0, "receipt not written"},
		{"no room for the data folder", "mount -t tmpfs -o size=8m tmpfs mount; etcdsafe restore latest --data-dir mount/data --endpoints 127.0.0.1:1", 1, "(the database + 64 MiB of log): not enough free space"},
		{"no disk for the data folder", "mount -t tmpfs -o nr_inodes=4 tmpfs mount; etcdsafe restore latest --data-dir mount/data --endpoints 127.0.0.1:1", 1, "no space left on device"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := u.shell(t, row.script)
			if r.code != row.code || !strings.Contains(r.stderr, row.said) {
				t.Errorf("exit code %d, want %d with %q\n%v", r.code, row.code, row.said, r)
			}
			if left := u.glob(t, "tmp/*"); left != nil {
				t.Errorf("left in TMPDIR: %q", left)
			}
		})
	}
}
