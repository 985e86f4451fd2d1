package soak

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// tidy fails unless the spool folder, the temporary folder and the working directory are empty.
func (r *rig) tidy() {
	r.t.Helper()
	for _, dir := range []string{r.spool, r.tmp, r.cwd} {
		if left := files(r.t, dir); len(left) > 0 {
			r.t.Errorf("%s holds %q after the kill", dir, left)
		}
	}
}

type fataler interface {
	Helper()
	Fatal(args ...any)
}

// files are the paths below dir of all that is no folder.
func files(t fataler, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			path, _ = filepath.Rel(dir, path)
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// holdsCanary says whether a file has the canary in the clear.
func (r *rig) holdsCanary(path string) bool {
	r.t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	return bytes.Contains(raw, r.canary)
}

// A census is what lies in the store's folder, by kind. What a manifest does not speak of is
// garbage: allowed, and counted.
type census struct {
	manifests map[catalog.ID]bool
	archives  map[catalog.ID]bool
	receipts  int
	parts     int // begun under a name that no listing shows
}

func (c census) garbage() int {
	n := c.parts
	for id := range c.archives {
		if !c.manifests[id] {
			n++
		}
	}
	return n
}

var objectForm = regexp.MustCompile(`^(RECOVERY\.md|(manifests)/([^/]+)\.json|(archives)/([^/]+)\.db\.zst\.age|(receipts)/[^/]+/[^/]+\.json|([^/]+/)*(\.part-)[^/]*)$`)

// take counts the store's objects, and fails for any that has no business there. What is in
// seen was looked into before; objects never change.
func (r *rig) take(seen map[string]bool) census {
	r.t.Helper()
	c := census{manifests: map[catalog.ID]bool{}, archives: map[catalog.ID]bool{}}
	for _, name := range files(r.t, r.inStore()) {
		m := objectForm.FindStringSubmatch(name)
		switch {
		case m == nil:
			r.t.Errorf("store holds %q", name)
		case m[2] != "":
			c.manifests[catalog.ID(m[3])] = true
		case m[4] != "":
			c.archives[catalog.ID(m[5])] = true
		case m[6] != "":
			c.receipts++
		case m[8] != "":
			c.parts++
		}
		if !seen[name] {
			seen[name] = true
			r.lookInto(name, m != nil && m[4] != "")
		}
	}
	return c
}

// lookInto fails for an object that holds the canary, and for an archive that is no age file.
func (r *rig) lookInto(name string, archive bool) {
	r.t.Helper()
	raw, err := os.ReadFile(r.inStore(name))
	if err != nil {
		r.t.Fatal(err)
	}
	if bytes.Contains(raw, r.canary) {
		r.t.Errorf("object %q holds a value from etcd in the clear", name)
	}
	const age = "age-encryption.org/v1\n"
	if archive && !bytes.HasPrefix(raw, []byte(age)) {
		r.t.Errorf("archive %q does not begin as an age file does", name)
	}
}
