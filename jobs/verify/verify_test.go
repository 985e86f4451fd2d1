package verify

import (
	"bytes"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == dbfile.Command {
		os.Exit(dbfile.Serve(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// The archive of format 1 that is kept for ever, and its manifest.
const (
	goldenID      = catalog.ID("20261123T140509Z-0000000000000020-25d3d030")
	goldenArchive = "../../storage/archive/testdata/format1.db.zst.age"
	goldenKey     = "../../storage/archive/testdata/format1.identity.txt"
	goldenText    = "../../storage/catalog/testdata/format1.manifest.json"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func golden(t *testing.T) catalog.Manifest {
	t.Helper()
	m, err := catalog.DecodeManifest(read(t, goldenText), "example", goldenID)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// store puts the golden archive into a folder, with m for its manifest.
func store(t *testing.T, m catalog.Manifest) (*catalog.Catalog, string) {
	t.Helper()
	dir := t.TempDir()
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"archives/" + string(goldenID) + ".db.zst.age": read(t, goldenArchive),
		"manifests/" + string(goldenID) + ".json":      text,
	} {
		path := filepath.Join(dir, "example", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := bucket.OpenFile(dir, bucket.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	opened := bucket.New(b, "file://"+dir, bucket.Kind{})
	t.Cleanup(func() { opened.Close() })
	c, err := catalog.Open(opened, "example")
	if err != nil {
		t.Fatal(err)
	}
	return c, dir
}

func config(t *testing.T, c *catalog.Catalog, level catalog.Level) Config {
	t.Helper()
	ids, err := archive.ParseIdentities(read(t, goldenKey))
	if err != nil {
		t.Fatal(err)
	}
	return Config{Cluster: "example", Stores: []*catalog.Catalog{c}, What: string(goldenID), Level: level, Identities: ids,
		Place: spool.Place{Dir: t.TempDir()}, Now: time.Now, Random: rand.Reader, Log: slog.New(slog.DiscardHandler)}
}

// unchecked are the fields that only whoever took the snapshot could know: nothing in the
// archive's bytes contradicts a lie about them, and only a signature would tell.
var unchecked = []string{
	"Base", "Tool.", "Runner", "Cluster.ID", "Member.", "Members", "Finished", "HashKV.Outcome", "HashKV.Why", "HashKV.Agreed", "HashKV.Differed",
	"Quorum", "Alarms", "Source", "Suspect", "Recipients", "Resources", "Platform.", "EncryptionAtRest", "Tripwires", "CopiedFrom", "Lock",
	"Reason", "Labels", "Snapshot.DBInUseBytes",
	"Format", "Kind", "SHA256", // Encode sets them
}

// A manifest that lies, with a digest of its own that fits, is found out by the bytes.
func TestAManifestThatLiesIsFoundOut(t *testing.T) {
	lies := 0
	leaves(reflect.ValueOf(new(golden(t))).Elem(), "", func(path string, _ reflect.Value) {
		for _, u := range unchecked {
			if path == u || strings.HasSuffix(u, ".") && strings.HasPrefix(path, u) {
				return
			}
		}
		lies++
		m := golden(t)
		leaves(reflect.ValueOf(&m).Elem(), "", func(at string, v reflect.Value) {
			if at == path {
				lie(t, path, v)
			}
		})
		c, _ := store(t, m)
		if _, err := Run(t.Context(), config(t, c, catalog.Content)); !errors.Is(err, ErrFinding) {
			t.Errorf("verify of a manifest that lies about %s: %v, want ErrFinding", path, err)
		}
	})
	if lies < 20 {
		t.Errorf("%d fields were lied about, want at least 20", lies)
	}
}

// leaves calls see for each field that holds no others.
func leaves(v reflect.Value, path string, see func(string, reflect.Value)) {
	if v.Kind() != reflect.Struct || v.Type() == reflect.TypeFor[time.Time]() {
		see(path, v)
		return
	}
	for i := range v.NumField() {
		leaves(v.Field(i), strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), see)
	}
}

func lie(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch {
	case v.Kind() == reflect.String && len(v.String()) == 64:
		v.SetString(strings.Repeat("0", 64))
	case v.Kind() == reflect.String:
		v.SetString(v.String() + "0")
	case v.CanInt():
		v.SetInt(v.Int() + 1)
	case v.CanUint():
		v.SetUint(v.Uint() + 1)
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(v.Interface().(time.Time).Add(time.Hour)))
	case v.Type() == reflect.TypeFor[[]string]():
		v.Set(reflect.ValueOf([]string{"zstd"}))
	default:
		t.Fatalf("no lie about %s, a %s", path, v.Type())
	}
}

func TestASoundArchiveGetsAReceiptAtEachLevel(t *testing.T) {
	for _, level := range []catalog.Level{catalog.Stored, catalog.Content} {
		c, _ := store(t, golden(t))
		report, err := Run(t.Context(), config(t, c, level))
		if err != nil || len(report.Archives) != 1 || !report.Archives[0].Receipt {
			t.Fatalf("verify at %s: %v, report %+v", level, err, report)
		}
		m, err := c.Manifest(t.Context(), goldenID)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := c.Verified(t.Context(), m); got != level || err != nil {
			t.Errorf("after verify at %s the archive is verified at %q, %v", level, got, err)
		}
	}
}

func TestAFindingIsAReceiptThatTakesTheOlderOneAway(t *testing.T) {
	c, dir := store(t, golden(t))
	cfg := config(t, c, catalog.Content)
	if _, err := Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "example", "archives", string(goldenID)+".db.zst.age")
	raw := read(t, path)
	raw[len(raw)/2] ^= 4
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	// Receipts of one second sort by chance.
	cfg.Now = func() time.Time { return time.Now().Add(2 * time.Second) }
	if _, err := Run(t.Context(), cfg); !errors.Is(err, ErrFinding) {
		t.Fatalf("verify of a flipped bit: %v, want ErrFinding", err)
	}
	m, err := c.Manifest(t.Context(), goldenID)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := c.Verified(t.Context(), m); got != "" {
		t.Errorf("after a finding the archive is verified at %q, want nothing", got)
	}
	cfg.MaxAge = time.Hour * 24 * 365 * 100
	cfg.What = All
	if _, err := Run(t.Context(), cfg); !errors.Is(err, ErrFinding) {
		t.Errorf("verify --max-age of a damaged archive: %v, want ErrFinding", err)
	}
}

func TestMaxAgeIsAPromise(t *testing.T) {
	c, _ := store(t, golden(t))
	cfg := config(t, c, catalog.Content)
	cfg.MaxAge = time.Since(goldenID.Time()).Abs() + time.Hour
	if _, err := Run(t.Context(), cfg); err != nil {
		t.Errorf("verify of an archive within its age: %v", err)
	}
	cfg.Now = func() time.Time { return goldenID.Time().Add(2 * cfg.MaxAge) }
	if _, err := Run(t.Context(), cfg); !errors.Is(err, ErrTooOld) {
		t.Errorf("verify of an archive past its age: %v, want ErrTooOld", err)
	}
	cfg.Now = func() time.Time { return goldenID.Time().Add(-time.Hour) }
	if _, err := Run(t.Context(), cfg); !errors.Is(err, ErrTooOld) {
		t.Errorf("verify of an archive that is an hour ahead of our clock: %v, want ErrTooOld: it may be old", err)
	}
}

func TestAMissingObjectIsAFinding(t *testing.T) {
	c, dir := store(t, golden(t))
	path := filepath.Join(dir, "example", "archives", string(goldenID)+".db.zst.age")
	for _, content := range [][]byte{nil, {}, []byte("short"), append(read(t, path), 0)} {
		err := os.Remove(path)
		if content != nil {
			err = os.WriteFile(path, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, level := range []catalog.Level{catalog.Stored, catalog.Content} {
			if _, err := Run(t.Context(), config(t, c, level)); !errors.Is(err, ErrFinding) {
				t.Errorf("verify at %s of an object of %d bytes: %v, want ErrFinding", level, len(content), err)
			}
		}
		if content == nil {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestSubsetsCoverAllOnce(t *testing.T) {
	for of := 1; of <= 7; of++ {
		for i := range 200 {
			id, err := catalog.NewID(time.Unix(int64(i)*1000, 0), 1, bytes.NewReader([]byte{byte(i), byte(i * 7), byte(i * 13), byte(i * 31)}))
			if err != nil {
				t.Fatal(err)
			}
			parts := 0
			for n := 1; n <= of; n++ {
				if (Subset{n, of}).has(id) {
					parts++
				}
			}
			if parts != 1 {
				t.Fatalf("%s is in %d of %d parts, want 1", id, parts, of)
			}
		}
	}
}

// A damaged receipt is found, and is no word against the archive.
func TestADamagedReceiptIsAFinding(t *testing.T) {
	c, dir := store(t, golden(t))
	cfg := config(t, c, catalog.Content)
	if _, err := Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "example", "receipts", "*", "*.json"))
	if err != nil || len(found) != 1 {
		t.Fatalf("receipts %q, %v", found, err)
	}
	raw := read(t, found[0])
	raw[10] ^= 1
	if err := os.WriteFile(found[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), cfg); !errors.Is(err, ErrFinding) {
		t.Errorf("verify beside a damaged receipt: %v, want ErrFinding", err)
	}
	m, err := c.Manifest(t.Context(), goldenID)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := c.Verified(t.Context(), m); got != catalog.Content {
		t.Errorf("the archive beside a damaged receipt is verified at %q, %v; want content", got, err)
	}
}

// TestAnArchiveThatIsPrunedMeanwhileIsNoFinding: its manifest goes between the list and the look, or
// with its bytes in the midst of it. Bytes alone that are missing stay a finding.
func TestAnArchiveThatIsPrunedMeanwhileIsNoFinding(t *testing.T) {
	for _, c := range []struct {
		what           string
		manifest, data bool
		want           error
	}{{All, true, true, nil}, {All, false, true, ErrFinding}, {string(goldenID), true, true, bucket.ErrNotExist}} {
		cat, dir := store(t, golden(t))
		manifest, data := filepath.Join(dir, "example/manifests", string(goldenID)+".json"), filepath.Join(dir, "example/archives", string(goldenID)+".db.zst.age")
		drop := func() {
			if c.manifest {
				_ = os.Remove(manifest)
			}
			if c.data {
				_ = os.Remove(data)
			}
		}
		cfg := config(t, cat, catalog.Stored)
		cfg.What, cfg.Level = c.what, catalog.Stored
		// The time is asked for at the start of the run, and once more when the archive's turn comes.
		asked := 0
		cfg.Now = func() time.Time {
			if asked++; asked == 3 {
				drop()
			}
			return time.Now()
		}
		report, err := Run(t.Context(), cfg)
		if !errors.Is(err, c.want) {
			t.Errorf("verify %s, manifest gone %t: %v, want %v", c.what, c.manifest, err, c.want)
		}
		if c.want == nil && (len(report.Archives) != 1 || report.Archives[0].Result != jobs.Skipped) {
			t.Errorf("verify %s: report tells of %+v, want it skipped", c.what, report.Archives)
		}
	}
}
