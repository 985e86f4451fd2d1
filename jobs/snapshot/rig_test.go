package snapshot

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gocloud.dev/blob"
	"golang.org/x/sys/unix"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// rig is a run's surroundings: one folder as the store, one to spool in, one key.
type rig struct {
	Config
	t        *testing.T
	store    string
	spool    string
	identity archive.Identities
	log      *story
}

// newRig sets up a run against c, as an operator would.
func newRig(t *testing.T, c *etcdtest.Cluster) *rig {
	t.Helper()
	secret, recipient, err := archive.GenerateIdentity(false)
	if err != nil {
		t.Fatal(err)
	}
	to, err := archive.ParseRecipients([]string{recipient})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, store: t.TempDir(), spool: t.TempDir(), log: &story{}}
	if r.identity, err = archive.ParseIdentities([]byte(secret)); err != nil {
		t.Fatal(err)
	}
	r.Config = Config{
		Cluster: "prod", Recipients: to, Place: spool.Place{Dir: r.spool}, Compare: CompareAuto,
		Floor: etcd.Floor{BytesPerSecond: 1 << 20, Window: 30 * time.Second},
		Tool:  catalog.Tool{Version: "v1.2.3", Commit: "abc"}, Now: time.Now, Random: rand.Reader,
		Log: slog.New(slog.NewJSONHandler(r.log, nil)),
	}
	r.Stores = []*catalog.Catalog{openFolder(t, r.store)}
	if c != nil {
		r.Etcd = etcd.Config{
			Endpoints: c.Endpoints(), CACert: c.CA, Cert: c.ClientCert, Key: c.ClientKey, User: c.User, Password: etcd.Password(c.Password),
		}
	}
	return r
}

func openFolder(t *testing.T, dir string) *catalog.Catalog {
	t.Helper()
	b, err := bucket.OpenFile(dir, bucket.FileOptions{})
	if err != nil {
		t.Fatalf("OpenFile: %v", err)
	}
	return openBlob(t, b, "file://"+dir)
}

func openBlob(t *testing.T, b *blob.Bucket, url string) *catalog.Catalog {
	t.Helper()
	return openKind(t, b, url, bucket.Kind{})
}

func openKind(t *testing.T, b *blob.Bucket, url string, kind bucket.Kind) *catalog.Catalog {
	t.Helper()
	store := bucket.New(b, url, kind)
	t.Cleanup(func() { _ = store.Close() })
	c, err := catalog.Open(store, "prod")
	if err != nil {
		t.Fatalf("catalog.Open: %v", err)
	}
	return c
}

// story keeps what was logged.
type story struct {
	mu   sync.Mutex
	text bytes.Buffer
	cues map[string]func()
}

