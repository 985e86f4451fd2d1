package plan

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// The properties run 100 cases each; `go test -rapid.checks=10000` makes it that many.

// drawArchives are up to 40 archives with everything that may be odd about one.
func drawArchives(t *rapid.T) []Archive {
	gap := rapid.SampledFrom([]time.Duration{0, time.Second, 20 * time.Minute, hour, 7 * hour, day24, 5 * day24, 40 * day24})
	when, out := noon, []Archive(nil)
	cluster := rapid.SampledFrom([]string{"c1", "c1", "c1", "c1", "c1", "c1", "c1", "c2", "c3"})
	mixed := rapid.Bool().Draw(t, "mixed")
	for i := range rapid.IntRange(0, 40).Draw(t, "n") {
		a := at(when, func(a *Archive) { drawArchive(t, a) })
		if mixed {
			a.Cluster = cluster.Draw(t, "cluster")
		} else if i > 10 {
			a.Cluster = "c0"
		}
		a.ID = catalog.ID(fmt.Sprintf("%s-%016x-%08x", when.Format("20060102T150405Z"), 1, 1000-i)) // of equal times too
		out = append(out, a)
		when = when.Add(-gap.Draw(t, "gap"))
	}
	return out
}

func drawArchive(t *rapid.T, a *Archive) {
	a.Trust = rapid.SampledFrom([]Trust{Trusted, Trusted, Trusted, Trusted, Trusted, Trusted, Trusted, Suspect, Format, ""}).Draw(t, "trust")
	a.Stored = rapid.SampledFrom([]time.Time{{}, {}, noon.Add(-3 * hour), noon.Add(-time.Minute)}).Draw(t, "stored")
	if !a.Stored.IsZero() {
		a.Content = rapid.SampledFrom([]time.Time{{}, noon.Add(-2 * hour), noon.Add(-time.Minute)}).Draw(t, "content")
	}
	if !a.Content.IsZero() {
		a.Opened = rapid.SampledFrom([]time.Time{{}, a.Content, noon.Add(-time.Minute)}).Draw(t, "opened")
	}
	a.Keys = rapid.Int64Range(-1, 10).Draw(t, "keys")
	a.Bytes = rapid.Int64Range(1, 100).Draw(t, "bytes")
	if rapid.IntRange(0, 9).Draw(t, "held") == 0 {
		a.Holds = []Hold{{"b", time.Time{}}, {"a", noon.Add(hour)}}
	}
	if rapid.IntRange(0, 9).Draw(t, "locked") == 0 {
		a.LockedUntil = noon.Add(hour)
	}
	a.Labels = map[string]string{"tier": rapid.SampledFrom([]string{"gold", "gold", "gold", "tin"}).Draw(t, "tier")}
	a.Corrupt = rapid.IntRange(0, 30).Draw(t, "corrupt") == 0
	a.Accepted = rapid.IntRange(0, 20).Draw(t, "accepted") == 0
	if rapid.IntRange(0, 30).Draw(t, "early") == 0 {
		a.Written = a.Time.Add(-hour)
	}
}

// drawPolicy has keep rules and a floor, and no caps.
func drawPolicy(t *rapid.T) Policy {
	n := func(name string) int {
		return rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3, 7, All}).Draw(t, name)
	}
	p := Policy{KeepLast: n("last"), KeepHourly: n("hourly"), KeepDaily: n("daily"), KeepWeekly: n("weekly"), KeepMonthly: n("monthly"), KeepYearly: n("yearly")}
	p.KeepWithin = rapid.SampledFrom([]time.Duration{0, 0, hour, 3 * day24, 60 * day24}).Draw(t, "within")
	if !p.hasRule() {
		p.KeepLast = 1
	}
	p.KeepMin = rapid.IntRange(0, 4).Draw(t, "min")
	p.CountLevel = rapid.SampledFrom([]catalog.Level{"", Committed, catalog.Stored, catalog.Content}).Draw(t, "level")
	p.SuspectAfter = rapid.SampledFrom([]time.Duration{0, hour, 30 * day24}).Draw(t, "suspect")
	p.PreviousClusterHold = rapid.SampledFrom([]time.Duration{0, hour, 30 * day24}).Draw(t, "hold")
	p.MaxRemoved = rapid.SampledFrom([]int{0, 5, All}).Draw(t, "max-removed")
	if rapid.Bool().Draw(t, "labelled") {
		p.Labels = map[string]string{"tier": "gold"}
	}
	return p
}

func drawCaps(t *rapid.T, p *Policy) {
	p.MaxCount = rapid.IntRange(0, 20).Draw(t, "max-count")
	p.MaxBytes = rapid.Int64Range(0, 1000).Draw(t, "max-bytes")
}

