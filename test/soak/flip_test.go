package soak

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// TestEveryFlippedBitIsFound flips one random bit of one object, has it looked at, and flips it
// back. A flip in an archive or a manifest is found by verify (12), and nothing is restored of
// it. A flip in a receipt is told by show (12), and takes away the word of that receipt: the
// archive no longer counts as verified, neither for list, for latest-verified nor for --max-age.
func TestEveryFlippedBitIsFound(t *testing.T) {
	f := newFlips(t)
	sum := newSummary(t, "flips")
	n := scaleOf(t).flips
	for _, kind := range []struct {
		name  string
		path  func() string
		found func(what string)
		again func(what string)
	}{
		{"archives", func() string { return f.archivePath(f.newest) }, f.contentIsLost, f.contentIsSound},
		{"manifests", func() string { return f.manifestPath(f.newest) }, f.contentIsLost, f.contentIsSound},
		{"receipts", f.receipt, f.receiptIsLost, f.receiptCounts},
	} {
		began, path, found := time.Now(), kind.path(), 0
		kind.again("before any flip of " + kind.name)
		for range n {
			what := f.flip(path)
			kind.found(what)
			f.unflip(path)
			kind.again(what + " and back")
			if t.Failed() {
				break
			}
			found++
		}
		sum.add(fmt.Sprintf("- %d of %d single-bit flips in %s found, none restored, all well after each was flipped back, in %v (object of %d bytes).",
			found, n, kind.name, time.Since(began).Round(100*time.Millisecond), len(f.whole[path])))
	}
}

type flips struct {
	*rig
	newest, old catalog.ID // old is the same archive, taken a day before by its word
	rnd         *rand.Rand
	whole       map[string][]byte // of each file that was flipped
	made        int
}

func newFlips(t *testing.T) *flips {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	f := &flips{rig: newRig(t, "-objects", "300"), rnd: rand.New(rand.NewPCG(seed, 2)), whole: map[string][]byte{}}
	f.newest = f.snapshot()
	f.age()
	for _, id := range []catalog.ID{f.old, f.newest} {
		f.must(0, f.opening("verify", string(id), "--level", "content")...)
	}
	return f
}

// age puts a copy of the newest archive into the store that says that it is a day older.
func (f *flips) age() {
	f.t.Helper()
	m := f.manifest(f.newest)
	m.Started, m.Finished = m.Started.Add(-24*time.Hour), m.Finished.Add(-24*time.Hour)
	id, err := catalog.NewID(m.Started, m.Snapshot.Revision, strings.NewReader("copy"))
	if err != nil {
		f.t.Fatal(err)
	}
	m.ID, m.Archive.Object, f.old = id, catalog.ArchiveObject(id, m.Codecs), id
	text, err := m.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(f.manifestPath(id), text)
	f.write(f.archivePath(id), f.read(f.archivePath(f.newest)))
}

func (f *flips) read(path string) []byte {
	f.t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	return raw
}

