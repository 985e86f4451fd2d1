package plan

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

func TestEveryReasonIsGiven(t *testing.T) {
	old := noon.Add(-2 * hour) // a receipt that has settled
	young := noon.Add(-10 * time.Minute)
	label := func(v string) func(*Archive) {
		return func(a *Archive) { a.Labels = map[string]string{"tier": v} }
	}
	for _, c := range []struct {
		name     string
		policy   Policy
		archives []Archive // newest first, as the verdicts
		want     []string
	}{
		{"last", Policy{KeepLast: 2}, ago(0, hour, 2*hour, 3*hour),
			[]string{"keep: newest; last 1/2", "keep: last 2/2", "remove: no rule keeps it", "remove: no rule keeps it"}},
		{"hourly takes the newest of each hour", Policy{KeepHourly: 2}, ago(0, 10*time.Minute, 20*time.Minute, 2*hour, 3*hour),
			[]string{"keep: newest; hourly 1/2", "keep: hourly 2/2", "remove: no rule keeps it", "remove: no rule keeps it", "remove: no rule keeps it"}},
		{"empty days take no count", Policy{KeepDaily: 2}, ago(0, 5*day24, 9*day24),
			[]string{"keep: newest; daily 1/2", "keep: daily 2/2", "remove: no rule keeps it"}},
		{"weekly, the last before a Monday", Policy{KeepWeekly: 2}, ago(0, 11*hour, 13*hour, 30*hour),
			[]string{"keep: newest; weekly 1/2", "remove: no rule keeps it", "keep: weekly 2/2", "remove: no rule keeps it"}},
		{"monthly", Policy{KeepMonthly: 2}, ago(0, day24, 30*day24, 31*day24),
			[]string{"keep: newest; monthly 1/2", "remove: no rule keeps it", "keep: monthly 2/2", "remove: no rule keeps it"}},
		{"yearly without end", Policy{KeepYearly: All}, ago(0, 100*day24, 400*day24, 800*day24),
			[]string{"keep: newest; yearly 1", "remove: no rule keeps it", "keep: yearly 2", "keep: yearly 3"}},
		{"oldest of every rule that has counts left", Policy{KeepDaily: 3, KeepWeekly: 3}, ago(0, hour, 2*hour),
			[]string{"keep: newest; daily 1/3; weekly 1/3", "remove: no rule keeps it", "keep: oldest"}},
		{"within counts from the newest, not from now", Policy{KeepWithin: 2 * day24}, ago(10*day24, 11*day24, 12*day24-1, 12*day24, 13*day24),
			[]string{"keep: newest; within 2d", "keep: within 2d", "keep: within 2d", "remove: no rule keeps it", "remove: no rule keeps it"}},
		{"rules are joined by or", Policy{KeepLast: 1, KeepDaily: 2}, ago(0, hour, 13*hour, 14*hour),
			[]string{"keep: newest; last 1/1; daily 1/2", "remove: no rule keeps it", "keep: daily 2/2", "remove: no rule keeps it"}},
		{"floor", Policy{KeepLast: 1, KeepMin: 3}, ago(0, hour, 2*hour, 3*hour),
			[]string{"keep: newest; floor 1/3; last 1/1", "keep: floor 2/3", "keep: floor 3/3", "remove: no rule keeps it"}},
		{"newest verified, though rules are over", Policy{KeepLast: 1}, []Archive{at(noon), at(noon.Add(-day24)), at(noon.Add(-2*day24), content(old)), at(noon.Add(-3*day24), content(old))},
			[]string{"keep: newest; last 1/1", "remove: no rule keeps it", "keep: newest verified", "remove: no rule keeps it"}},
		{"newest stored, where none is deeper", Policy{KeepLast: 1}, []Archive{at(noon), at(noon.Add(-day24), stored(old)), at(noon.Add(-2*day24), stored(old))},
			[]string{"keep: newest; last 1/1", "keep: newest verified", "remove: no rule keeps it"}},
		{"newest opened by a lasting key, though a run's own key verified newer ones", Policy{KeepLast: 1}, []Archive{at(noon, byRun(old)), at(noon.Add(-day24), byRun(old)), at(noon.Add(-2*day24), content(old)), at(noon.Add(-3*day24), content(old))},
			[]string{"keep: newest; newest verified; last 1/1", "remove: no rule keeps it", "keep: newest opened by a lasting key", "remove: no rule keeps it"}},
		{"a young receipt by a lasting key releases no other", Policy{KeepLast: 1}, []Archive{at(noon), at(noon.Add(-day24), byRun(old), opened(young)), at(noon.Add(-2*day24), byRun(old), opened(young)), at(noon.Add(-3*day24), content(old))},
			[]string{"keep: newest; last 1/1", "keep: newest verified; receipt younger than 1h", "keep: receipt younger than 1h", "keep: newest opened by a lasting key"}},
		{"a young receipt keeps its own and releases no other", Policy{KeepLast: 1}, []Archive{at(noon), at(noon.Add(-day24), content(young)), at(noon.Add(-2*day24), content(old))},
			[]string{"keep: newest; last 1/1", "keep: receipt younger than 1h", "keep: newest verified"}},
		{"held, for each reason", Policy{KeepLast: 1}, []Archive{at(noon), at(noon.Add(-day24), held("court"), held("audit")), at(noon.Add(-2 * day24))},
			[]string{"keep: newest; last 1/1", "keep: held: audit; held: court", "remove: no rule keeps it"}},
		{"a hold that ended, and one that did not", Policy{KeepLast: 1}, []Archive{at(noon),
			at(noon.Add(-day24), func(a *Archive) { a.Holds = []Hold{{"x", noon}} }), at(noon.Add(-2*day24), func(a *Archive) { a.Holds = []Hold{{"y", noon.Add(1)}} })},
			[]string{"keep: newest; last 1/1", "remove: no rule keeps it", "keep: held: y"}},
		{"locked", Policy{KeepLast: 1}, []Archive{at(noon), at(noon.Add(-day24), func(a *Archive) { a.LockedUntil = noon.Add(hour) }), at(noon.Add(-2*day24), func(a *Archive) { a.LockedUntil = noon })},
			[]string{"keep: newest; last 1/1", "retained: no rule keeps it; locked until 2026-11-23T13:00:00Z", "remove: no rule keeps it"}},
		{"what is not trusted", Policy{KeepLast: 1}, []Archive{
			at(noon.Add(6 * time.Minute)), at(noon), at(noon.Add(-1*hour), trust(Suspect)), at(noon.Add(-2*hour), trust(Format)), at(noon.Add(-3*hour), trust(Elsewhere)),
			at(noon.Add(-4*hour), trust(Signature)), at(noon.Add(-5*hour), trust(Unreadable)), at(noon.Add(-6*hour), trust("")),
			at(noon.Add(-7*hour), func(a *Archive) { a.Written = a.Time.Add(-6 * time.Minute) }), at(noon.Add(-8 * hour))},
			[]string{"ignored: future", "keep: newest; last 1/1", "ignored: suspect", "ignored: unknown format", "ignored: manifest belongs elsewhere",
				"ignored: signature is not trusted", "ignored: manifest is corrupt", "ignored: nothing says it is trusted", "ignored: future", "remove: no rule keeps it"}},
		{"a suspect that is old enough", Policy{KeepLast: 1, SuspectAfter: day24}, []Archive{at(noon), at(noon.Add(-day24), trust(Suspect)), at(noon.Add(-day24-1), trust(Suspect)), at(noon.Add(-3*day24), trust(Suspect), held("audit"))},
			[]string{"keep: newest; last 1/1", "ignored: suspect", "remove: suspect; suspect older than 1d", "ignored: suspect; held: audit"}},
		{"a suspect newer than all that is trusted", Policy{KeepLast: 1, SuspectAfter: hour}, []Archive{at(noon.Add(-day24), trust(Suspect)), at(noon.Add(-2*day24), trust(Suspect)), at(noon.Add(-3 * day24))},
			[]string{"ignored: suspect; newest", "remove: suspect; suspect older than 1h", "keep: newest; last 1/1"}},
		{"labels", Policy{KeepLast: 1, Labels: map[string]string{"tier": "gold"}}, []Archive{at(noon), at(noon.Add(-hour), label("gold")), at(noon.Add(-2*hour), label("tin")), at(noon.Add(-3*hour), label("gold"))},
			[]string{"keep: label", "keep: newest; last 1/1", "keep: label", "remove: no rule keeps it"}},
		{"what is not verified takes no slot, and stays where it would have one", Policy{KeepDaily: 2, CountLevel: catalog.Content},
			[]Archive{at(noon), at(noon.Add(-hour)), at(noon.Add(-day24), content(old)), at(noon.Add(-2*day24), stored(old)), at(noon.Add(-3*day24), content(old)), at(noon.Add(-4*day24), content(old))},
			[]string{"keep: newest; not counted: unverified; daily 1/2 if counted", "remove: not counted: unverified; no rule keeps it", "keep: newest verified; daily 1/2",
				"remove: not counted: unverified; no rule keeps it", "keep: daily 2/2", "remove: no rule keeps it"}},
		{"level stored counts what is deeper too", Policy{KeepLast: 2, CountLevel: catalog.Stored},
			[]Archive{at(noon, content(old)), at(noon.Add(-hour), stored(old)), at(noon.Add(-2*hour), stored(old))},
			[]string{"keep: newest; newest verified; last 1/2", "keep: last 2/2", "remove: no rule keeps it"}},
		{"a young receipt takes no slot", Policy{KeepLast: 1, CountLevel: catalog.Content},
			[]Archive{at(noon), at(noon.Add(-day24), content(young)), at(noon.Add(-2*day24), content(old))},
			[]string{"keep: newest; not counted: unverified; last 1/1 if counted", "keep: receipt younger than 1h", "keep: newest verified; last 1/1"}},
		{"an earlier cluster id on hold", Policy{KeepLast: 1, PreviousClusterHold: 30 * day24},
			[]Archive{at(noon, of("c2")), at(noon.Add(-20*day24), of("c2")), at(noon.Add(-21 * day24)), at(noon.Add(-22 * day24))},
			[]string{"keep: newest; last 1/1", "remove: no rule keeps it", "keep: newest; last 1/1; previous cluster c1, left alone until 2026-12-03T12:00:00Z", "keep: previous cluster c1, left alone until 2026-12-03T12:00:00Z"}},
		{"an earlier cluster id, its hold over", Policy{KeepLast: 1, PreviousClusterHold: 30 * day24},
			[]Archive{at(noon, of("c2")), at(noon.Add(-30*day24), of("c2")), at(noon.Add(-31 * day24)), at(noon.Add(-32*day24), content(old)), at(noon.Add(-33 * day24))},
			[]string{"keep: newest; last 1/1", "remove: no rule keeps it", "keep: newest; last 1/1", "keep: newest verified", "remove: no rule keeps it"}},
		{"max-count takes the oldest", Policy{KeepDaily: 7, MaxCount: 2}, daily(4),
			[]string{"keep: newest; daily 1/7", "keep: daily 2/7", "remove: daily 3/7; over max-count 2", "remove: daily 4/7; over max-count 2"}},
		{"max-bytes alone is a policy", Policy{MaxBytes: 250}, daily(4),
			[]string{"keep: newest; no rule is set", "keep: no rule is set", "remove: no rule is set; over max-bytes 250", "remove: no rule is set; over max-bytes 250"}},
		{"caps stop at what is bound", Policy{KeepDaily: 7, MaxCount: 1, KeepMin: 2}, []Archive{at(noon), at(noon.Add(-day24)), at(noon.Add(-2 * day24)), at(noon.Add(-3*day24), held("audit")), at(noon.Add(-4*day24), content(old))},
			[]string{"keep: newest; floor 1/2; daily 1/7", "keep: floor 2/2; daily 2/7", "remove: daily 3/7; over max-count 1", "keep: held: audit; daily 4/7", "keep: newest verified; daily 5/7"}},
		{"a young receipt sends no younger archive into a cap", Policy{KeepDaily: 7, MaxCount: 2}, []Archive{at(noon), at(noon.Add(-day24)), at(noon.Add(-2*day24), content(young))},
			[]string{"keep: newest; daily 1/7", "keep: daily 2/7", "keep: daily 3/7; receipt younger than 1h; over max-count 2"}},
		{"a young receipt is not there for a cap", Policy{KeepDaily: 7, MaxCount: 3}, []Archive{at(noon), at(noon.Add(-hour), content(young)), at(noon.Add(-day24)), at(noon.Add(-2 * day24))},
			[]string{"keep: newest; daily 1/7", "keep: receipt younger than 1h", "keep: daily 2/7", "keep: daily 3/7"}},
		{"a receipt of an hour has settled", Policy{KeepLast: 1}, []Archive{at(noon), at(noon.Add(-day24), content(noon.Add(-hour))), at(noon.Add(-2*day24), content(old))},
			[]string{"keep: newest; last 1/1", "keep: newest verified", "remove: no rule keeps it"}},
		{"caps that just hold", Policy{MaxCount: 3, MaxBytes: 300}, daily(3), []string{"keep: newest; no rule is set", "keep: no rule is set", "keep: no rule is set"}},
		{"caps leave alone what is on hold", Policy{KeepLast: 9, MaxCount: 1, PreviousClusterHold: 30 * day24}, []Archive{at(noon, of("c2")), at(noon.Add(-day24)), at(noon.Add(-2 * day24))},
			[]string{"keep: newest; last 1/9", "keep: newest; last 1/9; previous cluster c1, left alone until 2026-12-23T12:00:00Z", "keep: last 2/9; previous cluster c1, left alone until 2026-12-23T12:00:00Z"}},
		{"caps do not count what lacks a label", Policy{MaxCount: 1, SuspectAfter: hour, Labels: map[string]string{"tier": "gold"}},
			[]Archive{at(noon, label("gold")), at(noon.Add(-hour)), at(noon.Add(-day24), trust(Suspect)), at(noon.Add(-2*day24), trust(Suspect), label("gold"))},
			[]string{"keep: newest; no rule is set", "keep: label", "ignored: suspect", "remove: suspect; suspect older than 1h"}},
		{"caps with a label take no other", Policy{MaxCount: 2, Labels: map[string]string{"tier": "gold"}}, []Archive{at(noon, label("gold")), at(noon.Add(-hour), label("gold")), at(noon.Add(-2 * hour))},
			[]string{"keep: newest; no rule is set", "keep: no rule is set", "keep: label"}},
		{"an empty policy keeps all", Policy{}, daily(2), []string{"keep: newest; no rule is set", "keep: no rule is set"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantLines(t, mustMake(t, input(c.policy, c.archives...)), c.want) })
	}
}

