package soak

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// TestTheThirdStoreRestores: the first of three stores is down, and a bit of the copy in the second
// is flipped. The third restores, and the report names both others.
func TestTheThirdStoreRestores(t *testing.T) {
	r := newRig(t, "-objects", "50")
	sum := newSummary(t, "stores-third")
	stores := make([]string, 3)
	for i, name := range []string{"first", "second", "third"} {
		stores[i] = filepath.Join(r.dir, name)
		if err := os.Mkdir(stores[i], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.store = strings.Join(stores, ",file://")
	id := r.snapshot()
	want, err := os.ReadFile(manifestIn(stores[2], id))
	if err != nil {
		t.Fatal(err)
	}
	m, err := catalog.DecodeManifest(want, clusterName, id)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := os.ReadFile(archiveIn(stores[1], id))
	if err != nil {
		t.Fatal(err)
	}
	sealed[len(sealed)/2] ^= 1
	if err := os.WriteFile(archiveIn(stores[1], id), sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(stores[0], stores[0]+"-away"); err != nil {
		t.Fatal(err)
	}
	restore := func() output {
		return r.run(r.opening("restore", "latest", "--bump-revision", "0", "--data-dir", filepath.Join(r.dir, "restored"))...)
	}
	r.store = strings.Join(stores[:2], ",file://")
	if out := restore(); out.code == 0 {
		t.Errorf("the first two stores restore: %s", out.stdout)
	}
	r.store = strings.Join(stores, ",file://")
	out := restore()
	var report struct {
		Warnings []string `json:"warnings"`
	}
	if err := json.Unmarshal([]byte(out.stdout), &report); err != nil || out.code != 0 && out.code != 3 {
		t.Fatalf("restore exits with %d\n%s%s", out.code, out.stdout, out.stderr)
	}
	for _, store := range stores[:2] {
		if !strings.Contains(strings.Join(report.Warnings, "\n"), store) {
			t.Errorf("restore warns of %q, and not of %s", report.Warnings, store)
		}
	}
	r.store = stores[2]
	verify := r.run(r.opening("verify", string(id), "--level", "content")...)
	if !exists(filepath.Join(r.dir, "restored", "member", "snap", "db")) || verify.code != 0 {
		t.Errorf("nothing was restored, or the third store's copy is not sound: %s", verify.stdout)
	}
	sum.add("")
	sum.add("With the first of three stores down and a bit of the second's copy flipped, the third restored " + string(m.ID) + ", and the report named both others.")
}
