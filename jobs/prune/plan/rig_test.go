package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// noon is a Monday's.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	hour  = time.Hour
	day24 = 24 * time.Hour
)

// at is a trusted archive of cluster id c1; how changes it.
func at(when time.Time, how ...func(*Archive)) Archive {
	a := Archive{Cluster: "c1", Time: when, Written: when, Bytes: 100, Keys: 1000, Trust: Trusted}
	for _, h := range how {
		h(&a)
	}
	a.ID = catalog.ID(fmt.Sprintf("%s-%016x-%08x", when.UTC().Format("20060102T150405Z"), when.UnixNano(), len(a.Cluster)+int(a.Cluster[len(a.Cluster)-1])))
	return a
}

func held(reason string) func(*Archive) {
	return func(a *Archive) { a.Holds = append(a.Holds, Hold{Reason: reason}) }
}

func trust(t Trust) func(*Archive) { return func(a *Archive) { a.Trust = t } }
func of(cluster string) func(*Archive) {
	return func(a *Archive) { a.Cluster = cluster }
}
func content(when time.Time) func(*Archive) {
	return func(a *Archive) { a.Stored, a.Content, a.Opened = when, when, when }
}

// byRun is verified by the key of the run that sealed it.
func byRun(when time.Time) func(*Archive) {
	return func(a *Archive) { a.Stored, a.Content = when, when }
}
func opened(when time.Time) func(*Archive) { return func(a *Archive) { a.Opened = when } }
func stored(when time.Time) func(*Archive) { return func(a *Archive) { a.Stored = when } }

// ago are archives so long before noon.
func ago(ages ...time.Duration) []Archive {
	var out []Archive
	for _, age := range ages {
		out = append(out, at(noon.Add(-age)))
	}
	return out
}

// daily are n archives, a day apart, the newest at noon.
func daily(n int) []Archive {
	var out []Archive
	for i := range n {
		out = append(out, at(noon.Add(-time.Duration(i)*day24)))
	}
	return out
}

func input(p Policy, archives ...Archive) Input {
	return Input{Archives: archives, Policy: p, Now: noon, StoreNow: noon, ListsAgree: true}
}

func mustMake(t interface {
	Helper()
	Fatalf(string, ...any)
}, in Input) Plan {
	t.Helper()
	p, err := Make(in)
	if err != nil {
		t.Fatalf("Make: %v", err)
	}
	return p
}

// lines are a plan's verdicts as a table test writes them: "keep: newest; daily 1/7".
func lines(p Plan) []string {
	var out []string
	for _, item := range p.Archives {
		out = append(out, string(item.Verdict)+": "+strings.Join(item.Reasons, "; "))
	}
	return out
}

func wantLines(t *testing.T, p Plan, want []string) {
	t.Helper()
	got := lines(p)
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("archive %d:\n got %q\nwant %q", i, g, w)
		}
	}
}
