package bucket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"gocloud.dev/blob/driver"
)

// TestASilentStoreIsTold at each call, while it is waited for: of a kind that is given up, and of one
// that never is.
func TestASilentStoreIsTold(t *testing.T) {
	told := make(chan struct{}, 10)
	blocked := func() error { return hang(told) }
	for _, kind := range []Kind{{}, {Again: func(error) bool { return false }, Stall: time.Minute}} {
		b := odd(t, oddStore{
			attributes: func() (*driver.Attributes, error) { return nil, blocked() },
			list:       func(*driver.ListOptions) (*driver.ListPage, error) { return nil, blocked() },
			reader:     func() (driver.Reader, error) { return nil, blocked() },
			writer:     func(context.Context) (driver.Writer, error) { return nil, blocked() },
		})
		b.kind = kind
		b.WhenSilent(time.Millisecond, func() { told <- struct{}{} })
		for name, call := range map[string]func() error{
			"Stat":    func() error { _, err := b.Stat(t.Context(), "there"); return err },
			"ReadAll": func() error { _, _, err := b.ReadAll(t.Context(), "there", 10); return err },
			"Put":     func() error { return b.Put(t.Context(), "new", bytes.NewReader(nil), 0, false) },
			"List":    func() error { _, err := all(t.Context(), b); return err },
		} {
			b.answered() // else it would have been told already
			if err := call(); !errors.Is(err, errHung) {
				t.Errorf("%s = %v, want %v, which came after it was told", name, err, errHung)
			}
		}
	}
}

// TestASilentStoreIsToldOnce until it has answered.
func TestASilentStoreIsToldOnce(t *testing.T) {
	told := make(chan struct{}, 10)
	var wait func() error
	b := odd(t, oddStore{list: func(*driver.ListOptions) (*driver.ListPage, error) { return &driver.ListPage{}, wait() }})
	b.WhenSilent(time.Millisecond, func() { told <- struct{}{} })
	list := func(w func() error, want error) {
		t.Helper()
		wait = w
		if _, err := all(t.Context(), b); !errors.Is(err, want) {
			t.Errorf("List = %v, want %v", err, want)
		}
	}
	list(func() error { return hang(told) }, errHung)
	for range 3 {
		list(func() error { <-time.After(20 * time.Millisecond); return errHung }, errHung)
	}
	if n := len(told); n > 0 {
		t.Errorf("told %d times more before it answered", n)
	}
	list(func() error { return nil }, nil)
	list(func() error { return hang(told) }, errHung)
}

var errHung = errors.New("gone")

// hang blocks as a network may, until somebody has noticed.
func hang(told <-chan struct{}) error {
	select {
	case <-told:
		return errHung
	case <-time.After(5 * time.Second):
		return errors.New("nobody noticed")
	}
}

// TestASlowSourceIsNotASilentStore: whoever reads or writes through us takes the time that it needs.
func TestASlowSourceIsNotASilentStore(t *testing.T) {
	told := make(chan struct{}, 10)
	b := odd(t, oddStore{})
	b.WhenSilent(500*time.Millisecond, func() { told <- struct{}{} })
	r, _, err := b.Open(t.Context(), "there")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	<-time.After(700 * time.Millisecond)
	if _, err := io.ReadAll(iotest.OneByteReader(r)); err != nil {
		t.Fatal(err)
	}
	if n := len(told); n > 0 {
		t.Errorf("told %d times of a store that was asked nothing", n)
	}
}

func all(ctx context.Context, b *Bucket) (keys []string, err error) {
	for obj, err := range b.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		keys = append(keys, obj.Key)
	}
	return slices.Clip(keys), nil
}
