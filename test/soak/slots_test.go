package soak

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// made is an archive, of a run that a log tells of.
type made struct {
	id   string
	life *life
	at   time.Time // committed
}

func (m made) String() string {
	return fmt.Sprintf("%s of %s at %s", m.id, m.life.name, m.at.UTC().Format("15:04:05.0"))
}

func (w *watch) lives() (out []*life) {
	for _, r := range w.replicas {
		out = append(out, r.lives...)
	}
	return out
}

// archives are all that the store has, by the slot for which the log says that they were made: a process does one run
// of the line at a time.
func (w *watch) archives() map[time.Time][]made {
	w.t.Helper()
	out := map[time.Time][]made{}
	known := map[string]bool{}
	for _, l := range w.lives() {
		var slot time.Time
		for _, e := range l.events(w.t) {
			switch {
			case e.Msg == "run begun" && e.Line == "snapshot,verify":
				slot = e.Slot
			case e.Msg == "archive committed":
				out[slot] = append(out[slot], made{e.Archive, l, e.Time})
				known[e.Archive] = true
			}
		}
	}
	for _, name := range w.names("manifests") {
		if id, ok := strings.CutSuffix(name, ".json"); ok && !known[id] {
			at := catalog.ID(id).Time()
			out[at.Truncate(slotEvery())] = append(out[at.Truncate(slotEvery())], made{id, &life{name: "a process that did not say so"}, at})
		}
	}
	return out
}

// records are those of a job's runs, by slot.
func (w *watch) records(job string) map[time.Time][]catalog.Run {
	w.t.Helper()
	out := map[time.Time][]catalog.Run{}
	for _, name := range w.names("runs/" + job) {
		text, err := os.ReadFile(w.inStore("runs", job, name))
		var r catalog.Run
		if err == nil {
			err = json.Unmarshal(text, &r)
		}
		if err != nil {
			w.t.Fatalf("read %s: %v", name, err)
		}
		out[r.Slot] = append(out[r.Slot], r)
	}
	return out
}

