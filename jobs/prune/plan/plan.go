package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// Verdict is what becomes of an archive.
type Verdict string

// The verdicts. A retained archive would go, but the store keeps it locked; an ignored one is
// neither counted nor removed.
const (
	Keep     Verdict = "keep"
	Remove   Verdict = "remove"
	Retained Verdict = "retained"
	Ignored  Verdict = "ignored"
)

// Plan is what prune would do, and why. As JSON it only ever gains fields.
type Plan struct {
	// Hash is the SHA-256 over every id and its verdict: equal plans have equal hashes.
	Hash     string    `json:"hash"`
	Archives []Item    `json:"archives"` // newest first
	Warnings []string  `json:"warnings,omitempty"`
	Refusals []Refusal `json:"refusals,omitempty"`
}

// Item is the verdict on one archive, with at least one reason.
type Item struct {
	ID      catalog.ID `json:"id"`
	Cluster string     `json:"clusterID"`
	Time    time.Time  `json:"time"`
	Bytes   int64      `json:"bytes"`
	Verdict Verdict    `json:"verdict"`
	Reasons []string   `json:"reasons"`
}

// Make plans. It fails on a policy that cannot be (ErrPolicy) and on an id given twice. A plan
// that a rail refuses is made all the same, for a person to read.
func Make(in Input) (Plan, error) {
	if err := in.check(); err != nil {
		return Plan{}, err
	}
	d := decision{Input: in, entries: newestFirst(in.Archives)}
	d.early, d.late = in.clocks()
	d.sortOut()
	for _, g := range d.groups() {
		d.decide(g)
	}
	d.expireSuspects()
	if len(in.Only) > 0 {
		d.only()
	} else {
		d.cap()
	}
	d.lock()
	return Plan{Hash: d.hash(), Archives: d.items(), Warnings: d.warnings, Refusals: d.refusals()}, nil
}

// Err is nil, or all refusals as one error of one line. It wraps the sentinel of each.
func (p Plan) Err() error {
	if len(p.Refusals) == 0 {
		return nil
	}
	return refused(p.Refusals)
}

// Removals are the archives to remove, oldest first. Where a rail tripped there are none, and
// the error is that of Err.
func (p Plan) Removals() ([]catalog.ID, error) {
	if err := p.Err(); err != nil {
		return nil, err
	}
	var out []catalog.ID
	for _, item := range slices.Backward(p.Archives) {
		if item.Verdict == Remove {
			out = append(out, item.ID)
		}
	}
	return out, nil
}

// decision is a plan in the making.
type decision struct {
	Input
	entries     []*entry // newest first
	early, late time.Time
	warnings    []string
}

func (d *decision) warn(format string, args ...any) {
	d.warnings = append(d.warnings, fmt.Sprintf(format, args...))
}

// sortOut sets aside what is not trusted, and what lacks a label.
func (d *decision) sortOut() {
	for _, e := range d.entries {
		e.trust = e.Archive.trust(d.StoreNow)
		switch {
		case e.trust != Trusted:
			e.verdict = Ignored
			e.note(string(e.trust))
		case len(d.Only) == 0 && !e.has(d.Policy.Labels):
			e.bind("label")
		default:
			e.decided = true
		}
		for _, h := range e.held(d.early) {
			e.bind(h)
		}
	}
}

// expireSuspects removes those that are old enough, unless nothing trusted is newer.
func (d *decision) expireSuspects() {
	newer := false
	for _, e := range d.entries {
		switch {
		case e.trust == Trusted:
			newer = true
		case e.trust == Suspect && !newer:
			e.bind("newest")
			newer = true
		case e.trust == Suspect && !e.bound && d.expired(e):
			e.verdict = Remove
			e.note("suspect older than " + span(d.Policy.SuspectAfter))
		}
	}
}

func (d *decision) expired(e *entry) bool {
	after := d.Policy.SuspectAfter
	return after > 0 && len(d.Only) == 0 && e.has(d.Policy.Labels) && d.early.Sub(e.Time) > after
}

// only settles a run that removes what a person named. A suspect may be named.
func (d *decision) only() {
	named := make(map[catalog.ID]bool, len(d.Only))
	for _, id := range d.Only {
		named[id] = true
	}
	for _, e := range d.entries {
		switch {
		case !named[e.ID]:
			e.kept = true
			e.note("not named")
		case e.trust == Trusted || e.trust == Suspect:
			e.note("named")
			if e.trust == Suspect && !e.bound {
				e.verdict = Remove
			}
		}
		delete(named, e.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(named)) {
		d.warn("archive %s was named and is not there", id)
	}
}

// lock settles the verdicts. What is locked cannot go yet.
func (d *decision) lock() {
	for _, e := range d.entries {
		switch {
		case e.verdict != "":
		case e.kept, e.young:
			e.verdict = Keep
		default:
			e.verdict = Remove
		}
		if e.LockedUntil.After(d.early) {
			e.note("locked until " + stamp(e.LockedUntil))
			if e.verdict == Remove {
				e.verdict = Retained
			}
		}
	}
}

func (d *decision) items() []Item {
	out := make([]Item, len(d.entries))
	for i, e := range d.entries {
		out[i] = Item{ID: e.ID, Cluster: e.Cluster, Time: e.Time, Bytes: e.Bytes, Verdict: e.verdict, Reasons: e.reasons}
	}
	return out
}

// hash goes by id, for entries are sorted by times that a caller may have told otherwise.
func (d *decision) hash() string {
	lines := make([]string, len(d.entries))
	for i, e := range d.entries {
		lines[i] = fmt.Sprintf("%q %s\n", e.ID, e.verdict)
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte("plan 1\n" + strings.Join(lines, "")))
	return hex.EncodeToString(sum[:])
}
