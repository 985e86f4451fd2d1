package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A sentinel for each rail.
var (
	ErrEmptyPolicy = errors.New("a rule or a cap is needed")
	ErrNothingKept = errors.New("something must stay")
	ErrStale       = errors.New("backups are broken, so history is not thinned")
	ErrTooMany     = errors.New("too many at once")
	ErrSkew        = errors.New("clocks differ")
	ErrCollapsed   = errors.New("most keys are gone")
	ErrAlarm       = errors.New("etcd itself calls its data corrupt")
)

// MaxSkew is how far two clocks may be apart.
const MaxSkew = 5 * time.Minute

const (
	fewArchives  = 10        // up to so many may go at once without a limit of the user's
	usualGaps    = 20        // the newest gaps whose median is the usual one: older history is thinned
	leastStale   = time.Hour // snapshots taken by hand, seconds apart, are no schedule
	predecessors = 10        // whose median of keys the newest archive is held against
)

// Refusal is a rail that tripped: its name, and the object and numbers. It wraps the rail's
// sentinel.
type Refusal struct {
	Rail string `json:"rail"`
	Text string `json:"text"`

	sentinel error
}

func (r Refusal) Error() string { return r.Text + ": " + r.sentinel.Error() }
func (r Refusal) Unwrap() error { return r.sentinel }

// refused is several refusals on one line.
type refused []Refusal

func (r refused) Error() string {
	texts := make([]string, len(r))
	for i := range r {
		texts[i] = r[i].Error()
	}
	return strings.Join(texts, "; ")
}

func (r refused) Unwrap() []error {
	out := make([]error, len(r))
	for i := range r {
		out[i] = r[i]
	}
	return out
}

// refusals asks every rail. A rail that does not trip has no text.
func (d *decision) refusals() []Refusal {
	var out []Refusal
	for _, r := range []Refusal{
		{"empty-policy", d.emptyPolicy(), ErrEmptyPolicy},
		{"nothing-kept", d.nothingKept(), ErrNothingKept},
		{"stale", d.stale(), ErrStale},
		{"too-many", d.tooMany(), ErrTooMany},
		{"skew", d.skew(), ErrSkew},
		{"collapsed", d.collapsed(), ErrCollapsed},
		{"alarm", d.alarm(), ErrAlarm},
	} {
		if r.Text != "" {
			out = append(out, r)
		}
	}
	return out
}

func (d *decision) emptyPolicy() string {
	if len(d.Only) > 0 || !d.Policy.Empty() {
		return ""
	}
	return fmt.Sprintf("policy for %d archives is empty", len(d.entries))
}

// nothingKept looks for one trusted archive that stays. The newest of them always does.
func (d *decision) nothingKept() string {
	removed := d.total(func(e *entry) bool { return e.verdict == Remove })
	kept := d.total(func(e *entry) bool { return e.verdict == Keep })
	if removed == 0 || kept > 0 {
		return ""
	}
	return fmt.Sprintf("plan removes %d of %d archives and keeps none that is trusted", removed, len(d.entries))
}

// stale goes by the newest trusted archive of any cluster id. Accepting it does not lift this
// rail: what is odd is that no newer one came.
func (d *decision) stale() string {
	trusted := d.trusted()
	if len(trusted) == 0 {
		return ""
	}
	limit, why := d.Policy.StaleAfter, ""
	if limit == 0 {
		gap, ok := usualGap(trusted)
		if !ok {
			return ""
		}
		limit, why = max(3*gap, leastStale), " (3 times the usual gap, at least 1h)"
	}
	newest := trusted[0]
	if age := d.late.Sub(newest.Time); age > limit {
		return fmt.Sprintf("newest archive %s is %s old, more than %s%s", newest.ID, span(age.Round(time.Second)), span(limit.Round(time.Second)), why)
	}
	return ""
}

// usualGap is the median of the newest gaps between archives, newest first.
func usualGap(list []*entry) (time.Duration, bool) {
	var gaps []time.Duration
	for i := 1; i < min(len(list), usualGaps+1); i++ {
		gaps = append(gaps, list[i-1].Time.Sub(list[i].Time))
	}
	return median(gaps)
}

func median[T int64 | time.Duration](values []T) (T, bool) {
	if len(values) == 0 {
		return 0, false
	}
	slices.Sort(values)
	return values[len(values)/2], true
}

// tooMany leaves out of the whole what is not the policy's to remove.
func (d *decision) tooMany() string {
	removed := d.total(func(e *entry) bool { return e.verdict == Remove })
	of := d.total(func(e *entry) bool { return e.decided || e.verdict == Remove || e.verdict == Retained })
	limit := d.Policy.MaxRemoved
	switch {
	case limit == All, limit == 0 && of <= fewArchives:
		return ""
	case limit == 0:
		limit = of / 2
	}
	if removed <= limit {
		return ""
	}
	return fmt.Sprintf("plan removes %d of %d archives, more than %d", removed, of, limit)
}

func (d *decision) skew() string {
	if d.StoreNow.IsZero() {
		return "the store's clock is not known"
	}
	if d.StoreIsLater && !d.StoreNow.After(d.Now) {
		return "" // ours may be right
	}
	if skew := d.late.Sub(d.early); skew > MaxSkew {
		return fmt.Sprintf("clock %s and the store's %s are %s apart, more than %s", stamp(d.Now), stamp(d.StoreNow), span(skew.Round(time.Second)), span(MaxSkew))
	}
	return ""
}

// collapsed goes by the newest archive that can be read, a suspect too. An accepted one lifts
// the rail for itself, and those before it are no measure for later ones.
func (d *decision) collapsed() string {
	newest := d.newest()
	if newest == nil || newest.Accepted || newest.Keys < 0 {
		return ""
	}
	var keys []int64
	for _, e := range d.trusted() {
		if e != newest && e.Keys >= 0 {
			keys = append(keys, e.Keys)
		}
		if e.Accepted || len(keys) == predecessors {
			break
		}
	}
	n := len(keys)
	usual, _ := median(keys)
	if newest.Keys >= usual-newest.Keys {
		return ""
	}
	return fmt.Sprintf("newest archive %s has %d keys, the %d before it %d in the median", newest.ID, newest.Keys, n, usual)
}

func (d *decision) alarm() string {
	newest := d.newest()
	if newest == nil || newest.Accepted || !newest.Corrupt {
		return ""
	}
	return fmt.Sprintf("newest archive %s notes the alarm CORRUPT", newest.ID)
}

// newest is the newest archive whose manifest can be believed, though it may be suspect: the
// alarm CORRUPT makes it so.
func (d *decision) newest() *entry {
	for _, e := range d.entries {
		if e.trust == Trusted || e.trust == Suspect {
			return e
		}
	}
	return nil
}

// trusted are all that are, newest first.
func (d *decision) trusted() []*entry {
	var out []*entry
	for _, e := range d.entries {
		if e.trust == Trusted {
			out = append(out, e)
		}
	}
	return out
}

func (d *decision) total(is func(*entry) bool) int {
	n := 0
	for _, e := range d.entries {
		if is(e) {
			n++
		}
	}
	return n
}