// Of two clocks the one counts that removes less.
func TestEachAgeIsToldByTheSaferClock(t *testing.T) {
	minute := time.Minute
	archives := []Archive{
		at(noon, of("c2")), at(noon.Add(-30*day24+minute), of("c2")), // its hold ends in a minute
		at(noon.Add(-day24), of("c2"), func(a *Archive) { a.LockedUntil = noon.Add(minute) }),
		at(noon.Add(-31 * day24)),
		at(noon.Add(-32*day24), func(a *Archive) { a.Holds = []Hold{{"audit", noon.Add(minute)}} }),
		at(noon.Add(-33*day24), content(noon.Add(-hour+minute))),
		at(noon.Add(-34*day24+minute), trust(Suspect)),
		at(noon.Add(-35 * day24)),
	}
	p := Policy{KeepLast: 1, PreviousClusterHold: 30 * day24, SuspectAfter: 34 * day24, StaleAfter: 3 * minute}
	want := func(now, store time.Duration, stale bool, removed int) {
		t.Helper()
		in := input(p, archives...)
		in.Now, in.StoreNow = noon.Add(now), noon.Add(store)
		plan, n := mustMake(t, in), 0
		for _, item := range plan.Archives {
			if item.Verdict == Remove {
				n++
			}
		}
		if n != removed || (plan.Err() != nil) != stale {
			t.Errorf("clocks %s and %s past noon: %d removed, %v, want %d: %q", now, store, n, plan.Err(), removed, lines(plan))
		}
	}
	want(0, 0, false, 1) // the second of c2
	want(0, 4*minute, true, 1)
	want(4*minute, 0, true, 1)
	// All that ended within the minute goes, but the newest of c1, and the newest verified.
	want(2*minute, 2*minute, false, 5)
}

