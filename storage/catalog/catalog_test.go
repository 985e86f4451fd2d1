package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob/memblob"
	"pgregory.net/rapid"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func memory(t *testing.T) (*Catalog, *bucket.Bucket) {
	t.Helper()
	store := bucket.New(memblob.OpenBucket(nil), "mem://", bucket.Kind{})
	t.Cleanup(func() { store.Close() })
	c, err := Open(store, "prod")
	if err != nil {
		t.Fatal(err)
	}
	return c, store
}

// sample is a manifest that nothing is wrong with.
func sample(t *testing.T, at time.Time, revision int64) Manifest {
	t.Helper()
	id, err := NewID(at, revision, bytes.NewReader([]byte{1, 2, byte(revision >> 8), byte(revision)}))
	if err != nil {
		t.Fatal(err)
	}
	hex := strings.Repeat("ab", 32)
	codecs := []string{"zstd", "age"}
	return Manifest{ID: id, Started: at, Finished: at.Add(time.Second), Cluster: Cluster{Name: "prod", ID: "c1"},
		Snapshot: Snapshot{Bytes: 100, SHA256: hex, Revision: revision}, HashKV: HashKV{Outcome: Equal, Revision: revision},
		Archive: Archive{Object: ArchiveObject(id, codecs), Bytes: 50, SHA256: hex}, Codecs: codecs, Recipients: []string{"x25519:00"}}
}

func commit(t *testing.T, c *Catalog, m Manifest) Manifest {
	t.Helper()
	if err := c.Commit(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	m, err := c.Manifest(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestIDsGoBothWaysAndSortByAge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) (ID, time.Time, int64) {
			at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, name), 0)
			rev := rapid.Int64Range(1, 1<<62).Draw(t, name+"rev")
			id, err := NewID(at, rev, bytes.NewReader(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, name+"rnd")))
			if err != nil {
				t.Fatal(err)
			}
			return id, at, rev
		}
		a, at, rev := draw("a")
		if got, err := ParseID(string(a)); err != nil || got != a || !got.Time().Equal(at) || got.Revision() != rev {
			t.Fatalf("ParseID(%q) = %q, %v; time %s, revision %d", a, got, err, got.Time(), got.Revision())
		}
		b, bt, _ := draw("b")
		if at.Before(bt) != (a < b) && !at.Equal(bt) {
			t.Fatalf("%q and %q do not sort by age", a, b)
		}
		k := keys{"prod"}
		if got, ok := k.parseManifest(k.manifest(a)); !ok || got != a {
			t.Fatalf("parseManifest(%q) = %q, %t", k.manifest(a), got, ok)
		}
		r := Receipt{Archive: a, Level: Content, Finished: bt}
		if got, when, ok := parseReceipt(k.receipt(r, "0a1b")); !ok || got != Content || !when.Equal(r.Finished.Truncate(time.Second)) {
			t.Fatalf("parseReceipt(%q) = %q, %s, %t", k.receipt(r, "0a1b"), got, when, ok)
		}
	})
}

func TestParseIDRefuses(t *testing.T) {
	for _, bad := range []string{"", "latest", "20261123T120000Z", "20261123T120000Z-0000000000000001-ABCDEF01", "20261323T120000Z-0000000000000001-abcdef01",
		"20261123T120000Z-0000000000000001-abcdef01x", "../20261123T120000Z-0000000000000001-abcdef01", "20261123T120000Z-0000000000000001-abcdef01\n"} {
		if _, err := ParseID(bad); !errors.Is(err, ErrBadName) {
			t.Errorf("ParseID(%q): %v, want ErrBadName", bad, err)
		}
	}
}

func TestCheckClusterRefusesWhatIsNoFolder(t *testing.T) {
	for _, bad := range []string{"", ".", "..", "a/b", "../a", "a/", "-a", "a-", "a b", "a\x00", strings.Repeat("a", 64), "ä", "a\n"} {
		if err := CheckCluster(bad); !errors.Is(err, ErrBadName) {
			t.Errorf("CheckCluster(%q): %v, want ErrBadName", bad, err)
		}
	}
	for _, good := range []string{"a", "prod", "prod-2", "eu.west_1", strings.Repeat("a", 63)} {
		if err := CheckCluster(good); err != nil {
			t.Errorf("CheckCluster(%q): %v", good, err)
		}
	}
}

