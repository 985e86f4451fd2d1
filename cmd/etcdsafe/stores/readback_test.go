package stores

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/bucket/storetest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// A parcel is an archive to be committed.
type parcel struct {
	m      catalog.Manifest
	text   []byte
	sealed []byte
}

// newParcel seals nothing: a store knows bytes alone. The n-th is an hour younger than the one before.
func newParcel(t *testing.T, n int, sealed []byte, reason string) parcel {
	t.Helper()
	started := time.Date(2026, 11, 20, n, 0, 0, 0, time.UTC)
	id, err := catalog.NewID(started, int64(n+1), bytes.NewReader([]byte{1, 2, 3, byte(n)}))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(sealed)
	codecs := []string{"zstd", "age"}
	p := parcel{sealed: sealed, m: catalog.Manifest{
		ID: id, Started: started, Finished: started, Cluster: catalog.Cluster{Name: "prod", ID: "c1"}, Codecs: codecs,
		Recipients: []string{"one"}, Reason: reason,
		Snapshot: catalog.Snapshot{Bytes: 1, SHA256: strings.Repeat("0", 64), Revision: int64(n + 1)},
		HashKV:   catalog.HashKV{Revision: int64(n + 1)},
		Archive:  catalog.Archive{Object: catalog.ArchiveObject(id, codecs), Bytes: int64(len(sealed)), SHA256: hex.EncodeToString(sum[:])},
	}}
	if p.text, err = p.m.Encode(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p parcel) publish(ctx context.Context, c *catalog.Catalog, steps catalog.Steps) error {
	_, err := c.Publish(ctx, p.m, p.text, bytes.NewReader(p.sealed), steps)
	return err
}

func (p parcel) archiveKey() string  { return "prod/" + p.m.Archive.Object }
func (p parcel) manifestKey() string { return "prod/manifests/" + string(p.m.ID) + ".json" }

func catalogOf(t *testing.T, b *bucket.Bucket) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(b, "prod")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantListed compares the archives that the store itself has.
func (r *road) wantListed(want ...parcel) {
	r.t.Helper()
	entries, err := catalogOf(r.t, r.real).List(r.t.Context())
	if err != nil || len(entries) != len(want) {
		r.t.Errorf("the store lists %v, %v, want %d archives", entries, err, len(want))
		return
	}
	for i, p := range want {
		if m, err := catalogOf(r.t, r.real).Manifest(r.t.Context(), p.m.ID); entries[i].ID != p.m.ID || err != nil || m.SHA256 != p.m.SHA256 {
			r.t.Errorf("archive %d is %s with SHA-256 %s, %v, want %s with %s", i, entries[i].ID, m.SHA256, err, p.m.ID, p.m.SHA256)
		}
	}
}

// TestWhatAStoreHoldsIsReadBack: it took the archive with success, and has something else.
func TestWhatAStoreHoldsIsReadBack(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		for size, data := range map[string][]byte{"small": pattern(100_000), "in parts": pattern(parted)} {
			p := newParcel(t, 1, data, "")
			for name, lie := range map[string]func(r *road){
				"one byte wrong":  func(r *road) { r.l.Lie(r.getting(p.archiveKey()), 0, storetest.Flip(50_000)) },
				"cut to the half": func(r *road) { r.l.Lie(r.getting(p.archiveKey()), 0, storetest.Shorten(50_000)) },
				"emptied":         func(r *road) { r.l.Lie(r.getting(p.archiveKey()), 0, storetest.Shorten(0)) },
				"nothing": func(r *road) {
					r.l.Lie(r.putting(p.archiveKey()), 0, r.stored())
					if r.scheme == "s3" && len(data) == parted {
						r.l.Lie(storetest.Ask{Method: "POST", URI: "uploadId="}, 0, storetest.Answer(200,
							`<CompleteMultipartUploadResult><ETag>"1-2"</ETag></CompleteMultipartUploadResult>`))
					}
				},
			} {
				if len(data) == parted && (name != "nothing" || s.scheme == "gs") {
					continue // the same bytes; and Google's first answer names where the parts go
				}
				t.Run(name+" "+size, func(t *testing.T) {
					r := s.road(t)
					lie(r)
					err := p.publish(t.Context(), catalogOf(t, r.b), catalog.Steps{Committed: func() { t.Error("it was committed") }})
					if !errors.Is(err, archive.ErrCorrupt) || errors.Is(err, bucket.ErrUnavailable) {
						t.Errorf("Publish = %v, want %v", err, archive.ErrCorrupt)
					}
					wantNoSecret(t, err, s.secrets)
					r.wantListed()
				})
			}
		}
	})
}

// TestBytesThatRotBehindTheStoreAreReadBack changes the file itself, between upload and commit.
func TestBytesThatRotBehindTheStoreAreReadBack(t *testing.T) {
	s := shops()["versitygw"](t)
	s.patience = 5 * time.Second
	for name, rot := range map[string]func(file string) error{
		"a flipped byte": func(file string) error {
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			data[len(data)/2] ^= 1
			return os.WriteFile(file, data, 0o600)
		},
		"a cut":   func(file string) error { return os.Truncate(file, 100) },
		"emptied": func(file string) error { return os.Truncate(file, 0) },
		"removed": os.Remove,
		"longer":  func(file string) error { return os.Truncate(file, 200_000) },
	} {
		t.Run(name, func(t *testing.T) {
			r, p := s.road(t), newParcel(t, 1, pattern(100_000), "")
			err := p.publish(t.Context(), catalogOf(t, r.b), catalog.Steps{Stored: func() {
				if err := rot(filepath.Join(s.s3.Dir, r.name, p.archiveKey())); err != nil {
					t.Fatal(err)
				}
			}})
			if !errors.Is(err, archive.ErrCorrupt) {
				t.Errorf("Publish = %v, want %v", err, archive.ErrCorrupt)
			}
			r.wantListed()
		})
	}
}