// Kopia keeps the text of each bucket in one map: "2026-01" is a month and a week there, and the
// last archive of week 1 loses its slot.
func TestWeeklyAndMonthlyKeysNeverCollide(t *testing.T) {
	var archives []Archive
	for d := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC); d.Year() == 2026 || d.Month() == 12; d = d.AddDate(0, 0, -1) {
		archives = append(archives, at(d))
	}
	p := mustMake(t, input(Policy{KeepLast: 1, KeepWeekly: 6, KeepMonthly: 12}, archives...))
	for _, item := range p.Archives {
		if item.Time.Format(time.DateOnly) == "2026-01-04" {
			if got := strings.Join(item.Reasons, "; "); item.Verdict != Keep || got != "weekly 5/6" {
				t.Errorf("the last archive of ISO week 1: %s, %q, want it kept by weekly 5/6", item.Verdict, got)
			}
			return
		}
	}
	t.Fatal("no archive of 2026-01-04")
}

// restic keeps the oldest snapshot as long as a rule has counts left, so that the history grows
// to the length that was asked for; once the counts are used up the oldest goes.
func TestTheOldestStaysWhileCountsAreLeft(t *testing.T) {
	for _, c := range []struct {
		days int
		want string
	}{{1, "keep: newest; monthly 1/3"}, {20, "keep: oldest"}, {50, "keep: oldest"}, {55, "keep: monthly 3/3"}, {56, "remove: no rule keeps it"}, {120, "remove: no rule keeps it"}} {
		got := lines(mustMake(t, input(Policy{KeepMonthly: 3}, daily(c.days)...)))
		if got[c.days-1] != c.want {
			t.Errorf("oldest of %d daily archives, 3 months kept: %q, want %q", c.days, got[c.days-1], c.want)
		}
	}
}

