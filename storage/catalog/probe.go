package catalog

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// Rights is what an identity may do in a store, tried for real on one small object.
type Rights struct {
	Put, Get, List, Delete error // nil: it may
	// CreateOnly is nil where the store refused to overwrite the object, as each upload asks it to.
	CreateOnly error
	// Skew is how far our clock is ahead of the store's, by an object that was written just now;
	// where none could be, Dated is false.
	Skew  time.Duration
	Dated bool
	Left  bool // the object lies there still: this identity could not remove it
}

var (
	errNotTried   = errors.New("not tried: nothing could be put")
	errOverwrote  = errors.New("the store overwrote it")
	errOtherBytes = errors.New("the store gave other bytes than it was given")
	errStayed     = errors.New("it is still there")
)

const probeText = "etcdsafe doctor tries what it may do here. Remove this whenever you like.\n"

// Rights tries each right with one object of a fixed name for each identity, which it removes if it
// may. It changes nothing else.
func (c *Catalog) Rights(ctx context.Context, now func() time.Time) Rights {
	key := c.keys.probes() + "doctor-" + c.store.Identity()
	put := func() error {
		return c.store.Put(ctx, key, strings.NewReader(probeText), int64(len(probeText)), false)
	}
	var r Rights
	r.List = c.tryList(ctx)
	before := now()
	first := put()
	if r.Put = first; errors.Is(first, bucket.ErrExists) {
		r.Put = nil // of an earlier run, by one who may not delete; the refusal came after the right
	}
	if r.Put != nil {
		r.Get, r.Delete, r.CreateOnly = errNotTried, errNotTried, errNotTried
		return r
	}
	switch err := put(); {
	case err == nil:
		r.CreateOnly = errOverwrote
	case !errors.Is(err, bucket.ErrExists):
		r.CreateOnly = err
	}
	r.Get = c.tryGet(ctx, key)
	if obj, err := c.store.Stat(ctx, key); err == nil && first == nil {
		r.Skew, r.Dated = before.Sub(obj.ModTime), true
	}
	r.Delete = c.tryDelete(ctx, key)
	r.Left = r.Delete != nil
	return r
}

func (c *Catalog) tryList(ctx context.Context) error {
	for _, err := range c.store.List(ctx, c.keys.probes()) {
		return err
	}
	return nil
}

func (c *Catalog) tryGet(ctx context.Context, key string) error {
	text, _, err := c.store.ReadAll(ctx, key, maxDocument)
	if err == nil && string(text) != probeText {
		return errOtherBytes
	}
	return err
}

func (c *Catalog) tryDelete(ctx context.Context, key string) error {
	if err := bucket.NewRemover(c.store).Remove(ctx, key); err != nil {
		return err
	}
	if _, err := c.store.Stat(ctx, key); err == nil {
		return errStayed
	}
	return nil
}

// Facts is what the store says of itself.
func (c *Catalog) Facts(ctx context.Context) []bucket.Fact { return c.store.Facts(ctx) }
