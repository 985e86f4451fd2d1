package soak

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// A world is two stores with archives of many days, and all that is known of them.
type world struct {
	*interleavings
	dir    string
	stores []*place
	all    map[catalog.ID]published // whatever was ever seen in a store, or made for one
	policy []string
	least  int // the floor
	way    int // that copies go: both, from the first store to the second, or back
}

// A place is one store: what lay there at first, and what was ever listed there.
type place struct {
	dir      string
	first    []catalog.ID
	ever     map[catalog.ID]bool
	held     catalog.ID
	verified catalog.ID
	old      []catalog.ID // garbage that may go
	young    []catalog.ID // and that may not
}

func (s *interleavings) newWorld() *world {
	s.t.Helper()
	w := &world{interleavings: s, dir: filepath.Join(s.dir, fmt.Sprintf("world%d", s.runs)), all: map[catalog.ID]published{}, least: 1 + s.rnd.IntN(3), way: s.rnd.IntN(3)}
	w.policy = []string{"--keep-last", fmt.Sprint(2 + s.rnd.IntN(2)), "--keep-min", fmt.Sprint(w.least), "--max-removed", "-1"} // garbage may outnumber archives here
	if s.rnd.IntN(2) == 0 {
		w.policy = append(w.policy, "--keep-weekly", "2")
	}
	var ids []catalog.ID // newest first
	for n := range 6 + s.rnd.IntN(3) {
		ids = append(ids, w.made(time.Now().Add(-time.Duration(20+s.rnd.IntN(30))*time.Minute-time.Duration(n)*24*time.Hour)))
	}
	held, verified := ids[2+s.rnd.IntN(len(ids)-2)], ids[1+s.rnd.IntN(len(ids)-1)]
	for _, name := range []string{"one", "two"} {
		w.stores = append(w.stores, w.newPlace(filepath.Join(w.dir, name), ids, held, verified))
	}
	return w
}

// made is an archive that says of itself that it was taken then.
func (w *world) made(at time.Time) catalog.ID {
	w.t.Helper()
	m := w.interleavings.first.m
	var random [4]byte
	for i := range random {
		random[i] = byte(w.rnd.Uint32())
	}
	id, err := catalog.NewID(at, m.Snapshot.Revision, bytes.NewReader(random[:]))
	if err != nil {
		w.t.Fatal(err)
	}
	m.ID, m.Started, m.Finished, m.Archive.Object = id, at.UTC(), at.UTC().Add(time.Second), catalog.ArchiveObject(id, m.Codecs)
	text, err := m.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	w.all[id] = published{m, text, w.interleavings.first.sealed}
	return id
}

// newPlace is a store that has most of the archives, and of some that it lacks their bytes: a copy
// was killed there once.
func (w *world) newPlace(dir string, ids []catalog.ID, held, verified catalog.ID) *place {
	w.t.Helper()
	p := &place{dir: dir, ever: map[catalog.ID]bool{}}
	w.file(filepath.Join(dir, clusterName, ".probe", "old"), []byte("x"), time.Now().Add(-48*time.Hour))
	for n, id := range ids {
		switch {
		case n < 3 || w.rnd.IntN(3) > 0:
			w.file(archiveIn(dir, id), w.all[id].sealed, id.Time())
			w.file(manifestIn(dir, id), w.all[id].text, id.Time().Add(time.Second))
			p.first = append(p.first, id)
			p.ever[id] = true
		case w.rnd.IntN(2) == 0:
			w.file(archiveIn(dir, id), w.all[id].sealed, time.Now().Add(-30*time.Hour))
			p.old = append(p.old, id)
		}
	}
	for n := range 3 {
		id, age := w.made(time.Now().Add(-time.Duration(50+n)*24*time.Hour)), 23*time.Hour
		at := &p.young
		if n > 0 {
			age, at = 30*time.Hour, &p.old
		}
		w.file(archiveIn(dir, id), []byte("begun, and never ended"), time.Now().Add(-age))
		delete(w.all, id)
		*at = append(*at, id)
	}
	w.mark(p, held, verified)
	return p
}