// format1 are documents that the first release wrote; they are read for ever.
func format1(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const format1ID = ID("20261123T140509Z-0000000000000020-25d3d030")

func TestFormat1IsReadAndWrittenTheSame(t *testing.T) {
	text := format1(t, "format1.manifest.json")
	m, err := DecodeManifest(text, "example", format1ID)
	if err != nil {
		t.Fatal(err)
	}
	if m.Snapshot.Keys != 29 || m.Labels["kept"] != "yes" || m.HashKV.Hash != 263717434 {
		t.Errorf("manifest of format 1: %+v", m)
	}
	if again, err := m.Encode(); err != nil || !bytes.Equal(again, text) {
		t.Errorf("Encode makes other bytes of it: %v\n%s", err, again)
	}
	receipt := format1(t, "format1.receipt.json")
	r, err := DecodeReceipt(receipt, "example", format1ID)
	if err != nil || r.ManifestSHA256 != m.SHA256 || !r.OK {
		t.Errorf("receipt of format 1: %+v, %v", r, err)
	}
	if again, err := r.Encode(); err != nil || !bytes.Equal(again, receipt) {
		t.Errorf("Encode makes other bytes of it: %v\n%s", err, again)
	}
}

func TestEveryFlippedBitOfADocumentIsFound(t *testing.T) {
	manifest, receipt := format1(t, "format1.manifest.json"), format1(t, "format1.receipt.json")
	for bit := range 8 * len(manifest) {
		p := bytes.Clone(manifest)
		p[bit/8] ^= 1 << (bit % 8)
		if _, err := DecodeManifest(p, "example", format1ID); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("manifest with bit %d flipped: %v, want ErrCorrupt", bit, err)
		}
	}
	for bit := range 8 * len(receipt) {
		p := bytes.Clone(receipt)
		p[bit/8] ^= 1 << (bit % 8)
		if _, err := DecodeReceipt(p, "example", format1ID); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("receipt with bit %d flipped: %v, want ErrCorrupt", bit, err)
		}
	}
}

func TestEveryCutOfADocumentIsFound(t *testing.T) {
	manifest := format1(t, "format1.manifest.json")
	for n := range manifest {
		if _, err := DecodeManifest(manifest[:n], "example", format1ID); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("manifest cut to %d: %v, want ErrCorrupt", n, err)
		}
	}
}

func TestAManifestInAnothersPlaceIsFound(t *testing.T) {
	c, store := memory(t)
	older, newer := sample(t, noon, 5), sample(t, noon.Add(time.Hour), 9)
	commit(t, c, older)
	text, err := older.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Upload(t.Context(), "prod/manifests/"+string(newer.ID)+".json", bytes.NewReader(text), int64(len(text))); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Manifest(t.Context(), newer.ID); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Manifest of an older one in a newer one's place: %v, want ErrCorrupt", err)
	}
	found, err := c.Find(t.Context(), Latest, time.Time{})
	if err != nil || found.Manifest.ID != older.ID || len(found.Passed) != 1 {
		t.Errorf("Find(latest) = %s, %v, passed %v", found.Manifest.ID, err, found.Passed)
	}
}

func TestManifestsThatContradictThemselvesAreRefused(t *testing.T) {
	for name, lie := range map[string]func(*Manifest){
		"id":              func(m *Manifest) { m.ID = format1ID },
		"cluster":         func(m *Manifest) { m.Cluster.Name = "prod-2" },
		"revision":        func(m *Manifest) { m.Snapshot.Revision++ },
		"started":         func(m *Manifest) { m.Started = m.Started.Add(time.Minute) },
		"finished":        func(m *Manifest) { m.Finished = m.Started.Add(-time.Second) },
		"archive object":  func(m *Manifest) { m.Archive.Object = "archives/../../other/archives/x" },
		"codecs":          func(m *Manifest) { m.Codecs = []string{"zstd"} },
		"archive bytes":   func(m *Manifest) { m.Archive.Bytes = 0 },
		"snapshot bytes":  func(m *Manifest) { m.Snapshot.Bytes = -1 },
		"archive digest":  func(m *Manifest) { m.Archive.SHA256 = "" },
		"snapshot digest": func(m *Manifest) { m.Snapshot.SHA256 = "short" },
		"recipients":      func(m *Manifest) { m.Recipients = nil },
	} {
		m := sample(t, noon, 7)
		id := m.ID
		lie(&m)
		text, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeManifest(text, "prod", id); !errors.Is(err, ErrCorrupt) {
			t.Errorf("manifest that lies about %s: %v, want ErrCorrupt", name, err)
		}
	}
}

