package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// Kinds of Hold.
const (
	holdKind    = "hold"
	releaseKind = "release"
)

// Hold keeps an archive out of retention's reach, or ends all that did, format 1. Holds are only
// ever added: a release is one more document, so nobody needs the right to delete, and a trace
// stays.
type Hold struct {
	Format  int        `json:"format"`
	Archive ID         `json:"archive"`
	Cluster string     `json:"cluster"`
	Kind    string     `json:"kind"` // hold or release
	Reason  string     `json:"reason"`
	Until   *time.Time `json:"until"` // when a hold ends by itself; null: never
	Written time.Time  `json:"written"`
	Tool    Tool       `json:"tool"`

	// SHA256 is taken over the document with this field empty.
	SHA256 string `json:"sha256"`

	In   string `json:"-"` // the URL of the store that it was read from
	name string // of its object there, without folders: names sort by age
}

// PutHold adds a hold, or a release of all holds written before it; suffix, 4 hex digits, tells
// apart those of the same second. The archive need not be there yet.
func (c *Catalog) PutHold(ctx context.Context, h Hold, release bool, suffix string) error {
	h.Format, h.Cluster, h.Kind, h.SHA256 = 1, c.cluster, holdKind, ""
	if release {
		h.Kind = releaseKind
	}
	text, err := encode(h)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", h.Kind, h.Archive, err)
	}
	if err := c.create(ctx, c.keys.hold(h, suffix), text, false); err != nil {
		return fmt.Errorf("write %s of %s in %s: %w", h.Kind, h.Archive, c.store.URL(), err)
	}
	return nil
}

// Said is what was said about holds of archive id here, holds and releases, oldest first. A document
// that is damaged counts as a hold without an end: what it said cannot be known.
func (c *Catalog) Said(ctx context.Context, id ID) ([]Hold, error) {
	var objects []bucket.Object
	for obj, err := range c.store.List(ctx, c.keys.holds(id)) {
		if err != nil {
			return nil, fmt.Errorf("list holds of %s in %s: %w", id, c.store.URL(), err)
		}
		objects = append(objects, obj)
	}
	return c.said(ctx, id, objects)
}

