package plan

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEachRailRefusesWithObjectAndNumbers(t *testing.T) {
	newest := at(noon)
	keys := func(n int64) func(*Archive) { return func(a *Archive) { a.Keys = n } }
	accepted := func(a *Archive) { a.Accepted = true }
	corrupt := func(a *Archive) { a.Corrupt = true }
	gaps := ago(4*hour, 5*hour, 6*hour, 7*hour) // an hour apart, the newest 4 h old
	var thinned []Archive                       // 21 an hour apart, and 40 days before
	for i := range 21 {
		thinned = append(thinned, ago(time.Duration(4+i)*hour)...)
	}
	for i := range 40 {
		thinned = append(thinned, ago(time.Duration(2+i)*day24)...)
	}
	plain := Policy{KeepLast: 3, MaxRemoved: All}
	older := slices.Clip(daily(12)[1:])
	for _, c := range []struct {
		name   string
		in     Input
		change func(*Input)
		rail   error // nil: none trips
		text   string
	}{
		{"a sound store", input(plain, daily(5)...), nil, nil, ""},
		{"no archive at all", input(plain), nil, nil, ""},

		{"empty policy", input(Policy{KeepMin: 3}, daily(5)...), nil, ErrEmptyPolicy, "policy for 5 archives is empty"},
		{"empty, but a person named one", input(Policy{}, daily(5)...), func(in *Input) { in.Only = append(in.Only, in.Archives[4].ID) }, nil, ""},

		{"a cap is a policy", input(Policy{MaxCount: 9}, daily(5)...), nil, nil, ""},
		{"a cap on bytes is a policy", input(Policy{MaxBytes: 9000}, daily(5)...), nil, nil, ""},

		{"nothing kept", input(Policy{KeepLast: 1, SuspectAfter: hour}, at(noon, trust(Suspect)), at(noon.Add(-day24), trust(Suspect))), nil, ErrNothingKept,
			"plan removes 1 of 2 archives and keeps none that is trusted"},
		{"nothing there to keep, nothing removed", input(Policy{KeepLast: 1}, at(noon, trust(Suspect))), nil, nil, ""},

		{"stale by the usual gap", input(plain, gaps...), nil, ErrStale, "newest archive " + string(gaps[0].ID) + " is 4h old, more than 3h (3 times the usual gap, at least 1h)"},
		{"stale, accepted", input(plain, append(gaps[1:], at(noon.Add(-4*hour), accepted))...), nil, ErrStale, "is 4h old"},
		{"not stale by 3 times the gap", input(plain, gaps...), func(in *Input) { in.Now, in.StoreNow = noon.Add(-hour), noon.Add(-hour) }, nil, ""},
		{"stale by setting", input(Policy{KeepLast: 3, StaleAfter: hour}, gaps...), nil, ErrStale, "more than 1h"},
		{"not stale by setting", input(Policy{KeepLast: 3, StaleAfter: 4 * hour}, gaps...), nil, nil, ""},
		{"one archive has no gap", input(plain, gaps[0]), nil, nil, ""},
		{"gaps of seconds", input(plain, ago(hour, hour+time.Second, hour+2*time.Second)...), nil, nil, ""},
		{"gaps of seconds, an hour ago", input(plain, ago(hour+time.Minute, hour+2*time.Minute, hour+3*time.Minute)...), nil, ErrStale, "1h1m old, more than 1h ("},
		{"the usual gap is that of the newest", input(plain, thinned...), nil, ErrStale, "is 4h old, more than 3h ("},
		{"stale, of another cluster id", input(plain, append(ago(day24, day24+hour, day24+2*hour), at(noon, of("c2")), at(noon.Add(-hour), of("c2")))...), nil, nil, ""},
		{"only suspects come", input(plain, append(gaps[:len(gaps):len(gaps)], at(noon, trust(Suspect)))...), nil, ErrStale, "4h old"},
		{"what is left alone for a label is no fault", input(Policy{KeepLast: 1, Labels: map[string]string{"a": "b"}}, daily(3)...), nil, nil, ""},

		{"too many by default", input(Policy{KeepLast: 5}, daily(11)...), nil, ErrTooMany, "plan removes 6 of 11 archives, more than 5"},
		{"half", input(Policy{KeepLast: 6}, daily(11)...), nil, nil, ""},
		{"ten may go", input(Policy{KeepLast: 1}, daily(10)...), nil, nil, ""},
		{"too many by setting", input(Policy{KeepLast: 1, MaxRemoved: 3}, daily(5)...), nil, ErrTooMany, "plan removes 4 of 5 archives, more than 3"},
		{"no limit", input(Policy{KeepLast: 1, MaxRemoved: All}, daily(50)...), nil, nil, ""},
		{"what is not the policy's does not count", input(Policy{KeepLast: 5}, append(daily(11), at(noon.Add(-hour), trust(Format)), at(noon.Add(-2*hour), trust(Suspect)))...), nil, ErrTooMany, "6 of 11"},

		{"skew", input(plain, daily(3)...), func(in *Input) { in.StoreNow = noon.Add(5*time.Minute + time.Second) }, ErrSkew,
			"clock 2026-11-23T12:00:00Z and the store's 2026-11-23T12:05:01Z are 5m1s apart, more than 5m"},
		{"skew backwards", input(plain, daily(3)[1:]...), func(in *Input) { in.StoreNow = noon.Add(-6 * time.Minute) }, ErrSkew, "6m apart"},
		{"skew of five minutes", input(plain, daily(3)...), func(in *Input) { in.StoreNow = noon.Add(5 * time.Minute) }, nil, ""},
		{"the store's clock is not known", input(plain, daily(3)...), func(in *Input) { in.StoreNow = time.Time{} }, ErrSkew, "not known"},

		{"collapsed", input(plain, append(older, at(noon, keys(499)))...), nil, ErrCollapsed, "newest archive " + string(newest.ID) + " has 499 keys, the 10 before it 1000 in the median"},
		{"half the keys", input(plain, append(older, at(noon, keys(500)))...), nil, nil, ""},
		{"collapsed, accepted", input(plain, append(older, at(noon, keys(1), accepted))...), nil, nil, ""},
		{"a suspect collapsed", input(plain, append(older, at(noon, keys(1), trust(Suspect)))...), nil, ErrCollapsed, "1 keys"},
		{"an accepted one is the measure", input(plain, append(slices.Clip(older[1:]), at(noon.Add(-hour), keys(4), accepted), at(noon, keys(3)))...), nil, nil, ""},
		{"an accepted one is the measure, and it collapsed", input(plain, append(slices.Clip(older[1:]), at(noon.Add(-hour), keys(40), accepted), at(noon, keys(3)))...), nil, ErrCollapsed, "the 1 before it 40"},
		{"keys not known", input(plain, append(older, at(noon, keys(-1)))...), nil, nil, ""},
		{"keys not known before", input(plain, at(noon, keys(0)), at(noon.Add(-hour), keys(-1))), nil, nil, ""},

		{"a suspect collapsed, accepted", input(plain, append(older, at(noon, keys(1), trust(Suspect), accepted))...), nil, nil, ""},
		{"keys mostly not known", input(plain, at(noon, keys(9)), at(noon.Add(-hour), keys(-1)), at(noon.Add(-2*hour), keys(-1)), at(noon.Add(-3*hour))), nil, ErrCollapsed, "the 1 before it 1000"},

		{"alarm", input(plain, append(older, at(noon, corrupt))...), nil, ErrAlarm, "newest archive " + string(newest.ID) + " notes the alarm CORRUPT"},
		{"alarm, as snapshot marks it", input(plain, append(older, at(noon, corrupt, trust(Suspect)))...), nil, ErrAlarm, "newest archive"},
		{"alarm, accepted", input(plain, append(older, at(noon, corrupt, accepted))...), nil, nil, ""},
		{"alarm of an older one", input(plain, append(slices.Clip(older[1:]), at(noon), at(older[0].Time, corrupt))...), nil, nil, ""},
		{"alarm of one that is not believed", input(plain, append(older, at(noon, corrupt, trust(Signature)))...), nil, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.change != nil {
				c.change(&c.in)
			}
			p := mustMake(t, c.in)
			ids, err := p.Removals()
			if c.rail == nil {
				if err != nil || p.Err() != nil || len(p.Refusals) != 0 {
					t.Errorf("refused: %v, want no refusal", err)
				}
				return
			}
			if len(p.Refusals) != 1 || !errors.Is(err, c.rail) || !errors.Is(p.Err(), c.rail) || ids != nil {
				t.Fatalf("Removals: %q, %v, %d refusals, want none and %v alone", ids, err, len(p.Refusals), c.rail)
			}
			if !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
				t.Errorf("refusal %q, want %q on one line", err, c.text)
			}
		})
	}
}

func TestSeveralRailsAreOneLine(t *testing.T) {
	in := input(Policy{}, at(noon, func(a *Archive) { a.Corrupt = true }))
	in.StoreNow = noon.Add(hour)
	p := mustMake(t, in)
	err := p.Err()
	if !errors.Is(err, ErrEmptyPolicy) || !errors.Is(err, ErrSkew) || !errors.Is(err, ErrAlarm) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Err: %v, want three refusals on one line", err)
	}
	text, _ := json.Marshal(p)
	if !strings.Contains(string(text), `"refusals":[{"rail":"empty-policy","text":"policy for 1 archives is empty"}`) {
		t.Errorf("JSON %s tells no refusal", text)
	}
}