// part is a random part of archives, the one that a late LIST shows.
func part(t *rapid.T, archives []Archive, name string, must func(Archive) bool) []Archive {
	var out []Archive
	for _, a := range archives {
		if rapid.IntRange(0, 3).Draw(t, name) > 0 || must(a) {
			out = append(out, a)
		}
	}
	return out
}

// goes are the archives that a plan takes away, now or when their lock ends.
func goes(t *rapid.T, in Input) map[catalog.ID]bool {
	out := map[catalog.ID]bool{}
	for _, item := range mustMake(t, in).Archives {
		if item.Verdict == Remove || item.Verdict == Retained {
			out[item.ID] = true
		}
	}
	return out
}

func inside(t *rapid.T, what string, some, all map[catalog.ID]bool) {
	for id := range some {
		if !all[id] {
			t.Fatalf("%s takes %s, which the full plan keeps", what, id)
		}
	}
}

// firsts are the first trusted archives of each cluster id: a list without them may know another
// hold, as TestAListWithoutTheNextClusterIDKnowsNoHold shows.
func firsts(archives []Archive) func(Archive) bool {
	first := map[string]Archive{}
	for _, a := range archives {
		f, ok := first[a.Cluster]
		if a.trust(noon) == Trusted && (!ok || a.Time.Before(f.Time)) {
			first[a.Cluster] = a
		}
	}
	return func(a Archive) bool { return first[a.Cluster].ID == a.ID }
}

func TestAPartialListRemovesASubset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, archives := drawPolicy(t), drawArchives(t)
		must := func(Archive) bool { return false }
		if p.PreviousClusterHold > 0 {
			must = firsts(archives)
		}
		full := goes(t, input(p, archives...))
		inside(t, "a plan by a part", goes(t, input(p, part(t, archives, "seen", must)...)), full)
	})
}

func TestTwoPrunesStayInsideTheFullPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, archives := drawPolicy(t), drawArchives(t)
		p.PreviousClusterHold = 0
		full := goes(t, input(p, archives...))
		none := func(Archive) bool { return false }
		one, two := part(t, archives, "one", none), part(t, archives, "two", none)
		first := goes(t, input(p, one...))
		inside(t, "the first prune", first, full)
		inside(t, "the second prune beside it", goes(t, input(p, two...)), full)
		left := slices.DeleteFunc(slices.Clone(two), func(a Archive) bool { return first[a.ID] })
		inside(t, "the second prune after it", goes(t, input(p, left...)), full)
	})
}

func TestALateReceiptReleasesNoOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, archives := drawPolicy(t), drawArchives(t)
		drawCaps(t, &p)
		if len(archives) == 0 {
			return
		}
		before := goes(t, input(p, archives...))
		i := rapid.IntRange(0, len(archives)-1).Draw(t, "which")
		young := noon.Add(-time.Duration(rapid.IntRange(-600, 3599).Draw(t, "seconds")) * time.Second)
		switch a := &archives[i]; {
		case a.Stored.IsZero():
			a.Stored = young
		case a.Content.IsZero():
			a.Content = young
		case a.Opened.IsZero():
			a.Opened = young
		default:
			return
		}
		after := goes(t, input(p, archives...))
		if archives[i].Trust == Trusted {
			delete(before, archives[i].ID)
		}
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("with a receipt %s before noon on %s there go %v, want %v", noon.Sub(young), archives[i].ID, after, before)
		}
	})
}

func TestCapsTakeTheOldestThatMayGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, archives := drawPolicy(t), drawArchives(t)
		free := goes(t, input(p, archives...))
		drawCaps(t, &p)
		in := input(p, archives...)
		plan, capped := mustMake(t, in), goes(t, in)
		inside(t, "a plan without caps", free, capped)

		// What is bound, by other means than the plan's.
		safe := invariants(archives, p)
		var count int
		var bytes int64
		mayGo := false
		for _, item := range plan.Archives { // newest first
			i := slices.IndexFunc(archives, func(a Archive) bool { return a.ID == item.ID })
			a := archives[i]
			if a.trust(noon) != Trusted || p.Labels != nil && a.Labels["tier"] != "gold" {
				continue
			}
			switch cut := capped[a.ID] && !free[a.ID]; {
			case cut && safe[a.ID]:
				t.Fatalf("caps take %s, which an invariant keeps", a.ID)
			case cut:
				mayGo = true
			case !capped[a.ID]:
				if !receiptAlone(item.Reasons) {
					count++
					bytes += a.Bytes
				}
				if mayGo && !slices.ContainsFunc(item.Reasons, binds) {
					t.Fatalf("caps take an archive newer than %s, which stays for %q", a.ID, item.Reasons)
				}
			}
		}
		over := p.MaxCount > 0 && count > p.MaxCount || p.MaxBytes > 0 && bytes > p.MaxBytes
		for _, item := range plan.Archives {
			if over && item.Verdict == Keep && !slices.ContainsFunc(item.Reasons, binds) {
				t.Fatalf("%d archives of %d bytes stay, and %s might go: %q", count, bytes, item.ID, item.Reasons)
			}
		}
		in.ListsAgree = false
		if got := goes(t, in); !reflect.DeepEqual(got, free) {
			t.Fatalf("lists that differ: there go %v, want %v", got, free)
		}
	})
}