func (c *Catalog) said(ctx context.Context, id ID, objects []bucket.Object) ([]Hold, error) {
	var out []Hold
	for _, obj := range objects {
		h, err := c.hold(ctx, id, obj.Key)
		if errors.Is(err, bucket.ErrNotExist) { // removed since it was listed
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// Lasting is the holds that no release ended and that have not ended by themselves at now, oldest
// first. What was said in several stores is one log, by the documents' names: a release ends all
// holds before it, wherever either lies.
func Lasting(said []Hold, now time.Time) []Hold {
	log, out := slices.Clone(said), []Hold(nil)
	slices.SortStableFunc(log, func(a, b Hold) int { return cmp.Or(cmp.Compare(a.name, b.name), damagedFirst(a, b)) })
	for _, h := range log {
		if h.Kind == releaseKind {
			out = nil
			continue
		}
		out = append(out, h)
	}
	return slices.DeleteFunc(out, func(h Hold) bool { return h.Until != nil && !h.Until.After(now) })
}

// After is when to write a document, so that it comes after all that was said, also in this second, or
// by a clock that is ahead: now, or a second after the newest by its name.
func After(said []Hold, now time.Time) time.Time {
	for _, h := range said {
		at, err := time.Parse(stamp, h.name[:min(len(stamp), len(h.name))])
		if err == nil && !at.Before(now.Truncate(time.Second)) {
			now = at.Add(time.Second)
		}
	}
	return now
}

// damagedFirst puts a damaged document before what the same one says in another store.
func damagedFirst(a, b Hold) int {
	return cmp.Compare(min(len(a.SHA256), 1), min(len(b.SHA256), 1))
}

// hold reads one. A damaged one is a hold that says so.
func (c *Catalog) hold(ctx context.Context, id ID, key string) (Hold, error) {
	text, obj, err := c.store.ReadAll(ctx, key, maxDocument)
	var h Hold
	switch {
	case errors.Is(err, bucket.ErrTooLarge):
	case err != nil:
		return h, fmt.Errorf("read hold %q in %s: %w", key, c.store.URL(), err)
	default:
		if err := decode(text, &h); err == nil && h.Archive == id && h.Cluster == c.cluster && (h.Kind == holdKind || h.Kind == releaseKind) {
			h.In, h.name = c.URL(), path.Base(key)
			return h, nil
		}
	}
	return Hold{Archive: id, Cluster: c.cluster, Kind: holdKind, Reason: "damaged hold " + key, Written: obj.ModTime, In: c.URL(), name: path.Base(key)}, nil
}

func (k keys) holds(id ID) string { return k.cluster + "/holds/" + string(id) + "/" }

func (k keys) hold(h Hold, suffix string) string {
	return fmt.Sprintf("%s%s-%s-%s.json", k.holds(h.Archive), h.Written.UTC().Format(stamp), h.Kind, suffix)
}

// Suffix draws what tells apart documents of the same second; random yields 2 bytes.
func Suffix(random io.Reader) (string, error) {
	var b [2]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("draw name: %w", err)
	}
	return fmt.Sprintf("%x", b), nil
}

// Marks brings the holds and the accept of archive id from another store, byte for byte. Those that
// are here already stay as they are.
func (c *Catalog) Marks(ctx context.Context, from *Catalog, id ID) error {
	keys := []string{from.keys.accept(id)}
	for obj, err := range from.store.List(ctx, from.keys.holds(id)) {
		if err != nil {
			return fmt.Errorf("list holds of %s in %s: %w", id, from.store.URL(), err)
		}
		keys = append(keys, obj.Key)
	}
	for _, key := range keys {
		text, _, err := from.store.ReadAll(ctx, key, maxDocument)
		if errors.Is(err, bucket.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read mark %q in %s: %w", key, from.store.URL(), err)
		}
		if err := c.store.Put(ctx, key, strings.NewReader(string(text)), int64(len(text)), false); err != nil && !errors.Is(err, bucket.ErrExists) {
			return fmt.Errorf("write mark %q in %s: %w", key, c.store.URL(), err)
		}
	}
	return nil
}

// Accept is a person's word that a mark of an archive is understood, format 1. There is one for an
// archive at most.
type Accept struct {
	Format  int       `json:"format"`
	Archive ID        `json:"archive"`
	Cluster string    `json:"cluster"`
	Reason  string    `json:"reason"`
	Written time.Time `json:"written"`
	Tool    Tool      `json:"tool"`

	// SHA256 is taken over the document with this field empty.
	SHA256 string `json:"sha256"`
}

// PutAccept writes it. One that is there already is left as it is: nil.
func (c *Catalog) PutAccept(ctx context.Context, a Accept) error {
	a.Format, a.Cluster, a.SHA256 = 1, c.cluster, ""
	text, err := encode(a)
	if err != nil {
		return fmt.Errorf("accept %s: %w", a.Archive, err)
	}
	if err := c.store.Put(ctx, c.keys.accept(a.Archive), strings.NewReader(string(text)), int64(len(text)), false); err != nil && !errors.Is(err, bucket.ErrExists) {
		return fmt.Errorf("accept %s in %s: %w", a.Archive, c.store.URL(), err)
	}
	return nil
}

// Accepted says whether somebody accepted archive id. A damaged document accepts nothing.
func (c *Catalog) Accepted(ctx context.Context, id ID) (bool, error) {
	a, err := c.Acceptance(ctx, id)
	return a != nil, err
}

// Acceptance is what somebody who accepted archive id said, or nil. A damaged document says nothing.
func (c *Catalog) Acceptance(ctx context.Context, id ID) (*Accept, error) {
	text, _, err := c.store.ReadAll(ctx, c.keys.accept(id), maxDocument)
	if errors.Is(err, bucket.ErrNotExist) || errors.Is(err, bucket.ErrTooLarge) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read accept of %s in %s: %w", id, c.store.URL(), err)
	}
	var a Accept
	if decode(text, &a) == nil && a.Archive == id && a.Cluster == c.cluster {
		return &a, nil
	}
	return nil, nil
}

func (k keys) accept(id ID) string { return k.cluster + "/accepts/" + string(id) + ".json" }