// 1 January 2027 is a day of ISO week 53 of 2026; 2024-12-30 is one of week 1 of 2025.
func TestWeeksAreISOWeeks(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{{"2027-01-01", "2026-12-28", true}, {"2027-01-04", "2027-01-03", false}, {"2025-01-05", "2024-12-30", true}, {"2024-12-30", "2024-12-29", false}, {"2024-12-30", "2024-01-01", false}} {
		a, _ := time.Parse(time.DateOnly, c.a)
		b, _ := time.Parse(time.DateOnly, c.b)
		if (week(a, 0) == week(b, 0)) != c.same {
			t.Errorf("%s and %s are in one week: %t, want %t", c.a, c.b, !c.same, c.same)
		}
	}
}

func TestTheCalendarIsThatOfTheLocation(t *testing.T) {
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	// 14:30 and 15:30 in UTC are two days in Tokyo.
	archives := []Archive{at(noon.Add(210 * time.Minute)), at(noon.Add(150 * time.Minute))}
	in := input(Policy{KeepDaily: 2}, append(archives, ago(0, 24*hour)...)...)
	in.Now, in.StoreNow = noon.Add(4*hour), noon.Add(4*hour)
	wantLines(t, mustMake(t, in), []string{"keep: newest; daily 1/2", "remove: no rule keeps it", "remove: no rule keeps it", "keep: daily 2/2"})
	in.Policy.Location = tokyo
	wantLines(t, mustMake(t, in), []string{"keep: newest; daily 1/2", "keep: daily 2/2", "remove: no rule keeps it", "remove: no rule keeps it"})
}