// receiptAlone says whether a young receipt keeps what rules or caps would not.
func receiptAlone(reasons []string) bool {
	for _, r := range reasons {
		if strings.HasPrefix(r, "over max-") {
			return true
		}
	}
	return !slices.ContainsFunc(reasons, func(r string) bool {
		return !strings.HasPrefix(r, "receipt") && !strings.HasPrefix(r, "not counted") && !strings.HasPrefix(r, "locked")
	})
}

// binds says whether a reason keeps an archive from the caps.
func binds(reason string) bool {
	for _, prefix := range []string{"newest", "floor", "held", "previous cluster", "receipt younger", "label"} {
		if strings.HasPrefix(reason, prefix) {
			return true
		}
	}
	return false
}

// invariants are the ids that no policy may remove: the newest trusted of each cluster id, its
// newest verified, the newest that a lasting key opened, those on hold. It goes by what is really there, and knows no clock but noon.
func invariants(archives []Archive, p Policy) map[catalog.ID]bool {
	safe := map[catalog.ID]bool{}
	newest, content, stored, opened := map[string]Archive{}, map[string]Archive{}, map[string]Archive{}, map[string]Archive{}
	newer := func(in map[string]Archive, a Archive) {
		if b, ok := in[a.Cluster]; !ok || a.Time.After(b.Time) {
			in[a.Cluster] = a
		}
	}
	for _, a := range archives {
		if len(a.Holds) > 0 {
			safe[a.ID] = true
		}
		if a.Trust != Trusted || !a.Written.Equal(a.Time) || p.Labels != nil && a.Labels["tier"] != "gold" {
			continue
		}
		newer(newest, a)
		if !a.Content.IsZero() {
			newer(content, a)
		}
		if !a.Stored.IsZero() {
			newer(stored, a)
		}
		if !a.Opened.IsZero() {
			newer(opened, a)
		}
	}
	for cluster, a := range newest {
		safe[a.ID] = true
		if c, ok := content[cluster]; ok {
			safe[c.ID] = true
		} else if s, ok := stored[cluster]; ok {
			safe[s.ID] = true
		}
		if o, ok := opened[cluster]; ok {
			safe[o.ID] = true
		}
	}
	return safe
}

func TestInvariantsSurviveAnyPolicyAndAnyClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, archives := drawPolicy(t), drawArchives(t)
		if rapid.Bool().Draw(t, "no rule") {
			p = Policy{KeepMin: p.KeepMin, CountLevel: p.CountLevel, SuspectAfter: p.SuspectAfter, Labels: p.Labels}
		}
		drawCaps(t, &p)
		in := input(p, archives...)
		shift := func(name string) time.Time {
			return noon.Add(time.Duration(rapid.IntRange(-400*24, 400*24).Draw(t, name)) * hour)
		}
		in.Now, in.StoreNow = shift("now"), shift("store")
		only := rapid.Bool().Draw(t, "only")
		if only {
			for _, a := range part(t, archives, "named", func(Archive) bool { return false }) {
				in.Only = append(in.Only, a.ID)
			}
		}
		gone := goes(t, in)
		if len(in.Only) > 0 {
			p.Labels = nil
		}
		early, _ := in.clocks()
		for id := range invariants(dropEnded(archives, early), p) {
			// A person's word is not held back by a receipt that has not settled.
			if gone[id] && (len(in.Only) == 0 || !unsettled(archives, id, early)) {
				t.Fatalf("the plan takes %s, which an invariant keeps; clocks %s and %s", id, in.Now, in.StoreNow)
			}
		}
		floor(t, archives, p, gone, len(in.Only) > 0, early)
	})
}

// dropEnded drops holds that ended by the earlier clock.
func dropEnded(archives []Archive, now time.Time) []Archive {
	out := slices.Clone(archives)
	for i := range out {
		out[i].Holds = slices.DeleteFunc(slices.Clone(out[i].Holds), func(h Hold) bool { return !h.Until.IsZero() && !h.Until.After(now) })
	}
	return out
}

func unsettled(archives []Archive, id catalog.ID, now time.Time) bool {
	a := archives[slices.IndexFunc(archives, func(a Archive) bool { return a.ID == id })]
	return a.Stored.After(now.Add(-hour)) || a.Content.After(now.Add(-hour)) || a.Opened.After(now.Add(-hour))
}