func (s *story) Write(p []byte) (int, error) {
	for line, cue := range s.cues {
		if bytes.Contains(p, []byte(line)) {
			cue()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// when calls f as a line is logged, and the run waits for it. Set it before the run.
func (s *story) when(line string, f func()) { s.cues = map[string]func(){line: f} }

func (s *story) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// run runs once, and checks what holds after every run, however it ended: no spool is left,
// and all that is listed opens.
func (r *rig) run(ctx context.Context) (Report, error) {
	r.t.Helper()
	report, err := Run(ctx, r.Config)
	r.wantNoSpool()
	for _, store := range r.Stores {
		r.wantAllOpen(store)
	}
	if report.Job != "snapshot" || report.Cluster != "prod" || report.Started.IsZero() {
		r.t.Errorf("report begins with %+v", report.Report)
	}
	return report, err
}

// taken is a run that must end well, and the manifest of what it took.
func (r *rig) taken() (Report, catalog.Manifest) {
	r.t.Helper()
	report, err := r.run(r.t.Context())
	if err != nil || !report.Committed {
		r.t.Fatalf("Run = %v, committed %v\n%s", err, report.Committed, r.log)
	}
	return report, r.manifestOf(report)
}

// refused is a run that must fail and leave no object in the store.
func (r *rig) refused() (Report, error) {
	r.t.Helper()
	report, err := r.run(r.t.Context())
	if err == nil || report.Committed {
		r.t.Fatalf("Run = %v, committed %v, want an error and nothing committed\n%s", err, report.Committed, r.log)
	}
	wantFiles(r.t, r.store)
	return report, err
}

// manifestOf reads what the report says was committed.
func (r *rig) manifestOf(report Report) catalog.Manifest {
	r.t.Helper()
	m, err := r.Stores[0].Manifest(r.t.Context(), report.Archive.ID)
	if err != nil {
		r.t.Fatalf("Manifest(%s): %v", report.Archive.ID, err)
	}
	return m
}

// wantNoSpool looks for spools by name, and for open ones without a name.
func (r *rig) wantNoSpool() {
	r.t.Helper()
	wantFiles(r.t, r.spool)
	if open := openSpools(r.t, r.spool); len(open) > 0 {
		r.t.Errorf("descriptors %v are still open on spools", slices.Sorted(maps.Keys(open)))
	}
}

// openSpools is our descriptors of nameless files in dir, with the sizes of these.
func openSpools(t *testing.T, dir string) map[int]int64 {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]int64{}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(target, dir+"/") || !strings.HasSuffix(target, " (deleted)") {
			continue
		}
		var fd int
		var stat unix.Stat_t
		if _, err := fmt.Sscanf(filepath.Base(link), "%d", &fd); err != nil {
			t.Fatal(err)
		}
		if unix.Fstat(fd, &stat) == nil {
			out[fd] = stat.Size
		}
	}
	return out
}

// wantFiles checks that dir holds these files and no other, whatever its folders.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	got := files(t, dir)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		out = append(out, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// wantAllOpen opens every archive that store lists.
func (r *rig) wantAllOpen(store *catalog.Catalog) {
	r.t.Helper()
	ctx := context.WithoutCancel(r.t.Context())
	entries, err := store.List(ctx)
	if err != nil {
		return // a store that is out of reach
	}
	for _, e := range entries {
		m, err := store.Manifest(ctx, e.ID)
		if err != nil {
			r.t.Errorf("archive %s is listed: %v", e.ID, err)
			continue
		}
		if err := r.content(store, m, io.Discard); err != nil {
			r.t.Errorf("archive %s is listed and does not open: %v", e.ID, err)
		}
	}
}

// content writes the snapshot inside an archive to w; nil means that each digest fitted.
func (r *rig) content(store *catalog.Catalog, m catalog.Manifest, w io.Writer) error {
	sealed, _, err := store.OpenArchive(context.WithoutCancel(r.t.Context()), m.ID, m.Codecs)
	if err != nil {
		return err
	}
	defer sealed.Close()
	var raw bytes.Buffer
	if err := archive.Unseal(&raw, sealed, m.Expect(), r.identity); err != nil {
		return err
	}
	if err := m.Expect().Prove(bytes.NewReader(raw.Bytes())); err != nil {
		return err
	}
	_, err = raw.WriteTo(w)
	return err
}

// wantTaken checks which member gave the snapshot, and what is said of the others.
func wantTaken(t *testing.T, report Report, name string, verdicts map[string]string) {
	t.Helper()
	if report.Archive == nil || report.Archive.Member.Name != name {
		t.Fatalf("archive is %+v, want one of member %s; members %+v", report.Archive, name, report.Members)
	}
	got := map[string]string{}
	for _, m := range report.Members {
		got[m.Name] = m.Verdict
		if m.Reason == "" {
			t.Errorf("member %s is %q without a reason", m.Name, m.Verdict)
		}
	}
	if !maps.Equal(got, verdicts) {
		t.Errorf("verdicts are %v, want %v; members %+v", got, verdicts, report.Members)
	}
}

// wantCause checks the report of a run that is done and leaves something to look at.
func wantCause(t *testing.T, report Report, cause jobs.Cause, warning string) {
	t.Helper()
	if report.Cause != cause || !strings.Contains(strings.Join(report.Warnings, "\n"), warning) {
		t.Errorf("cause is %q with warnings %q, want %q with %q", report.Cause, report.Warnings, cause, warning)
	}
}

// wantNotLatest checks that no search chooses what is listed.
func wantNotLatest(t *testing.T, store *catalog.Catalog) {
	t.Helper()
	entries, err := store.List(t.Context())
	if err != nil || len(entries) != 1 {
		t.Errorf("List = %d entries, %v; want one", len(entries), err)
	}
	for _, name := range []string{catalog.Latest, catalog.LatestVerified} {
		if found, err := store.Find(t.Context(), name, time.Time{}); !errors.Is(err, catalog.ErrNone) {
			t.Errorf("Find(%s) = %q, %v; want ErrNone", name, found.Manifest.ID, err)
		}
	}
}

// order is the members' names as a run would try them.
func order(t *testing.T, r *rig) []string {
	t.Helper()
	c, err := etcd.Discover(t.Context(), r.Etcd)
	if err != nil {
		t.Fatalf("Discover: %v", err)
	}
	list, _ := c.Candidates()
	var out []string
	for _, cand := range list {
		out = append(out, cand.Member.Name)
	}
	return out
}

// settled is the size of the largest member's database, once each has least bytes and has told
// the same size for a while: what was written is committed in batches.
func settled(t *testing.T, r *rig, least int64) int64 {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	var before []int64
	for {
		c, err := etcd.Discover(ctx, r.Etcd)
		if err != nil {
			t.Fatalf("Discover: %v", err)
		}
		var sizes []int64
		for _, m := range c.Members {
			sizes = append(sizes, m.Status.DBBytes)
		}
		if slices.Min(sizes) >= least && slices.Equal(sizes, before) {
			return slices.Max(sizes)
		}
		before = sizes
		select {
		case <-ctx.Done():
			t.Fatalf("sizes do not settle: %v", sizes)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// named is c's member of that name, and its place.
func named(t *testing.T, c *etcdtest.Cluster, name string) (int, *etcdtest.Member) {
	t.Helper()
	i := slices.IndexFunc(c.Members, func(m *etcdtest.Member) bool { return m.Name == name })
	if i < 0 {
		t.Fatalf("no member %q", name)
	}
	return i, c.Members[i]
}

// streams is how many snapshots the cluster's members were ever asked for.
func streams(t *testing.T, c *etcdtest.Cluster) int {
	t.Helper()
	n := 0
	for _, m := range c.Members {
		if m.Running() {
			n += int(m.Metric(t, `grpc_server_started_total{grpc_method="Snapshot",grpc_service="etcdserverpb.Maintenance",grpc_type="server_stream"}`))
		}
	}
	return n
}

// noise yields n pairs of size bytes that no compression makes smaller.
func noise(n, size int) func(yield func(string, []byte) bool) {
	rnd := mrand.NewChaCha8([32]byte{1})
	return func(yield func(string, []byte) bool) {
		for i := range n {
			value := make([]byte, size)
			_, _ = rnd.Read(value)
			if !yield(fmt.Sprintf("/etcdtest/noise/%05d", i), value) {
				return
			}
		}
	}
}

// disk mounts a file system of its own, for a store or a spool that must run full.
func disk(t *testing.T, bytes int64, readOnly bool) string {
	t.Helper()
	dir := t.TempDir()
	flags := uintptr(0)
	if readOnly {
		flags = unix.MS_RDONLY
	}
	err := unix.Mount("tmpfs", dir, "tmpfs", flags, fmt.Sprintf("size=%d", bytes))
	if err == nil {
		t.Cleanup(func() {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Errorf("unmount: %v", err)
			}
		})
		return dir
	}
	return foreignDisk(t, bytes, readOnly)
}

// foreignDisk serves a user who may not mount: a process with name spaces of its own mounts,
// and holds, what is reached through its root.
func foreignDisk(t *testing.T, bytes int64, readOnly bool) string {
	t.Helper()
	mode := map[bool]string{true: "ro", false: "rw"}[readOnly]
	cmd := exec.CommandContext(t.Context(), "unshare", "-Urm", "sh", "-c",
		fmt.Sprintf("mount -t tmpfs -o %s,size=%d tmpfs /mnt && echo mounted && exec cat", mode, bytes))
	stdin, errIn := cmd.StdinPipe()
	stdout, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		t.Fatalf("mount a disk for the test: %v", err)
	}
	t.Cleanup(func() { _ = stdin.Close(); _ = cmd.Wait() })
	if _, err := io.ReadFull(stdout, make([]byte, len("mounted\n"))); err != nil {
		t.Fatalf("mount a disk for the test, as root or by unshare: %v", err)
	}
	return fmt.Sprintf("/proc/%d/root/mnt", cmd.Process.Pid)
}

// fillUp leaves less than leave bytes free in dir.
func fillUp(t *testing.T, dir string, leave int64) {
	t.Helper()
	f, err := os.CreateTemp(dir, "filler")
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(f.Name())
	t.Cleanup(func() { _ = f.Close() })
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(fs.Bavail)*fs.Bsize-leave); err != nil {
		t.Fatalf("fill the disk: %v", err)
	}
}

// everything said: for a search after what must not be told.
func everything(t *testing.T, r *rig, report Report, err error) string {
	t.Helper()
	text, encodeErr := json.Marshal(report)
	if encodeErr != nil {
		t.Fatal(encodeErr)
	}
	out := r.log.String() + string(text) + fmt.Sprint(err)
	for _, name := range files(t, r.store) {
		if strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".md") {
			text, err := os.ReadFile(filepath.Join(r.store, name))
			if err != nil {
				t.Fatal(err)
			}
			out += string(text)
		}
	}
	return out
}

// inspect looks at a snapshot's bytes as an operator with etcdutl would.
func inspect(t *testing.T, snapshot []byte) dbfile.Facts {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "db")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(snapshot); err != nil {
		t.Fatal(err)
	}
	facts, err := dbfile.Child{}.Inspect(t.Context(), f, dbfile.Query{})
	if err != nil {
		t.Fatalf("Inspect: %v", err)
	}
	return facts
}

// versions are the etcds that a test is for; one of them in a short run.
func versions() []string {
	if testing.Short() {
		return etcdtest.Versions[1:2]
	}
	return etcdtest.Versions[:]
}