// led is for how long in one piece a process that led, and did not stand still, was there between two times: it had
// that long to do a slot.
func (w *watch) led(from, to time.Time) (longest time.Duration) {
	for _, l := range w.lives() {
		var since time.Time
		piece := func(since, until time.Time) {
			since, until = later(since, from), earlier(until, to)
			longest = max(longest, until.Sub(since))
		}
		span := func(until time.Time) {
			if since.IsZero() {
				return
			}
			at := since
			for _, f := range append(slices.Clone(l.frozen), w.without) {
				if f.to.After(at) && f.from.Before(until) {
					piece(at, f.from)
					at = f.to
				}
			}
			piece(at, until)
			since = time.Time{}
		}
		for _, e := range l.events(w.t) {
			switch e.Msg {
			case leads:
				since = e.Time
			case lost, follows, alone:
				span(e.Time)
			}
		}
		end := l.ended
		if end.IsZero() {
			end = time.Now()
		}
		span(end)
	}
	return longest
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// audit holds each slot of the time in which the replicas ran to what must have come of it: one archive, one record of
// prune, one of defrag. One that nobody led to do, or to do again, is passed over where the next one was due before
// somebody did: of several that were missed the last counts, as with a CronJob.
func (w *watch) audit(end time.Time) map[time.Time][]made {
	w.t.Helper()
	archives := w.archives()
	done := map[string]map[time.Time]int{"snapshot": {}, "prune": {}, "defrag": {}}
	for slot, all := range archives {
		done["snapshot"][slot] = len(all)
	}
	for _, job := range []string{"prune", "defrag"} {
		for slot, all := range w.records(job) {
			done[job][slot] = len(all)
			if !slices.ContainsFunc(all, func(r catalog.Run) bool { return r.ExitCode == 0 }) {
				w.t.Errorf("etcd %s: %s of slot %s ended with %d alone", w.version, job, slot.UTC().Format(time.TimeOnly), all[0].ExitCode)
			}
		}
	}
	first := end
	for slot := range archives {
		first = earlier(first, slot)
	}
	slots, passed, faults := 0, map[string]int{}, 0
	for slot := first; slot.Add(slotEvery()).Before(end); slot = slot.Add(slotEvery()) {
		slots++
		for _, job := range []string{"snapshot", "prune", "defrag"} {
			n := done[job][slot]
			switch led := w.led(w.cut(job, slot), slot.Add(slotEvery())); {
			case n == 1:
			case n == 0 && led < slotEvery()/6:
				passed[job]++
			default:
				faults++
				w.t.Errorf("etcd %s: slot %s has %d of %s, want 1; led for %s; %s; archives %v", w.version, slot.UTC().Format(time.TimeOnly), n, job, led, w.near(slot), archives[slot])
			}
		}
	}
	if w.without == (spell{}) {
		w.tell(slots, passed, faults)
	}
	return archives
}

// cut is when a leader's run of a job for a slot was cut off, and else the slot.
func (w *watch) cut(job string, slot time.Time) time.Time {
	for _, b := range w.blows {
		if b.midRun(w, job).Equal(slot) {
			return later(slot, b.at)
		}
	}
	return slot
}

// near tells of what befell leaders around a slot.
func (w *watch) near(slot time.Time) string {
	var out []string
	for _, b := range w.blows {
		if b.at.After(slot.Add(-3*slotEvery())) && b.at.Before(slot.Add(slotEvery())) {
			out = append(out, b.String())
		}
	}
	return strings.Join(out, ", ")
}

// tell keeps the figures of the blows.
func (w *watch) tell(slots int, passed map[string]int, faults int) {
	w.t.Helper()
	kinds, mid, made, took, longest := map[string]int{}, 0, 0, 0, time.Duration(0)
	archives := w.archives()
	for _, b := range w.blows {
		kinds[b.what]++
		if slot := b.midRun(w, "snapshot"); !slot.IsZero() {
			mid++
			if len(archives[slot]) == 1 {
				made++
			}
		}
		d, ok := w.takeover(b)
		if ok {
			took++
			longest = max(longest, d)
		}
		if limit := 2 * leadLease(); d > limit || !ok && (b.until.IsZero() || b.until.Sub(b.at) > limit) {
			w.t.Errorf("etcd %s: %s: the next one led after %s (%v), want within two leases", w.version, b, d, ok)
		}
	}
	w.sum.add(fmt.Sprintf("- etcd %s: %d slots, one every %s. The leader was %s; %d times while a run of snapshot was at work; its own slot has an archive in %d, else the next one has. %d takeovers, the longest after %s. Slots passed over since nobody led before the next was due: %s. Others done twice, or not at all: %d.",
		w.version, slots, slotEvery(), counts(kinds), mid, made, took, longest.Round(100*time.Millisecond), counts(passed), faults))
}

// midRun is the slot for which a run of the job was at work when the blow fell.
func (b *blow) midRun(w *watch, job string) (slot time.Time) {
	for _, e := range b.life.events(w.t) {
		switch {
		case !strings.HasPrefix(e.Line, job) || e.Time.After(b.at):
		case e.Msg == "run begun":
			slot = e.Slot
		case e.Msg == "run ended" || e.Msg == "run failed":
			slot = time.Time{}
		}
	}
	return slot
}

// takeover is how long after a blow another process led.
func (w *watch) takeover(b *blow) (took time.Duration, ok bool) {
	for _, l := range w.lives() {
		for _, e := range l.events(w.t) {
			if e.Msg == leads && l != b.life && e.Time.After(b.at) && (b.until.IsZero() || e.Time.Before(b.until)) {
				if d := e.Time.Sub(b.at); !ok || d < took {
					took, ok = d, true
				}
			}
		}
	}
	return took, ok
}

func counts(of map[string]int) string {
	var out []string
	for what, n := range of {
		out = append(out, fmt.Sprintf("%s %d", what, n))
	}
	if len(out) == 0 {
		return "none"
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