func TestWarningsSayWhatIsMissing(t *testing.T) {
	old, young := noon.Add(-2*hour), noon.Add(-time.Minute)
	for _, c := range []struct {
		name     string
		policy   Policy
		agree    bool
		archives []Archive
		want     string // "" for none
	}{
		{"none verified", Policy{KeepLast: 9}, true, daily(1), "cluster id c1: no archive is verified"},
		{"stored alone", Policy{KeepLast: 9}, true, []Archive{at(noon, stored(old))}, "no archive is verified at level content; 20261123T120000Z-"},
		{"content", Policy{KeepLast: 9}, true, []Archive{at(noon, content(old))}, ""},
		{"by a run's own key alone", Policy{KeepLast: 9}, true, []Archive{at(noon), at(noon.Add(-hour), byRun(old))}, "cluster id c1: no archive was ever opened by a lasting key; 20261123T110000Z-"},
		{"by a run's own key, and by a lasting one, not settled", Policy{KeepLast: 9}, true, []Archive{at(noon, byRun(old)), at(noon.Add(-hour), byRun(old), opened(young))}, ""},
		{"content, not settled", Policy{KeepLast: 9}, true, []Archive{at(noon, content(young))}, ""},
		{"lists that differ", Policy{MaxCount: 1}, false, []Archive{at(noon, content(old)), at(noon.Add(-day24))}, "2 archives of 200 bytes are kept, over max-count 1; the caps remove nothing, since two lists did not agree"},
		{"lists that differ, within the caps", Policy{MaxCount: 2}, false, []Archive{at(noon, content(old)), at(noon.Add(-day24))}, ""},
		{"all bound", Policy{MaxBytes: 1}, true, []Archive{at(noon, content(old))}, "1 archives of 100 bytes are kept, over max-bytes 1; none of them may go"},
	} {
		in := input(c.policy, c.archives...)
		in.ListsAgree = c.agree
		p := mustMake(t, in)
		got := strings.Join(p.Warnings, "\n")
		if !strings.Contains(got, c.want) || (c.want == "") != (got == "") || len(p.Warnings) > 1 {
			t.Errorf("%s: warnings %q, want %q", c.name, got, c.want)
		}
		if ids, _ := p.Removals(); len(ids) > 0 {
			t.Errorf("%s: removes %q", c.name, ids)
		}
	}
}