// floor counts what stays of each cluster id.
func floor(t *rapid.T, archives []Archive, p Policy, gone map[catalog.ID]bool, only bool, now time.Time) {
	there, stays := map[string]int{}, map[string]int{}
	for _, a := range archives {
		verified := func(receipt time.Time) bool {
			// A person's word is not held back by a receipt that has not settled.
			return !receipt.IsZero() && (!only || !receipt.After(now.Add(-hour)))
		}
		counts := p.countsAll() || verified(a.Content) || p.CountLevel == catalog.Stored && verified(a.Stored)
		if a.Trust != Trusted || !a.Written.Equal(a.Time) || !counts || p.Labels != nil && a.Labels["tier"] != "gold" {
			continue
		}
		there[a.Cluster]++
		if !gone[a.ID] {
			stays[a.Cluster]++
		}
	}
	for cluster, n := range there {
		if want := min(n, p.KeepMin); stays[cluster] < want {
			t.Fatalf("of %d archives of %s there stay %d, the floor is %d", n, cluster, stays[cluster], p.KeepMin)
		}
	}
}

func TestRailsLetNothingThrough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, archives := drawPolicy(t), drawArchives(t)
		drawCaps(t, &p)
		p.StaleAfter = rapid.SampledFrom([]time.Duration{0, hour, day24}).Draw(t, "stale")
		in := input(p, archives...)
		clock := rapid.SampledFrom([]time.Duration{0, 0, time.Minute, 6 * time.Minute, 2 * hour, 9 * day24})
		in.Now, in.StoreNow = noon.Add(clock.Draw(t, "now")), noon.Add(clock.Draw(t, "store"))
		plan := mustMake(t, in)
		ids, err := plan.Removals()
		if err != nil {
			if len(ids) > 0 || len(plan.Refusals) == 0 {
				t.Fatalf("refused with %v, and yet %q", err, ids)
			}
			return
		}
		if skew := in.Now.Sub(in.StoreNow).Abs(); skew > 5*time.Minute {
			t.Fatalf("clocks %s apart are let through", skew)
		}
		decided, trusted := 0, 0
		var newest, readable *Archive
		for i, a := range archives { // newest first
			grade := a.trust(in.StoreNow)
			if (grade == Trusted || grade == Suspect) && readable == nil {
				readable = &archives[i]
			}
			if grade != Trusted {
				continue
			}
			trusted++
			if newest == nil {
				newest = &archives[i]
			}
			if p.Labels == nil || a.Labels["tier"] == "gold" {
				decided++
			}
		}
		suspects := 0
		for _, item := range plan.Archives {
			if item.Reasons[0] == "suspect" && item.Verdict != Ignored {
				suspects++
			}
		}
		switch of := decided + suspects; {
		case p.MaxRemoved == 5 && len(ids) > 5, p.MaxRemoved == 0 && of > 10 && len(ids) > of/2:
			t.Fatalf("%d of %d are removed, with max-removed %d", len(ids), of, p.MaxRemoved)
		case len(ids) > 0 && trusted == 0:
			t.Fatalf("%d removed and none trusted left", len(ids))
		case newest != nil && p.StaleAfter > 0 && in.Now.Sub(newest.Time) > p.StaleAfter:
			t.Fatalf("the newest is %s old, and is let through", in.Now.Sub(newest.Time))
		case readable != nil && readable.Corrupt && !readable.Accepted:
			t.Fatalf("%s notes CORRUPT and is let through", readable.ID)
		}
	})
}

func TestAPlanIsTheSameForAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, archives := drawPolicy(t), drawArchives(t)
		drawCaps(t, &p)
		in := input(p, archives...)
		if rapid.IntRange(0, 3).Draw(t, "only") == 0 {
			for _, a := range part(t, archives, "named", func(Archive) bool { return false }) {
				in.Only = append(in.Only, a.ID)
			}
			in.Only = append(in.Only, at(noon.Add(hour)).ID, at(noon.Add(2*hour)).ID)
		}
		want := mustMake(t, in)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		in.Archives = slices.Clone(in.Archives)
		r.Shuffle(len(archives), func(i, j int) { in.Archives[i], in.Archives[j] = in.Archives[j], in.Archives[i] })
		r.Shuffle(len(in.Only), func(i, j int) { in.Only[i], in.Only[j] = in.Only[j], in.Only[i] })
		for i := range in.Archives {
			in.Archives[i].Holds = slices.Clone(in.Archives[i].Holds)
			slices.Reverse(in.Archives[i].Holds)
		}
		if got := mustMake(t, in); !reflect.DeepEqual(got, want) {
			t.Fatalf("another order gives\n%v\nwant\n%v", lines(got), lines(want))
		}
	})
}