func (f *flips) write(path string, raw []byte) {
	f.t.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// receipt is the newest archive's only receipt.
func (f *flips) receipt() string {
	f.t.Helper()
	found, err := filepath.Glob(f.inStore("receipts", string(f.newest), "*.json"))
	if err != nil || len(found) != 1 {
		f.t.Fatalf("archive %s has receipts %q, %v; want one", f.newest, found, err)
	}
	return found[0]
}

// header is about as long as age's is for one recipient.
const header = 200

// flip turns one bit of a file over, and says which.
func (f *flips) flip(path string) string {
	f.t.Helper()
	if f.whole[path] == nil {
		f.whole[path] = f.read(path)
	}
	raw := append([]byte{}, f.whole[path]...)
	at, bit := f.rnd.IntN(len(raw)), f.rnd.IntN(8)
	// Half of those in an archive fall where its keys lie: all of it would leave them a
	// chance of one in a thousand.
	if len(raw) > 100*header && f.rnd.IntN(2) == 0 {
		at = f.rnd.IntN(header)
	}
	raw[at] ^= 1 << bit
	f.write(path, raw)
	return fmt.Sprintf("bit %d of byte %d of %s flipped", bit, at, filepath.Base(path))
}

func (f *flips) unflip(path string) { f.write(path, f.whole[path]) }

// lookAt verifies the newest archive, and removes the receipt of it: hundreds would make each
// look longer, and the one that is flipped shall stay the only one.
func (f *flips) lookAt(code int, what string) {
	f.t.Helper()
	before := f.read(f.receipt())
	out := f.run(f.opening("verify", string(f.newest), "--level", "content")...)
	if out.code != code {
		f.t.Errorf("%s: verify exits with %d, want %d\n%s%s", what, out.code, code, out.stdout, out.stderr)
	}
	f.keepOnly(before)
}

func (f *flips) keepOnly(receipt []byte) {
	f.t.Helper()
	found, err := filepath.Glob(f.inStore("receipts", string(f.newest), "*.json"))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, path := range found {
		if string(f.read(path)) == string(receipt) {
			continue
		}
		if err := os.Remove(path); err != nil {
			f.t.Fatal(err)
		}
	}
}

// contentIsLost fails unless verify finds the flip, and restore refuses the archive.
func (f *flips) contentIsLost(what string) {
	f.t.Helper()
	f.lookAt(12, what)
	f.made++
	parent := filepath.Join(f.dir, fmt.Sprintf("flip%d", f.made))
	if err := os.Mkdir(parent, 0o755); err != nil {
		f.t.Fatal(err)
	}
	out := f.run(f.opening("restore", string(f.newest), "--data-dir", filepath.Join(parent, "data"))...)
	if left := files(f.t, parent); out.code != 12 || len(left) > 0 || exists(filepath.Join(parent, "data")) {
		f.t.Errorf("%s: restore exits with %d, want 12, and leaves %q\n%s%s", what, out.code, left, out.stdout, out.stderr)
	}
	f.tidy()
}

func (f *flips) contentIsSound(what string) {
	f.t.Helper()
	f.lookAt(0, what)
}

// receiptIsLost fails unless the newest archive no longer counts as verified, and show says why.
func (f *flips) receiptIsLost(what string) {
	f.t.Helper()
	f.counts(what, "", f.old, 12)
	f.lookAt(12, what)
	if out := f.run(f.stored("show", string(f.newest))...); out.code != 12 || !strings.Contains(out.stderr, "corrupt") {
		f.t.Errorf("%s: show exits with %d, want 12, and says %q", what, out.code, out.stderr)
	}
}

func (f *flips) receiptCounts(what string) {
	f.t.Helper()
	f.counts(what, catalog.Content, f.newest, 0)
	f.want(0, f.stored("show", string(f.newest))...)
}

// counts fails unless list tells that level of the newest archive, restore would take that
// archive as latest-verified, and a promise that only the newest can keep ends with code.
func (f *flips) counts(what string, level catalog.Level, latest catalog.ID, code int) {
	f.t.Helper()
	if all := f.list(); len(all) != 2 || all[0].ID != f.newest || all[0].Verified != level || all[1].Verified != catalog.Content {
		f.t.Errorf("%s: list says %+v, want level %q for the first", what, all, level)
	}
	var report struct {
		Archive struct {
			ID catalog.ID `json:"id"`
		} `json:"archive"`
	}
	f.decode(f.must(0, f.opening("restore", "latest-verified", "--data-dir", filepath.Join(f.dir, "none"), "--dry-run")...), &report)
	if report.Archive.ID != latest {
		f.t.Errorf("%s: latest-verified is %s, want %s", what, report.Archive.ID, latest)
	}
	out := f.run(f.opening("verify", string(f.old), "--level", "content", "--max-age", "12h")...)
	if out.code != code {
		f.t.Errorf("%s: verify --max-age exits with %d, want %d\n%s%s", what, out.code, code, out.stdout, out.stderr)
	}
}
