package prune

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"

	"github.com/etcdsafe/etcdsafe/jobs/prune/plan"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

const day = 24 * time.Hour

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// rig is a store with archives of eight days, and a policy by which four of them go.
type rig struct {
	Config
	t      *testing.T
	store  *catalog.Catalog
	liar   *liarStore                     // nil: a folder
	dir    string                         // of a folder
	aged   func(key string, at time.Time) // sets an object's time back
	ids    []catalog.ID                   // newest first
	stay   []catalog.ID                   // what the policy keeps: newest, last, verified, held
	go4    []catalog.ID                   // what goes, oldest first
	waste  catalog.ID                     // bytes of old that belong to no archive
	probed string                         // a probe of old
	claim  string                         // a claim of old
}

// newLiarRig has a store in memory whose clock is the rig's own.
func newLiarRig(t *testing.T) *rig {
	t.Helper()
	s := newLiarStore(func() time.Time { return noon })
	r := &rig{t: t, liar: s}
	r.store = openBlob(t, blob.NewBucket(s), "liar://store")
	r.aged = func(key string, at time.Time) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.objects[key] = object{s.objects[key].data, at}
	}
	r.fill(func() time.Time { return noon })
	s.calls = nil
	return r
}

// newFolderRig has a real folder, and the real time.
func newFolderRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	r.store = openFolder(t, r.dir)
	r.aged = func(key string, at time.Time) {
		if err := os.Chtimes(filepath.Join(r.dir, key), at, at); err != nil {
			t.Fatal(err)
		}
	}
	r.fill(time.Now)
	return r
}