// mark has one archive held and one verified, a day ago, where the store has them.
func (w *world) mark(p *place, held, verified catalog.ID) {
	w.t.Helper()
	b, err := bucket.OpenFile(p.dir, bucket.FileOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	store := bucket.New(b, "file://"+p.dir, bucket.Kind{})
	defer store.Close()
	cat, err := catalog.Open(store, clusterName)
	if err != nil {
		w.t.Fatal(err)
	}
	if held != "" && p.ever[held] {
		p.held = held
		err = errors.Join(err, cat.PutHold(w.t.Context(), catalog.Hold{Archive: held, Reason: "soak", Written: time.Now()}, false, "0a1b"))
	}
	if verified != "" && p.ever[verified] {
		p.verified = verified
		m := w.all[verified].m
		at := verified.Time().Add(2 * time.Hour)
		err = errors.Join(err, cat.PutReceipt(w.t.Context(), catalog.Receipt{Archive: verified, ManifestSHA256: m.SHA256, Cluster: clusterName,
			Level: catalog.Content, OK: true, Started: at, Finished: at}, "0a1b"))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) file(path string, data []byte, at time.Time) {
	w.t.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600), os.Chtimes(path, at, at))
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) drop() {
	if err := os.RemoveAll(w.dir); err != nil {
		w.t.Error(err)
	}
}

// args are a job's, over both stores. A copy goes either way, or both.
func (w *world) args(name string) []string {
	one, two := "file://"+w.stores[0].dir, "file://"+w.stores[1].dir
	args := []string{name, "--cluster", clusterName, "--output", "json", "--log-level", "debug", "--log-format", "json"}
	both := append(slices.Clone(args), "--stores", one+","+two)
	switch name {
	case "snapshot":
		return append(both, "--endpoints", w.cluster.Endpoints()[0], "--recipients-file", w.recipients, "--spool-dir", w.spool)
	case "prune":
		return append(both, w.policy...)
	case "verify":
		return append(both, "all", "--level", []string{"stored", "content"}[w.rnd.IntN(2)], "--identities-file", w.identity, "--spool-dir", w.spool)
	}
	ways := [][]string{{"--stores", one + "," + two}, {"--stores", one, "--to", two}, {"--stores", two, "--to", one}}
	return slices.Concat(args, []string{"--spool-dir", w.spool}, ways[w.way%3])
}

// listedIn are the ids under manifests/.
func (w *world) listedIn(dir string) []catalog.ID {
	w.t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, clusterName, "manifests"))
	if err != nil {
		w.t.Fatal(err)
	}
	var out []catalog.ID
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok {
			out = append(out, catalog.ID(name))
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}

// check fails unless all that is listed is what was published, and what is gone went by the plan.
func (w *world) check(when string) {
	w.t.Helper()
	for _, p := range w.stores {
		for _, id := range w.listedIn(p.dir) {
			w.same(p, id)
			p.ever[id] = true
		}
	}
	if w.t.Failed() {
		return
	}
	for _, p := range w.stores {
		w.checkGone(p, when)
		w.checkGarbage(p, when)
	}
}

// same fails unless an archive's bytes are those that its manifest promises, and both are those that
// were published under its name, in whichever store it was seen first.
func (w *world) same(p *place, id catalog.ID) {
	w.t.Helper()
	got := w.read(p.dir, id)
	want, known := w.all[id]
	if !known {
		w.taken++
		w.all[id] = got
		want = got
	}
	if int64(len(got.sealed)) != got.m.Archive.Bytes || digest(got.sealed) != got.m.Archive.SHA256 {
		w.t.Errorf("archive %s in %s is not what its manifest promises: %d bytes", id, p.dir, len(got.sealed))
	}
	if !bytes.Equal(got.text, want.text) || !bytes.Equal(got.sealed, want.sealed) {
		w.t.Errorf("archive %s in %s is not what was published", id, p.dir)
	}
}

