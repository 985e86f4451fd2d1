package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// Input is all that a plan depends on. Make changes nothing in it.
type Input struct {
	Archives []Archive // of one store and one cluster name, in any order
	Policy   Policy

	// Now is the caller's clock, StoreNow the store's at the same time. A zero StoreNow is a
	// clock that is not known, and refused.
	Now, StoreNow time.Time

	// StoreIsLater says that StoreNow is no clock, but when the store took the youngest object: its
	// clock is at that or later. The earlier of both times is then the safer one still.
	StoreIsLater bool

	ListsAgree bool // two LISTs some time apart were equal; else the caps remove nothing

	// Only, if not empty, replaces rules, labels and caps: these archives go, save those that
	// an invariant keeps. Its order does not matter.
	Only []catalog.ID
}

// Archive is one archive as its manifest, receipts, holds and the store tell it.
type Archive struct {
	ID      catalog.ID
	Cluster string    // etcd's own id of it
	Time    time.Time // when its stream was opened
	Written time.Time // when its manifest was stored, by the store's clock; zero: not known
	Bytes   int64
	Keys    int64 // -1: not known
	Labels  map[string]string

	Trust    Trust
	Corrupt  bool // its manifest notes the alarm CORRUPT
	Accepted bool // a person's word that what is odd about it is understood

	// Stored and Content are when a receipt first gave that level or a deeper one, since the
	// last failure at it; zero: none did. Not the latest receipt: whoever verifies all archives
	// before each prune would have only young ones, and nothing would ever go.
	Stored, Content time.Time

	// Opened is the same for content by a lasting key: that of the run which sealed the archive opens
	// it even where no identity ever will.
	Opened time.Time

	LockedUntil time.Time // by the store's object lock; zero: not locked
	Holds       []Hold    // those that no release ended
}

// Trust is whether an archive's manifest is believed. All but Trusted are neither counted nor
// removed; the zero value is not trusted.
type Trust string

// The grades of trust. As text they are the reason that a plan shows.
const (
	Trusted    Trust = "trusted"
	Suspect    Trust = "suspect"                    // ours, and marked by the snapshot that made it
	Unreadable Trust = "manifest is corrupt"        // its digest does not fit
	Format     Trust = "unknown format"             // of a later release
	Elsewhere  Trust = "manifest belongs elsewhere" // another id or cluster inside than outside
	Missing    Trust = "bytes are missing"          // a manifest without its archive
	Cut        Trust = "bytes have another size"    // than the manifest promises
	Failed     Trust = "verification failed"        // as the newest receipt says
	Signature  Trust = "signature is not trusted"   // or none where one is demanded
	untold     Trust = "nothing says it is trusted" // the zero value
	future     Trust = "future"                     // later than the store's clock
	maxAhead         = 5 * time.Minute              // how far before it is
	settling         = time.Hour                    // how long a receipt releases nothing
)

// Hold keeps an archive until it ends.
type Hold struct {
	Reason string
	Until  time.Time // zero: no end
}

// check fails on a bad policy, and on an archive given twice: which one counted would depend
// on the order.
func (in *Input) check() error {
	if err := in.Policy.Check(); err != nil {
		return err
	}
	seen := make(map[catalog.ID]bool, len(in.Archives))
	for i := range in.Archives {
		id := in.Archives[i].ID
		if seen[id] {
			return fmt.Errorf("plan: archive %q is listed twice", id)
		}
		seen[id] = true
	}
	return nil
}

// clocks are the earlier and the later of the two that are known.
func (in *Input) clocks() (early, late time.Time) {
	if in.StoreNow.IsZero() || in.StoreNow.Equal(in.Now) {
		return in.Now, in.Now
	}
	if in.StoreNow.Before(in.Now) {
		return in.StoreNow, in.Now
	}
	return in.Now, in.StoreNow
}

// trust is what a is believed to be at storeNow.
func (a *Archive) trust(storeNow time.Time) Trust {
	switch {
	case a.Trust == "":
		return untold
	case !a.Written.IsZero() && a.Time.After(a.Written.Add(maxAhead)), a.Time.After(storeNow.Add(maxAhead)):
		return future
	}
	return a.Trust
}

// held gives the reasons of the holds that last beyond now, sorted.
func (a *Archive) held(now time.Time) []string {
	var out []string
	for _, h := range a.Holds {
		if h.Until.IsZero() || h.Until.After(now) {
			out = append(out, "held: "+h.Reason)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// has says whether a has all labels.
func (a *Archive) has(labels map[string]string) bool {
	for name, want := range labels {
		if value, ok := a.Labels[name]; !ok || value != want {
			return false
		}
	}
	return true
}

// entry is an archive on its way to a verdict.
type entry struct {
	*Archive
	trust   Trust
	verdict Verdict
	reasons []string
	decided bool // the policy decides on it
	kept    bool // something keeps it
	young   bool // a receipt that has not settled does, besides: to the caps it is not there
	bound   bool // an invariant does, so neither a cap nor a person's word takes it away
}

// keep notes why e stays.
func (e *entry) keep(reason string) {
	e.kept = true
	e.note(reason)
}

// bind notes why e stays whatever else is wanted.
func (e *entry) bind(reason string) {
	e.bound = true
	e.keep(reason)
}

func (e *entry) note(reason string) {
	if !slices.Contains(e.reasons, reason) {
		e.reasons = append(e.reasons, reason)
	}
}

// newestFirst is the one order of a plan.
func newestFirst(archives []Archive) []*entry {
	all, out := make([]entry, len(archives)), make([]*entry, len(archives))
	for i := range archives {
		all[i].Archive, out[i] = &archives[i], &all[i]
	}
	slices.SortFunc(out, func(a, b *entry) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.ID, a.ID))
	})
	return out
}
