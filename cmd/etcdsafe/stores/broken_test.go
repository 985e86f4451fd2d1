package stores

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/bucket/storetest"
)

// cut is an object of five times 64 KiB, and what HTTP adds.
const cut = 5 * 64 << 10

// healed opens a bucket whose line is up again as soon as a call failed once.
func (s shop) healed(t *testing.T, endpoint, name string, heal func()) *bucket.Bucket {
	t.Helper()
	return s.hurried(t, s.url(endpoint, name), func(k *bucket.Kind) {
		again := k.Again
		k.Again = func(err error) bool {
			heal()
			return again(err)
		}
	})
}

// TestAResetAtEach64KiB: on the way up and down, once and for good.
func TestAResetAtEach64KiB(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		p, name, data := newLine(t, s.endpoint), s.fresh(t), pattern(cut)
		real := s.hurried(t, s.url(s.endpoint, name), nil)
		for n := int64(64 << 10); n <= cut; n += 64 << 10 {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				defer p.heal()
				key := fmt.Sprintf("once/%d", n)
				p.up.Store(n)
				if err := put(t.Context(), s.healed(t, p.endpoint, name, p.heal), key, data); err != nil {
					t.Errorf("Put = %v, want success once the line is up", err)
				}
				p.down.Store(n)
				if got, err := read(t.Context(), s.healed(t, p.endpoint, name, p.heal), key); err != nil || !bytes.Equal(got, data) {
					t.Errorf("read gave %d bytes, %v, want %d", len(got), err, len(data))
				}
				p.up.Store(n)
				r := &road{shop: s, t: t}
				r.wantUnavailable("Put", put(t.Context(), s.hurried(t, s.url(p.endpoint, name), nil), fmt.Sprintf("never/%d", n), data))
			})
		}
		keys, err := keysOf(t.Context(), real)
		if err != nil || len(keys) != 5 || slices.ContainsFunc(keys, func(k string) bool { return k[:4] != "once" }) {
			t.Errorf("the store lists %q, %v, want the five that went through", keys, err)
		}
	})
}

// TestAStoreThatStandsStillIsGivenUp, or that is slower than the floor: there is no other deadline.
func TestAStoreThatStandsStillIsGivenUp(t *testing.T) {
	const patience = 400 * time.Millisecond
	eachShop(t, func(t *testing.T, s shop) {
		s.patience = patience
		for name, test := range map[string]struct {
			call string
			lie  storetest.Lie
		}{
			"a stall of an upload":  {"Put", storetest.Stall()},
			"a stall of a download": {"read", storetest.Stall()},
			"a stall of a listing":  {"List", storetest.Stall()},
			"a stall in a body":     {"read", storetest.StallAfter(10)},
			"a stall in a listing":  {"List", storetest.StallAfter(20)},
			"a drip of a body":      {"read", storetest.Drip(time.Millisecond)},
			"a drip of a listing":   {"List", storetest.Drip(50 * time.Millisecond)},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := s.road(t)
				r.there("there", pattern(100_000))
				c := r.calls(pattern(10_000))[test.call]
				r.l.Lie(c.ask, 0, test.lie)
				began := time.Now()
				r.wantUnavailable(test.call, c.call())
				each := patience
				if test.call == "List" {
					each /= 2 // its answer is small
				}
				if took := time.Since(began); took < 2*each {
					t.Errorf("%s took %s, want twice %s at least", test.call, took, each)
				}
				r.wantObjects("there")
			})
		}
		t.Run("a drip of an upload", func(t *testing.T) {
			t.Parallel()
			p, name := storetest.Toxi(t, s.endpoint), s.fresh(t)
			p.Bandwidth(t, storetest.Up, 5)
			r := &road{shop: s, t: t, real: s.hurried(t, s.url(s.endpoint, name), nil)}
			r.wantUnavailable("Put", put(t.Context(), s.hurried(t, s.url(p.Endpoint, name), nil), "new", pattern(60_000)))
			r.wantObjects()
		})
	})
}

// TestAStallThatEndsIsForgotten: the next try succeeds, and a reader goes on at its byte.
func TestAStallThatEndsIsForgotten(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		s.patience = 2 * time.Second
		data := pattern(60_000)
		for name, lie := range map[string]storetest.Lie{"Put": storetest.Stall(), "read": storetest.StallAfter(40_000), "List": storetest.StallAfter(20)} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := s.road(t)
				r.there("there", data)
				c := r.calls(data)[name]
				r.l.Lie(c.ask, 1, lie)
				if err := c.call(); err != nil {
					t.Errorf("%s = %v, want success", name, err)
				}
			})
		}
	})
}

// TestABodyThatBreaksOffIsReadOn at its byte, at each 64 KiB.
func TestABodyThatBreaksOffIsReadOn(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		r, data := s.road(t), pattern(cut)
		r.there("there", data)
		for n := int64(0); n < cut; n += 64 << 10 {
			r.l.Honest()
			r.lieFirst(r.getting("there"), 4, storetest.Break(n%(cut/5)+1000))
			if got, err := read(t.Context(), r.b, "there"); err != nil || !bytes.Equal(got, data) {
				t.Errorf("broken at %d four times: read gave %d bytes, %v", n, len(got), err)
			}
		}
	})
}

// TestARedirectIsNotFollowed: an upload that was sent on could end as another store's success.
func TestARedirectIsNotFollowed(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		elsewhere := storetest.Liar(t, s.endpoint)
		elsewhere.Lie(storetest.Ask{}, 0, s.stored())
		for _, status := range []int{301, 302, 307, 308} {
			for _, name := range []string{"Put", "read", "List"} {
				t.Run(fmt.Sprintf("%d to %s", status, name), func(t *testing.T) {
					r := s.road(t)
					r.there("there", pattern(10))
					c := r.calls(pattern(10))[name]
					r.l.Lie(c.ask, 0, storetest.Redirect(status, elsewhere.Endpoint, "eu-central-1"))
					r.wantUnavailable(name, c.call())
					r.wantObjects("there")
				})
			}
		}
		if got := elsewhere.Requests(storetest.Ask{}); len(got) > 0 {
			t.Errorf("the other place was asked: %v", got)
		}
	})
}