// checkGone holds what is not listed any more against the plan of all that was ever anywhere: what
// any prune saw was a part of that.
func (w *world) checkGone(p *place, when string) {
	w.t.Helper()
	now := map[catalog.ID]bool{}
	for _, id := range w.listedIn(p.dir) {
		now[id] = true
	}
	may := w.fullPlan(p)
	ever := slices.Sorted(maps.Keys(p.ever))
	for i, id := range ever {
		var name string
		switch {
		case now[id]:
			continue
		case id == p.held:
			name = "which is held"
		case id == p.verified:
			name = "which is the newest verified"
		case i == len(ever)-1:
			name = "which is the newest"
		case i >= len(ever)-w.least:
			name = "which the floor keeps"
		case !may[id]:
			name = "which no plan removes"
		default:
			continue
		}
		w.t.Errorf("%s, archive %s is gone from %s, %s", when, id, p.dir, name)
	}
}

// fullPlan is what a prune would remove of all archives that were ever seen, with the marks of one
// store.
func (w *world) fullPlan(p *place) map[catalog.ID]bool {
	w.t.Helper()
	dir := p.dir + "-all"
	for id, a := range w.all {
		w.file(archiveIn(dir, id), a.sealed, id.Time())
		w.file(manifestIn(dir, id), a.text, id.Time().Add(time.Second))
	}
	w.mark(&place{dir: dir, ever: map[catalog.ID]bool{p.held: true, p.verified: true}}, p.held, p.verified)
	var report struct {
		Plan []struct {
			ID      catalog.ID `json:"id"`
			Verdict string     `json:"verdict"`
		} `json:"plan"`
	}
	args := append([]string{"prune", "--dry-run", "--cluster", clusterName, "--output", "json", "--stores", "file://" + dir}, w.policy...)
	w.decode(w.must(0, args...), &report)
	if err := os.RemoveAll(dir); err != nil {
		w.t.Fatal(err)
	}
	out := map[catalog.ID]bool{}
	for _, item := range report.Plan {
		out[item.ID] = item.Verdict == "remove"
	}
	if len(out) != len(w.all) {
		w.t.Fatalf("plan speaks of %d archives, want %d", len(out), len(w.all))
	}
	return out
}

// checkGarbage fails where bytes went that were not garbage yet. A copy may have made an archive of
// those of old.
func (w *world) checkGarbage(p *place, when string) {
	w.t.Helper()
	for _, id := range p.young {
		if !exists(archiveIn(p.dir, id)) {
			w.t.Errorf("%s, bytes of %s are gone from %s, which are 23 hours old", when, id, p.dir)
		}
	}
}

// calm runs each job once more, with nothing in its way.
func (w *world) calm() {
	w.t.Helper()
	before := map[*place][]catalog.ID{}
	for _, p := range w.stores {
		before[p] = w.listedIn(p.dir)
	}
	one, two := "file://"+w.stores[0].dir, "file://"+w.stores[1].dir
	base := []string{"--cluster", clusterName, "--output", "json", "--stores", one + "," + two}
	out := w.want(0, append(append([]string{"prune"}, base...), w.policy...)...)
	w.check("after a prune in peace")
	var report struct {
		Stores []struct {
			Removed int `json:"removed"`
		} `json:"stores"`
	}
	w.decode(out, &report)
	for i, p := range w.stores {
		if got := len(before[p]) - len(w.listedIn(p.dir)); got != report.Stores[i].Removed {
			w.t.Errorf("a prune in peace says %d removed in %s, and %d are gone", report.Stores[i].Removed, p.dir, got)
		}
		w.count(p)
	}
	w.want(0, append([]string{"copy", "--spool-dir", w.spool}, base...)...)
	w.check("after a copy in peace")
	if a, b := w.listedIn(w.stores[0].dir), w.listedIn(w.stores[1].dir); !slices.Equal(a, b) {
		w.t.Errorf("after a copy in peace the stores hold %q and %q", a, b)
	}
	w.want(0, append([]string{"verify", "all", "--level", "content", "--spool-dir", w.spool, "--identities-file", w.identity}, base...)...)
	w.check("after a verify in peace")
}