func TestOnlyRemovesNamedOnesThroughTheInvariants(t *testing.T) {
	old, young := noon.Add(-2*hour), noon.Add(-time.Minute)
	lock := func(a *Archive) { a.LockedUntil = noon.Add(hour) }
	archives := []Archive{
		at(noon),                                 // newest
		at(noon.Add(-1 * hour)),                  // floor 2/2
		at(noon.Add(-2*hour), content(old)),      // newest verified
		at(noon.Add(-3*hour), held("audit")),     // held
		at(noon.Add(-4*hour), lock),              // locked
		at(noon.Add(-5*hour), content(young)),    // a rule's business, not a person's
		at(noon.Add(-6*hour), trust(Suspect)),    // ours
		at(noon.Add(-7*hour), trust(Unreadable)), // not known to be
		at(noon.Add(-8 * hour)),                  // free
		at(noon.Add(-9 * hour)),                  // free, and not named
		at(noon.Add(-100*day24), of("c0")),       // newest of its id
		at(noon.Add(-101*day24), of("c0")),       // its floor
		at(noon.Add(-102*day24), of("c0")),       // free: no hold against a person's word
		at(noon.Add(-103*day24), trust(Suspect)), // not named
	}
	in := input(Policy{KeepLast: 50, KeepMin: 2, MaxCount: 1, PreviousClusterHold: 365 * day24, Labels: map[string]string{"none": "such"}, SuspectAfter: hour}, archives...)
	for i, a := range archives {
		if i != 9 && i != 13 {
			in.Only = append(in.Only, a.ID)
		}
	}
	gone := at(noon.Add(-99 * day24)).ID
	in.Only = append(in.Only, gone)
	p := mustMake(t, in)
	wantLines(t, p, []string{
		"keep: newest; floor 1/2; named", "keep: floor 2/2; named", "keep: newest verified; named", "keep: held: audit; named",
		"retained: named; locked until 2026-11-23T13:00:00Z", "remove: named", "remove: suspect; named", "ignored: manifest is corrupt", "remove: named", "keep: not named",
		"keep: newest; floor 1/2; named", "keep: floor 2/2; named", "remove: named", "ignored: suspect; not named",
	})
	if want := "archive " + string(gone) + " was named and is not there"; !strings.Contains(strings.Join(p.Warnings, "\n"), want) {
		t.Errorf("warnings %q, want %q", p.Warnings, want)
	}
	ids, err := p.Removals()
	if err != nil || len(ids) != 4 || ids[0] != archives[12].ID || ids[3] != archives[5].ID {
		t.Errorf("Removals: %q, %v, want 4, the oldest first", ids, err)
	}
}

