package catalog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// Item is everything that lies under one id.
type Item struct {
	ID       ID
	Manifest *bucket.Object // nil: what lies here is no archive
	Archives []bucket.Object
	Receipts []bucket.Object // by name, so oldest first
	Holds    []bucket.Object
	Accept   *bucket.Object
}

// Bytes is the size of all of it.
func (it Item) Bytes() (n int64) {
	for _, obj := range it.objects() {
		n += obj.Size
	}
	return n
}

// Garbage says whether what lies here belongs to no archive. What people said of an id is none: the
// archive may come.
func (it Item) Garbage() bool {
	return it.Manifest == nil && len(it.Archives)+len(it.Receipts) > 0
}

func (it Item) objects() []bucket.Object {
	var out []bucket.Object
	if it.Manifest != nil {
		out = append(out, *it.Manifest)
	}
	return slices.Concat(out, it.Archives, it.Receipts, it.marks())
}

// Has says whether bytes of that size lie there.
func (it Item) Has(bytes int64) bool {
	return slices.ContainsFunc(it.Archives, func(obj bucket.Object) bool { return obj.Size == bytes })
}

// Lacks is how many marks, what people said, other has of the same id in another store, and it lacks.
func (it Item) Lacks(other Item) (n int) {
	has := map[string]bool{}
	for _, obj := range it.marks() {
		has[obj.Key] = true
	}
	for _, obj := range other.marks() {
		if !has[obj.Key] {
			n++
		}
	}
	return n
}

// marks are what people said.
func (it Item) marks() []bucket.Object {
	out := slices.Clone(it.Holds)
	if it.Accept != nil {
		out = append(out, *it.Accept)
	}
	return out
}

// Newest is when the store took the youngest of it.
func (it Item) Newest() (t time.Time) {
	for _, obj := range it.objects() {
		if obj.ModTime.After(t) {
			t = obj.ModTime
		}
	}
	return t
}

// Everything yields all that lies under an id, oldest first, archive or not. An error is the last
// thing that it yields.
func (c *Catalog) Everything(ctx context.Context) iter.Seq2[Item, error] {
	return c.walk(ctx, "manifests", "archives", "receipts", "holds", "accepts")
}

// Probes are what doctor and prune tried, and could not or did not remove.
func (c *Catalog) Probes(ctx context.Context) (out []bucket.Object, err error) {
	for obj, err := range c.store.List(ctx, c.keys.probes()) {
		if err != nil {
			return nil, fmt.Errorf("list probes of %q in %s: %w", c.cluster, c.store.URL(), err)
		}
		out = append(out, obj)
	}
	return out, nil
}

// parse is the id that an object is about, by its name; "" where it is none of ours.
func (k keys) parse(key string) ID {
	folder, name, _ := strings.Cut(strings.TrimPrefix(key, k.cluster+"/"), "/")
	switch folder {
	case "manifests", "accepts":
		var ok bool
		if name, ok = strings.CutSuffix(name, ".json"); !ok {
			return ""
		}
	case "archives":
		name, _, _ = strings.Cut(name, ".")
	case "receipts", "holds":
		name, _, _ = strings.Cut(name, "/")
	default:
		return ""
	}
	id, err := ParseID(name)
	if err != nil {
		return ""
	}
	return id
}

// Known is what the documents of one archive say.
type Known struct {
	Manifest Manifest
	Fault    error     // why Manifest cannot be read: ErrCorrupt or ErrFormat
	Verified Level     // as Catalog.Verified tells it
	Key      string    // what opened it then
	Finding  string    // what the newest receipt found wrong; "": nothing
	Stored   time.Time // when a receipt first gave level stored, since the last failure at it; zero: none
	Content  time.Time // the same for content
	Opened   time.Time // the same for content by a lasting key, or of what is not encrypted
	Said     []Hold    // holds and releases, as Catalog.Said tells them
	Accepted bool
}

// Know reads the manifest, receipts, holds and accept of an archive, as its item lists them. The
// error is of a store that does not answer, or bucket.ErrNotExist where the manifest is gone by now.
func (c *Catalog) Know(ctx context.Context, it Item) (Known, error) {
	var k Known
	var err error
	k.Manifest, err = c.Manifest(ctx, it.ID)
	if isPassed(err) {
		k.Fault, err = err, nil
	}
	if err != nil {
		return k, err
	}
	if k.Said, err = c.said(ctx, it.ID, it.Holds); err != nil {
		return k, err
	}
	if it.Accept != nil {
		if k.Accepted, err = c.Accepted(ctx, it.ID); err != nil {
			return k, err
		}
	}
	var receipts []Receipt
	for _, obj := range it.Receipts {
		r, err := c.receiptAt(ctx, it.ID, obj.Key)
		switch {
		case isPassed(err), errors.Is(err, bucket.ErrNotExist): // counts for nothing
		case err != nil:
			return k, err
		default:
			receipts = append(receipts, r)
		}
	}
	k.Verified, k.Key = verified(receipts, k.Manifest.SHA256)
	k.Finding = finding(receipts, k.Manifest.SHA256)
	k.Stored, k.Content = since(receipts, k.Manifest.SHA256, Stored, anyKey), since(receipts, k.Manifest.SHA256, Content, anyKey)
	k.Opened = since(receipts, k.Manifest.SHA256, Content, lastingKey)
	return k, nil
}

func anyKey(string) bool { return true }

// lastingKey says whether what opened an archive then will do so again. The key of the run that
// sealed it is gone with the run: it opens archives too whose recipients nobody is.
func lastingKey(key string) bool { return key == KeyIdentity || key == KeyNone }

// since is when a receipt by such a key first gave level or a deeper one, after the last failure at it
// or below.
func since(receipts []Receipt, manifestSHA256 string, level Level, by func(key string) bool) (first time.Time) {
	for _, r := range receipts {
		switch {
		case r.ManifestSHA256 != manifestSHA256:
		case !r.OK && level.AtLeast(r.Level):
			first = time.Time{}
		case r.OK && r.Level.AtLeast(level) && by(r.Key) && first.IsZero():
			first = r.Finished
		}
	}
	return first
}