// TestACreateWhoseAnswerIsLostCounts: our own bytes under our own name are success.
func TestACreateWhoseAnswerIsLostCounts(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		t.Run("on the line", s.lostOnTheLine)
		for size, data := range map[string][]byte{"small": pattern(1000), "in parts": pattern(parted)} {
			p := newParcel(t, 1, data, "")
			for name, lose := range map[string]func(r *road){
				"archive":  func(r *road) { r.l.Lie(r.ending(p.archiveKey(), len(data)), 1, storetest.LoseAnswer()) },
				"manifest": func(r *road) { r.l.Lie(r.ending(p.manifestKey(), 1), 1, storetest.LoseAnswer()) },
				"each": func(r *road) {
					for n := range 3 {
						r.l.Lie(r.ending(p.archiveKey(), len(data)), n+1, storetest.LoseAnswer())
						r.l.Lie(r.ending(p.manifestKey(), 1), n+1, storetest.LoseAnswer())
					}
				},
			} {
				t.Run(name+" "+size, func(t *testing.T) {
					r := s.road(t)
					lose(r)
					ask := r.ending(p.archiveKey(), len(data))
					if name == "archive" && s.scheme == "s3" && len(data) == parted { // some forget the upload
						r.l.Lie(ask, 2, s.answer(404, "NoSuchUpload"))
					}
					if err := p.publish(t.Context(), catalogOf(t, r.b), catalog.Steps{}); err != nil {
						t.Errorf("Publish = %v, want success", err)
					}
					if next := r.after(ask, p.archiveKey()); name != "manifest" && !asksAgain(next) {
						t.Errorf("after the answer that was lost came %+v, want a second try or a look", next)
					}
					r.wantListed(p)
					r.wantObject(p.archiveKey(), data)
				})
			}
		}
	})
}

// after is the first request about key behind the first one that fits ask; the zero one for none.
func (r *road) after(ask storetest.Ask, key string) storetest.Request {
	first := r.l.Requests(ask)
	if len(first) == 0 {
		return storetest.Request{}
	}
	all := r.l.Requests(storetest.Ask{URI: key})
	if i := slices.Index(all, first[0]); i >= 0 && i+1 < len(all) {
		return all[i+1]
	}
	return storetest.Request{}
}

// asksAgain tells a second try, and a look at what lies there, from the read-back that follows each
// upload.
func asksAgain(r storetest.Request) bool {
	return r.Method != "" && r.Method != "GET" || r.Method == "GET" && strings.Contains(r.URI, "alt=json")
}

// ending is the request that makes an object of n bytes be there.
func (r *road) ending(key string, n int) storetest.Ask {
	switch {
	case r.scheme == "gs":
		return storetest.Ask{Method: "POST", URI: "name=" + key}
	case n < parted:
		return r.putting(key)
	case r.scheme == "s3":
		return storetest.Ask{Method: "POST", URI: key + "?uploadId="}
	}
	return storetest.Ask{Method: "PUT", URI: key + "?comp=blocklist"}
}

// lostOnTheLine: toxiproxy lets the store hear and do all, and we hear nothing.
func (s shop) lostOnTheLine(t *testing.T) {
	t.Helper()
	s.patience = time.Second
	p, x, name := newParcel(t, 1, pattern(1000), ""), storetest.Toxi(t, s.endpoint), s.fresh(t)
	x.LoseAnswers(t, 50*time.Millisecond)
	if err := p.publish(t.Context(), catalogOf(t, s.healed(t, x.Endpoint, name, func() { x.Heal(t) })), catalog.Steps{}); err != nil {
		t.Errorf("Publish = %v, want success", err)
	}
	r := &road{shop: s, t: t, real: s.hurried(t, s.url(s.endpoint, name), nil)}
	r.wantListed(p)
}

// TestOneOfTwoRunsWithOneIDWins, and the other is told, whether their bytes differ or their words.
func TestOneOfTwoRunsWithOneIDWins(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		for name, other := range map[string]parcel{
			"other manifest": newParcel(t, 1, pattern(1000), "another reason"),
			"other bytes":    newParcel(t, 1, pattern(1001), ""),
		} {
			for round := range 3 {
				t.Run(fmt.Sprintf("%s %d", name, round), func(t *testing.T) {
					r := s.road(t)
					runs := []parcel{newParcel(t, 1, pattern(1000), ""), other}
					errs := make([]error, len(runs))
					var wait sync.WaitGroup
					for i, p := range runs {
						wait.Go(func() { errs[i] = p.publish(t.Context(), catalogOf(t, r.b), catalog.Steps{}) })
					}
					wait.Wait()
					won := 0
					if errs[0] != nil {
						won = 1
					}
					if errs[won] != nil || !errors.Is(errs[1-won], catalog.ErrConflict) {
						t.Errorf("Publish = %v and %v, want one success and one %v", errs[0], errs[1], catalog.ErrConflict)
					}
					r.wantListed(runs[won])
					r.wantObject(runs[won].archiveKey(), runs[won].sealed)
				})
			}
		}
	})
}
