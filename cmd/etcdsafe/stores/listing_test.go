package stores

import (
	"errors"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/bucket/storetest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// twoParcels commits two archives.
func (r *road) twoParcels() (older, newer parcel) {
	r.t.Helper()
	older, newer = newParcel(r.t, 1, pattern(100), ""), newParcel(r.t, 2, pattern(200), "")
	for _, p := range []parcel{older, newer} {
		if err := p.publish(r.t.Context(), catalogOf(r.t, r.real), catalog.Steps{}); err != nil {
			r.t.Fatal(err)
		}
	}
	return older, newer
}

// TestAListThatMissesTheNewestHarmsNothing: the newest is found by its id, no other can take its
// name, and a search gives the one before.
func TestAListThatMissesTheNewestHarmsNothing(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		r := s.road(t)
		older, newer := r.twoParcels()
		r.l.Lie(r.listing(), 0, storetest.Hide(newer.manifestKey(), newer.archiveKey()))
		c := catalogOf(t, r.b)
		if found, err := c.Find(t.Context(), catalog.Latest, time.Time{}); err != nil || found.Manifest.ID != older.m.ID {
			t.Errorf("Find = %s, %v, want %s", found.Manifest.ID, err, older.m.ID)
		}
		if found, err := c.Find(t.Context(), string(newer.m.ID), time.Time{}); err != nil || found.Manifest.SHA256 != newer.m.SHA256 {
			t.Errorf("Find by id = %s, %v, want %s", found.Manifest.ID, err, newer.m.ID)
		}
		if err := newParcel(t, 2, pattern(200), "another").publish(t.Context(), c, catalog.Steps{}); !errors.Is(err, catalog.ErrConflict) {
			t.Errorf("Publish under its id = %v, want %v", err, catalog.ErrConflict)
		}
		if err := newer.publish(t.Context(), c, catalog.Steps{}); err != nil {
			t.Errorf("Publish of the same once more = %v, want success", err)
		}
		r.wantListed(newer, older)
	})
}

// TestAListThatShowsWhatWasRemovedIsSeenThrough: a search passes it over and says so, and where
// there is nothing else it does not say that there is none.
func TestAListThatShowsWhatWasRemovedIsSeenThrough(t *testing.T) {
	missing := map[string]string{"s3": "NoSuchKey", "azblob": "BlobNotFound"}
	eachShop(t, func(t *testing.T, s shop) {
		r := s.road(t)
		older, newer := r.twoParcels()
		c := catalogOf(t, r.b)
		r.l.Lie(r.getting(newer.manifestKey()), 0, s.answer(404, missing[s.scheme]))
		found, err := c.Find(t.Context(), catalog.Latest, time.Time{})
		if err != nil || found.Manifest.ID != older.m.ID || len(found.Passed) != 1 || found.Passed[0].ID != newer.m.ID {
			t.Errorf("Find = %s past %v, %v, want %s past %s", found.Manifest.ID, found.Passed, err, older.m.ID, newer.m.ID)
		}
		r.l.Lie(r.getting(older.manifestKey()), 0, s.answer(404, missing[s.scheme]))
		_, err = c.Find(t.Context(), catalog.Latest, time.Time{})
		r.wantUnavailable("Find", err)
		if !errors.Is(err, bucket.ErrVanished) {
			t.Errorf("Find = %v, want %v", err, bucket.ErrVanished)
		}
		_, err = read(t.Context(), r.b, "prod/nothing")
		if !errors.Is(err, bucket.ErrNotExist) {
			t.Errorf("Open of what never was = %v, want %v", err, bucket.ErrNotExist)
		}
	})
}