func TestHashIsThatOfTheVerdicts(t *testing.T) {
	hash := func(in Input) string { return mustMake(t, in).Hash }
	base := input(Policy{KeepLast: 2}, daily(4)...)
	if got := hash(base); got != "86cbc788fbc443722539b6022097447b044390e1f0ef262052213aef73ba0481" {
		t.Errorf("hash %s: what was written into scripts is no longer understood", got)
	}
	same := input(Policy{KeepLast: 1, KeepMin: 2}, daily(4)...) // other reasons
	if hash(same) != hash(base) {
		t.Error("equal verdicts have other hashes")
	}
	for name, other := range map[string]Input{
		"one removed more": input(Policy{KeepLast: 1}, daily(4)...),
		"one there more":   input(Policy{KeepLast: 2}, daily(5)...),
		"none there":       input(Policy{KeepLast: 2}),
	} {
		if hash(other) == hash(base) {
			t.Errorf("%s has the same hash", name)
		}
	}
}

func TestImpossiblePoliciesAreRefused(t *testing.T) {
	bad := Policy{KeepLast: -2, KeepHourly: -2, KeepDaily: -2, KeepWeekly: -2, KeepMonthly: -2, KeepYearly: -2, KeepWithin: -1, KeepMin: -1,
		MaxCount: -1, MaxBytes: -1, PreviousClusterHold: -1, SuspectAfter: -1, StaleAfter: -1, MaxRemoved: -2, CountLevel: "drill"}
	_, err := Make(input(bad, daily(2)...))
	if !errors.Is(err, ErrPolicy) {
		t.Fatalf("Make: %v, want ErrPolicy", err)
	}
	for _, name := range []string{"keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly", "keep-within", "keep-min",
		"max-count", "max-bytes", "previous-cluster-hold", "suspect-after", "stale-after", "max-removed", "count-level"} {
		if !strings.Contains(err.Error(), name+" ") {
			t.Errorf("%q does not name %s", err, name)
		}
	}
	for _, level := range []catalog.Level{"", Committed, catalog.Stored, catalog.Content} {
		if err := (Policy{CountLevel: level, KeepLast: All, MaxRemoved: All}).Check(); err != nil {
			t.Errorf("count-level %q: %v", level, err)
		}
	}
}

func TestAnArchiveListedTwiceIsRefused(t *testing.T) {
	a := at(noon)
	if _, err := Make(input(Policy{KeepLast: 1}, a, a)); err == nil || !strings.Contains(err.Error(), string(a.ID)) {
		t.Errorf("Make of an archive twice: %v, want an error that names it", err)
	}
}

// The exception that the package comment names: who does not see the next cluster id does not
// know of the hold. It removes what every prune before the next id's first archive removed.
func TestAListWithoutTheNextClusterIDKnowsNoHold(t *testing.T) {
	archives := append(daily(3), at(noon, of("c2")))
	p := Policy{KeepLast: 1, PreviousClusterHold: 30 * day24}
	full, _ := mustMake(t, input(p, archives...)).Removals()
	part, _ := mustMake(t, input(p, archives[:3]...)).Removals()
	if len(full) != 0 || len(part) != 2 {
		t.Errorf("removals: %q of all, %q of a part, want none and 2", full, part)
	}
}

func TestSpansAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{hour: "1h", 90 * time.Minute: "1h30m", 30 * day24: "30d", 36 * hour: "36h", 5 * time.Minute: "5m",
		61 * time.Second: "1m1s", hour + time.Second: "1h0m1s", 0: "0s", 10 * time.Second: "10s", 10 * hour: "10h", 10 * time.Minute: "10m"} {
		if got := span(d); got != want {
			t.Errorf("span(%s) = %q, want %q", d, got, want)
		}
	}
}