// count adds up what went, and fails for garbage of old that is still there.
func (w *world) count(p *place) {
	w.t.Helper()
	listed := w.listedIn(p.dir)
	w.removed += len(p.ever) - len(listed)
	w.copied += len(p.ever) - len(p.first)
	for _, id := range p.old {
		if !p.ever[id] && !exists(archiveIn(p.dir, id)) { // a copy may have made an archive of them, or begun it anew
			w.garbage++
		}
	}
	entries, _ := os.ReadDir(filepath.Join(p.dir, clusterName, "archives"))
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), ".")
		info, err := e.Info()
		if err == nil && !w.attended(p, name) && time.Since(info.ModTime()) > 24*time.Hour && !slices.Contains(listed, catalog.ID(name)) {
			w.t.Errorf("%s is still in %s, without a manifest and more than a day old", e.Name(), p.dir)
		}
	}
}

// attended says whether a verify or a copy was at an id by now: a receipt, and the holds that a copy
// brings first, give the bytes a day from then on.
func (w *world) attended(p *place, id string) bool {
	for _, folder := range []string{"receipts", "holds"} {
		notes, err := filepath.Glob(filepath.Join(p.dir, clusterName, folder, id, "*.json"))
		if err != nil {
			w.t.Fatal(err)
		}
		if len(notes) > 0 {
			return true
		}
	}
	return false
}

// A trouble is what happens to one store for a moment.
type trouble struct {
	w           *world
	what        string
	dir         string
	after, last time.Duration
	mounted     bool
}

const calmStores = "as they should be"

// drawTrouble picks one, and makes ready for it.
func (w *world) drawTrouble() *trouble {
	w.t.Helper()
	what := []string{calmStores, calmStores, "missing", "empty", "read-only"}[w.rnd.IntN(5)]
	tr := &trouble{w: w, what: what, dir: w.stores[w.rnd.IntN(2)].dir,
		after: time.Duration(w.rnd.IntN(250)) * time.Millisecond, last: time.Duration(20+w.rnd.IntN(150)) * time.Millisecond}
	if what == "read-only" && os.Geteuid() == 0 {
		if err := unix.Mount(tr.dir, tr.dir, "", unix.MS_BIND, ""); err != nil {
			w.t.Logf("no mount here, so no store is read-only: %v", err)
			tr.what = calmStores
		} else {
			tr.mounted = true
		}
	}
	w.faults[tr.what]++
	return tr
}

// happen waits for its time, and lets it last.
func (tr *trouble) happen() {
	tr.w.t.Helper()
	<-time.After(tr.after)
	away := tr.dir + "-away"
	var err error
	switch tr.what {
	case "missing":
		err = os.Rename(tr.dir, away)
	case "empty":
		err = errors.Join(os.Mkdir(away, 0o700), unix.Renameat2(unix.AT_FDCWD, tr.dir, unix.AT_FDCWD, away, unix.RENAME_EXCHANGE))
	case "read-only":
		err = tr.readOnly(true)
	}
	if err != nil {
		tr.w.t.Errorf("make store %s: %v", tr.what, err)
	}
	<-time.After(tr.last)
	switch tr.what {
	case "missing":
		err = os.Rename(away, tr.dir)
	case "empty":
		err = unix.Renameat2(unix.AT_FDCWD, tr.dir, unix.AT_FDCWD, away, unix.RENAME_EXCHANGE)
	case "read-only":
		err = tr.readOnly(false)
	}
	if err != nil {
		tr.w.t.Fatalf("mend store %s: %v", tr.what, err)
	}
}

// readOnly is the mount's business for root, whom no mode stops.
func (tr *trouble) readOnly(on bool) error {
	if tr.mounted {
		flags := uintptr(unix.MS_BIND | unix.MS_REMOUNT)
		if on {
			flags |= unix.MS_RDONLY
		}
		return within(func() error { return unix.Mount("", tr.dir, "", flags, "") }) // busy while a file is written
	}
	mode := map[bool]os.FileMode{true: 0o500, false: 0o700}[on]
	var faults []error
	for _, folder := range []string{"manifests", "archives", "receipts", ".probe"} {
		if err := os.Chmod(filepath.Join(tr.dir, clusterName, folder), mode); err != nil && !errors.Is(err, os.ErrNotExist) {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

func (tr *trouble) end() {
	if tr.mounted {
		if err := within(func() error { return unix.Unmount(tr.dir, 0) }); err != nil {
			tr.w.t.Errorf("unmount: %v", err)
		}
	}
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