func TestAnotherFormatIsRefusedAndUnknownFieldsAreNot(t *testing.T) {
	type future struct {
		Format int    `json:"format"`
		ID     string `json:"id"`
		SHA256 string `json:"sha256"`
	}
	text, err := encode(&future{Format: 2, ID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeManifest(text, "prod", "x"); !errors.Is(err, ErrFormat) {
		t.Errorf("format 2: %v, want ErrFormat", err)
	}
	type more struct {
		Sparkle string `json:"sparkle"`
		Manifest
	}
	m := sample(t, noon, 7)
	m.Format, m.Kind = 1, "full"
	text, err = encode(&more{"new", m})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeManifest(text, "prod", m.ID); err != nil {
		t.Errorf("manifest with a field of a later release: %v", err)
	}
}

// One LIST is the catalogue, however many there are.
func TestListsOfAnyLengthBehaveAlike(t *testing.T) {
	for _, n := range []int{0, 1, 1001, 10_000} {
		c, store := memory(t)
		put := func(key string) {
			if err := store.Upload(t.Context(), key, strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
		}
		var newest ID
		for i := range n {
			id, err := NewID(noon.Add(time.Duration(i)*time.Second), int64(i+1), bytes.NewReader([]byte{0, 0, byte(i >> 8), byte(i)}))
			if err != nil {
				t.Fatal(err)
			}
			put("prod/manifests/" + string(id) + ".json")
			newest = id
		}
		// None of these is an archive of prod.
		put("prod/manifests/notes.txt")
		put("prod/manifests/" + string(format1ID) + ".json.minisig")
		put("prod/archives/" + string(format1ID) + ".db.zst.age")
		put("prod-2/manifests/" + string(format1ID) + ".json")
		got, err := c.List(t.Context())
		if err != nil || len(got) != n {
			t.Fatalf("List of %d = %d, %v", n, len(got), err)
		}
		if n > 0 && got[0].ID != newest {
			t.Errorf("List of %d begins with %s, want the newest, %s", n, got[0].ID, newest)
		}
	}
}

func TestCommitIsCreateOnlyAndForgivesALostAnswer(t *testing.T) {
	c, _ := memory(t)
	m := sample(t, noon, 7)
	commit(t, c, m)
	if err := c.Commit(t.Context(), m); err != nil {
		t.Errorf("Commit of the same bytes again: %v, want nil", err)
	}
	m.Reason = "other"
	if err := c.Commit(t.Context(), m); !errors.Is(err, ErrConflict) || !errors.Is(err, bucket.ErrExists) {
		t.Errorf("Commit of other bytes: %v, want ErrConflict", err)
	}
}

func TestFindChoosesNoneThatIsNotFit(t *testing.T) {
	c, _ := memory(t)
	now := time.Now().UTC()
	good := commit(t, c, sample(t, now.Add(-3*time.Hour), 10))
	suspect := sample(t, now.Add(-2*time.Hour), 20)
	suspect.Suspect = []string{"HashKV differs"}
	commit(t, c, suspect)
	future := commit(t, c, sample(t, now.Add(time.Hour), 30))
	found, err := c.Find(t.Context(), Latest, time.Time{})
	if err != nil || found.Manifest.ID != good.ID || len(found.Passed) != 2 {
		t.Fatalf("Find(latest) = %s, %v, passed over %d; want %s and 2", found.Manifest.ID, err, len(found.Passed), good.ID)
	}
	if _, err := c.Find(t.Context(), Latest, now.Add(-4*time.Hour)); !errors.Is(err, ErrNone) {
		t.Errorf("Find(latest) as of before all: %v, want ErrNone", err)
	}
	if got, err := c.Find(t.Context(), string(future.ID), time.Time{}); err != nil || got.Manifest.ID != future.ID {
		t.Errorf("Find by id = %s, %v: an id is taken at its word", got.Manifest.ID, err)
	}
	if _, err := c.Find(t.Context(), LatestVerified, time.Time{}); !errors.Is(err, ErrNone) {
		t.Errorf("Find(latest-verified) without a receipt: %v, want ErrNone", err)
	}
	receipt(t, c, good, Content, true, 0)
	if got, err := c.Find(t.Context(), LatestVerified, time.Time{}); err != nil || got.Manifest.ID != good.ID {
		t.Errorf("Find(latest-verified) = %s, %v", got.Manifest.ID, err)
	}
}

// TestWhatIsAheadOfOurClockIsNotLatest: where the store's clock was wrong too when it was written.
func TestWhatIsAheadOfOurClockIsNotLatest(t *testing.T) {
	c, _ := memory(t)
	now := time.Now().UTC()
	older := commit(t, c, sample(t, now.Add(-time.Hour), 10))
	ahead := commit(t, c, sample(t, now, 20))
	for behind, want := range map[time.Duration]ID{0: ahead.ID, 4 * time.Minute: ahead.ID, 10 * time.Minute: older.ID} {
		c.Now = func() time.Time { return now.Add(-behind) }
		found, err := c.Find(t.Context(), Latest, time.Time{})
		if err != nil || found.Manifest.ID != want {
			t.Errorf("our clock %s behind: Find(latest) = %s, %v, want %s", behind, found.Manifest.ID, err, want)
		}
		if want == older.ID && (len(found.Passed) != 1 || !strings.Contains(found.Passed[0].Why.Error(), "in the future of our own clock")) {
			t.Errorf("our clock %s behind: passed over %+v, want one and why", behind, found.Passed)
		}
	}
	c.Now = func() time.Time { return now.Add(-24 * time.Hour) }
	_, err := c.Find(t.Context(), Latest, time.Time{})
	if !errors.Is(err, ErrNone) || errors.Is(err, ErrPassed) || !strings.Contains(err.Error(), string(ahead.ID)+": in the future of our own clock, "+now.Add(-24*time.Hour).Format(time.RFC3339)) {
		t.Errorf("our clock a day behind: Find(latest) = %v, want ErrNone and why", err)
	}
}

func receipt(t *testing.T, c *Catalog, m Manifest, level Level, ok bool, second int) {
	t.Helper()
	at := noon.Add(time.Duration(second) * time.Second)
	r := Receipt{Archive: m.ID, ManifestSHA256: m.SHA256, Cluster: "prod", Level: level, OK: ok, Started: at, Finished: at}
	if !ok {
		r.Finding = "flipped at " + at.String()
	}
	if err := c.PutReceipt(t.Context(), r, fmt.Sprintf("%04x", second)); err != nil {
		t.Fatal(err)
	}
}

func TestANewerFailureTakesAnOlderSuccessAway(t *testing.T) {
	for _, c := range []struct {
		name     string
		receipts []Receipt
		want     Level
	}{
		{"none", nil, ""},
		{"stored", []Receipt{{Level: Stored, OK: true}}, Stored},
		{"deepest counts", []Receipt{{Level: Content, OK: true}, {Level: Stored, OK: true}}, Content},
		{"failed since", []Receipt{{Level: Content, OK: true}, {Level: Stored, OK: false}}, ""},
		{"content failed since", []Receipt{{Level: Content, OK: true}, {Level: Content, OK: false}, {Level: Stored, OK: true}}, Stored},
		{"mended since", []Receipt{{Level: Content, OK: false}, {Level: Content, OK: true}}, Content},
		{"of another manifest", []Receipt{{Level: Content, OK: true, ManifestSHA256: "other"}}, ""},
	} {
		if got, _ := verified(c.receipts, ""); got != c.want {
			t.Errorf("%s: verified at %q, want %q", c.name, got, c.want)
		}
	}
}

func TestFindRefusesTwoClustersUnderOneName(t *testing.T) {
	c, _ := memory(t)
	for i, id := range []string{"a", "a", "b", "b"} {
		m := sample(t, noon.Add(time.Duration(i)*time.Hour), int64(i+1))
		m.Cluster.ID = id
		commit(t, c, m)
	}
	if _, err := c.Find(t.Context(), Latest, time.Time{}); err != nil {
		t.Errorf("Find(latest) after a cluster was rebuilt: %v", err)
	}
	m := sample(t, noon.Add(9*time.Hour), 9)
	m.Cluster.ID = "a"
	commit(t, c, m)
	for _, name := range []string{Latest, LatestVerified} {
		if _, err := c.Find(t.Context(), name, time.Time{}); !errors.Is(err, ErrInterleaved) {
			t.Errorf("Find(%s) of a, b, a: %v, want ErrInterleaved", name, err)
		}
	}
}

func TestCancelledCallsEndWithTheirContext(t *testing.T) {
	c, _ := memory(t)
	m := commit(t, c, sample(t, noon, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"List":         func() error { _, err := c.List(ctx); return err },
		"Manifest":     func() error { _, err := c.Manifest(ctx, m.ID); return err },
		"Commit":       func() error { return c.Commit(ctx, sample(t, noon, 2)) },
		"Find":         func() error { _, err := c.Find(ctx, Latest, time.Time{}); return err },
		"Receipts":     func() error { _, err := c.Receipts(ctx, m.ID, Stored); return err },
		"ClaimSlot":    func() error { _, err := c.ClaimSlot(ctx, "prune", noon, Run{Holder: "x"}); return err },
		"PutRun":       func() error { return c.PutRun(ctx, Run{Job: "prune", Slot: noon}, "0a1b") },
		"LastRun":      func() error { _, err := c.LastRun(ctx, "prune"); return err },
		"LastSnapshot": func() error { _, err := c.LastSnapshot(ctx); return err },
		"LastReceipt":  func() error { _, err := c.LastReceipt(ctx); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", name, err)
		}
	}
}

func TestEveryManifestFieldIsTold(t *testing.T) {
	format, err := os.ReadFile("../archive/FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	var fields func(ty reflect.Type)
	fields = func(ty reflect.Type) {
		for f := range ty.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !strings.Contains(string(format), name) {
				t.Errorf("FORMAT.md does not tell of %q", name)
			}
			if inner := f.Type; inner.Kind() == reflect.Struct && inner != reflect.TypeFor[time.Time]() {
				fields(inner)
			}
		}
	}
	fields(reflect.TypeFor[Manifest]())
	fields(reflect.TypeFor[Receipt]())
	fields(reflect.TypeFor[Run]())
}

func FuzzDecodeManifest(f *testing.F) {
	text, err := os.ReadFile("testdata/format1.manifest.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if _, err := DecodeManifest(p, "example", format1ID); err == nil && !bytes.Equal(p, text) {
			t.Errorf("decoded a manifest of other bytes: %q", p)
		}
	})
}

// TestFailuresAreThoseThatKnowFinds: list goes by the one, list --long by the other.
func TestFailuresAreThoseThatKnowFinds(t *testing.T) {
	other := Manifest{SHA256: strings.Repeat("0", 64)}
	for name, c := range map[string]struct {
		say  func(t *testing.T, c *Catalog, m, other Manifest)
		want bool
	}{
		"failed": {func(t *testing.T, c *Catalog, m, _ Manifest) { receipt(t, c, m, Stored, false, 1) }, true},
		"sound later": {func(t *testing.T, c *Catalog, m, _ Manifest) {
			receipt(t, c, m, Stored, false, 1)
			receipt(t, c, m, Stored, true, 2)
		}, false},
		"failed for another manifest": {func(t *testing.T, c *Catalog, m, other Manifest) {
			receipt(t, c, m, Stored, true, 1)
			receipt(t, c, other, Stored, false, 2)
		}, false},
		"sound for another manifest": {func(t *testing.T, c *Catalog, m, other Manifest) {
			receipt(t, c, m, Stored, false, 1)
			receipt(t, c, other, Stored, true, 2)
		}, true},
		"a damaged one later": {func(t *testing.T, c *Catalog, m, _ Manifest) {
			receipt(t, c, m, Stored, false, 1)
			if err := c.store.Put(t.Context(), "prod/receipts/"+string(m.ID)+"/20981123T120000Z-stored-0a1b.json", strings.NewReader("x"), 1, false); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		cat, _ := memory(t)
		m := commit(t, cat, sample(t, noon, 7))
		other.ID = m.ID
		c.say(t, cat, m, other)
		items, err := Collect(cat.Everything(t.Context()))
		if err != nil || len(items) != 1 {
			t.Fatalf("%d items, %v", len(items), err)
		}
		known, err := cat.Know(t.Context(), items[0])
		if err != nil {
			t.Fatal(err)
		}
		got := cat.Failures(t.Context(), items)[m.ID].Finding
		if got != known.Finding || (got != "") != c.want {
			t.Errorf("%s: Failures tells %q, Know %q; want one told: %t", name, got, known.Finding, c.want)
		}
	}
}