func openFolder(t *testing.T, dir string) *catalog.Catalog {
	t.Helper()
	b, err := bucket.OpenFile(dir, bucket.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return openBlob(t, b, "file://"+dir)
}

func openBlob(t *testing.T, b *blob.Bucket, url string) *catalog.Catalog {
	t.Helper()
	store := bucket.New(b, url, bucket.Kind{})
	t.Cleanup(func() { _ = store.Close() })
	c, err := catalog.Open(store, "prod")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fill makes the archives: the newest an hour old, each other one a day older. The third is
// verified, the seventh held, the fifth was held and released, and accepted.
func (r *rig) fill(now func() time.Time) {
	r.t.Helper()
	r.Config = Config{Cluster: "prod", Stores: catalog.Stores{r.store}, Policy: plan.Policy{KeepLast: 2, KeepMin: 1},
		GarbageAfter: day, Now: now, Random: rand.Reader, Log: slog.New(slog.DiscardHandler)}
	for n := range 8 {
		m := r.archive(now().Add(-time.Hour - time.Duration(n)*day))
		r.ids = append(r.ids, m.ID)
		if n == 2 || n == 5 {
			r.receipt(m, n == 2, m.Finished.Add(time.Hour))
		}
	}
	r.hold(r.ids[6], "audit", nil, false)
	r.hold(r.ids[4], "once", nil, false)
	r.hold(r.ids[4], "no more", nil, true)
	if err := r.store.PutAccept(r.t.Context(), catalog.Accept{Archive: r.ids[4], Reason: "known", Written: now()}); err != nil {
		r.t.Fatal(err)
	}
	r.age(r.ids[4], r.ids[4].Time())
	r.stay = []catalog.ID{r.ids[0], r.ids[1], r.ids[2], r.ids[6]}
	r.go4 = []catalog.ID{r.ids[7], r.ids[5], r.ids[4], r.ids[3]}
	r.litter(now().Add(-2 * day))
}

// litter puts bytes and a probe of that time into the store, which belong to no archive.
func (r *rig) litter(at time.Time) {
	r.t.Helper()
	m, sealed := r.manifest(at)
	r.put("prod/"+m.Archive.Object, sealed)
	r.waste = m.ID
	r.age(m.ID, at)
	r.probed = "prod/.probe/doctor-old"
	r.put(r.probed, []byte("x"))
	r.aged(r.probed, at)
	for slot, when := range map[time.Time]time.Time{at.Add(-keepClaims): at.Add(-keepClaims), at: at} {
		won, err := r.store.ClaimSlot(r.t.Context(), "prune", slot, catalog.Run{Holder: "x"})
		if err == nil {
			err = r.store.PutRun(r.t.Context(), catalog.Run{Job: "prune", Slot: slot}, "0a1b")
		}
		if err != nil || !won {
			r.t.Fatal(won, err)
		}
		for _, key := range r.names() {
			if strings.Contains(key, slot.UTC().Format("/20060102T150405Z-")) && strings.Contains(key, "/runs/") {
				r.aged(key, when)
			}
		}
	}
	r.claim = "prod/runs/claims/" + at.Add(-keepClaims).UTC().Format("20060102T150405Z") + "-prune.json"
}

// manifest is one that nothing is wrong with, and the bytes that it speaks of.
func (r *rig) manifest(at time.Time) (catalog.Manifest, []byte) {
	r.t.Helper()
	id, err := catalog.NewID(at, 7, rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	sealed := []byte("sealed bytes of " + string(id))
	sum := sha256.Sum256(sealed)
	codecs := []string{"zstd", "age"}
	return catalog.Manifest{ID: id, Started: at, Finished: at.Add(time.Second), Cluster: catalog.Cluster{Name: "prod", ID: "c1"},
		Snapshot: catalog.Snapshot{Bytes: 100, SHA256: strings.Repeat("ab", 32), Revision: 7, Keys: 10},
		HashKV:   catalog.HashKV{Outcome: catalog.Equal, Revision: 7},
		Archive:  catalog.Archive{Object: catalog.ArchiveObject(id, codecs), Bytes: int64(len(sealed)), SHA256: hex.EncodeToString(sum[:])},
		Codecs:   codecs, Recipients: []string{"x25519:00"}}, sealed
}

// archive publishes one as a run at that time would have.
func (r *rig) archive(at time.Time) catalog.Manifest {
	r.t.Helper()
	m, sealed := r.manifest(at)
	r.publish(r.store, m, sealed)
	r.age(m.ID, at)
	m, err := r.store.Manifest(r.t.Context(), m.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

func (r *rig) publish(store *catalog.Catalog, m catalog.Manifest, sealed []byte) {
	r.t.Helper()
	text, err := m.Encode()
	if err == nil {
		_, err = store.Publish(r.t.Context(), m, text, bytes.NewReader(sealed), catalog.Steps{})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// age sets back all that lies under an id.
func (r *rig) age(id catalog.ID, at time.Time) {
	for _, key := range r.names() {
		if strings.Contains(key, string(id)) {
			r.aged(key, at)
		}
	}
}

func (r *rig) receipt(m catalog.Manifest, ok bool, at time.Time) {
	r.t.Helper()
	r.receiptBy(m, ok, at, catalog.KeyIdentity)
}

func (r *rig) receiptBy(m catalog.Manifest, ok bool, at time.Time, key string) {
	r.t.Helper()
	rec := catalog.Receipt{Archive: m.ID, ManifestSHA256: m.SHA256, Cluster: "prod", Level: catalog.Content, OK: ok, Key: key, Started: at, Finished: at}
	if err := r.store.PutReceipt(r.t.Context(), rec, "0a1b"); err != nil {
		r.t.Fatal(err)
	}
	r.age(m.ID, at)
}

// hold puts one there; documents of one archive lie a second apart.
func (r *rig) hold(id catalog.ID, reason string, until *time.Time, release bool) {
	r.t.Helper()
	n := len(slices.DeleteFunc(r.names(), func(key string) bool { return !strings.Contains(key, "/holds/"+string(id)) }))
	written := id.Time().Add(time.Duration(n+1) * time.Second)
	err := r.store.PutHold(r.t.Context(), catalog.Hold{Archive: id, Reason: reason, Until: until, Written: written}, release, "0a1b")
	if err != nil {
		r.t.Fatal(err)
	}
	r.age(id, written)
}

// put writes an object as it is, past the catalogue.
func (r *rig) put(key string, data []byte) {
	r.t.Helper()
	if r.liar != nil {
		r.liar.mu.Lock()
		defer r.liar.mu.Unlock()
		r.liar.objects[key] = object{data, r.Now()}
		return
	}
	path := filepath.Join(r.dir, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// names is all that lies in the store, in order, but for probes.
func (r *rig) names() []string {
	r.t.Helper()
	if r.liar != nil {
		return r.liar.names()
	}
	var out []string
	err := filepath.WalkDir(r.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.Contains(path, "/.probe/") {
			name, _ := filepath.Rel(r.dir, path)
			out = append(out, name)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *rig) has(key string) bool { return slices.Contains(r.names(), key) }

// objects are an archive's names in the store.
func objects(id catalog.ID) (manifest, archive string) {
	return "prod/manifests/" + string(id) + ".json", "prod/archives/" + string(id) + ".db.zst.age"
}

// wantWhole fails unless each of these archives is listed, and its bytes are those that its
// manifest promises.
func (r *rig) wantWhole(ids ...catalog.ID) {
	r.t.Helper()
	for _, id := range ids {
		if err := whole(r.store, id); err != nil {
			r.t.Errorf("archive %s, which must stay: %v", id, err)
		}
	}
}

func whole(store *catalog.Catalog, id catalog.ID) error {
	ctx := context.Background()
	m, err := store.Manifest(ctx, id)
	if err != nil {
		return err
	}
	body, _, err := store.OpenArchive(ctx, id, m.Codecs)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(io.Discard, m.Expect().Sealed(body))
	return err
}

// wantSound fails unless all that is listed is whole, and all that must stay is listed.
func (r *rig) wantSound() {
	r.t.Helper()
	r.honest()
	entries, err := r.store.List(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range entries {
		r.wantWhole(e.ID)
	}
	r.wantWhole(r.stay...)
}

// wantPruned fails unless the store holds what the policy keeps, and nothing else of old.
func (r *rig) wantPruned() {
	r.t.Helper()
	r.wantSound()
	for _, key := range r.names() {
		if slices.ContainsFunc(append(r.go4, r.waste), func(id catalog.ID) bool { return strings.Contains(key, string(id)) }) {
			r.t.Errorf("store holds %q, which goes by the plan", key)
		}
	}
	if runs, err := r.store.Runs(context.Background()); err != nil || len(runs) != 3 || r.has(r.claim) {
		r.t.Errorf("store holds %+v of runs, %v, want two records and the younger claim", runs, err)
	}
}

// honest ends all lies.
func (r *rig) honest() {
	if r.liar != nil {
		r.liar.mu.Lock()
		defer r.liar.mu.Unlock()
		r.liar.step, r.liar.listed = nil, nil
	}
}

// again is an honest run, which must end well.
func (r *rig) again() Report {
	r.t.Helper()
	r.honest()
	report, err := Run(context.WithoutCancel(r.t.Context()), r.Config)
	if err != nil || report.Cause != "" {
		r.t.Errorf("Run = %v, cause %q, %q; want it done", err, report.Cause, report.Warnings)
	}
	return report
}

// told is all that a run said.
func told(report Report, err error) string { return fmt.Sprintf("%+v %v", report, err) }

// verdicts are those of a plan, by archive.
func verdicts(report Report) map[catalog.ID]plan.Verdict {
	out := map[catalog.ID]plan.Verdict{}
	for _, item := range report.Plan {
		out[item.ID] = item.Verdict
	}
	return out
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

func readerAt(data []byte) io.ReaderAt { return bytes.NewReader(data) }

// bytesOf are those that lie under an archive's name.
func (r *rig) bytesOf(id catalog.ID) []byte {
	r.t.Helper()
	_, key := objects(id)
	obj, err := r.liar.get(key)
	if err != nil {
		r.t.Fatal(err)
	}
	return obj.data
}
