package rule

import (
	"errors"
	"strings"
	"testing"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

func compile(t testing.TB, text string) Rule {
	t.Helper()
	r, err := Compile(text)
	if err != nil {
		t.Fatalf("Compile(%q): %v", text, err)
	}
	return r
}

func TestDefaultRuleAtItsBounds(t *testing.T) {
	r := compile(t, Default)
	for _, c := range []struct {
		name string
		n    Numbers
		want bool
	}{
		{"49 % in use", Numbers{1000 * mib, 490 * mib, 100 * gib}, true},
		{"50 % in use", Numbers{1000 * mib, 500 * mib, 100 * gib}, true},
		{"51 % in use", Numbers{1000 * mib, 510 * mib, 100 * gib}, false},
		{"one byte less than half free", Numbers{1000 * mib, 500*mib + 1, 100 * gib}, false},
		{"half of the quota", Numbers{gib, 800 * mib, 2 * gib}, true},
		{"a byte less than half of the quota", Numbers{gib - 1, 800 * mib, 2 * gib}, false},
		{"half of an odd quota", Numbers{gib, 800 * mib, 2*gib + 1}, false},
		{"100 MiB free", Numbers{150 * mib, 50 * mib, 2 * gib}, true},
		{"a byte less than 100 MiB free", Numbers{150 * mib, 50*mib + 1, 2 * gib}, false},
		{"full, and nothing to gain", Numbers{2 * gib, 2 * gib, 2 * gib}, false},
		{"OpenShift's sample, 104 MB with 41 in use", Numbers{104 * mib, 41 * mib, 8 * gib}, false},
		{"in use a moment newer than the size", Numbers{100 * mib, 101 * mib, 150 * mib}, false},
	} {
		got, err := r.Decide(c.n)
		if err != nil || got != c.want {
			t.Errorf("%s: Decide(%+v) = %t, %v, want %t", c.name, c.n, got, err, c.want)
		}
	}
}

// TestRulesOfEtcdDefrag has each rule that stands in ahrtr/etcd-defrag's documents and tests,
// its first README to its last, with what that project says comes of it.
func TestRulesOfEtcdDefrag(t *testing.T) {
	for _, c := range []struct {
		where, rule string
		yes, no     Numbers
	}{
		{"README, or", `dbSize > dbQuota*80/100 || dbSize - dbSizeInUse > 200*1024*1024`,
			Numbers{gib, 800 * mib, 2 * gib}, Numbers{gib, 824 * mib, 2 * gib}},
		{"README, or, by quota alone", `dbSize > dbQuota*80/100 || dbSize - dbSizeInUse > 200*1024*1024`,
			Numbers{81, 81, 100}, Numbers{80, 80, 100}},
		{"README, and", `dbSize > dbQuota*80/100 && dbSize - dbSizeInUse > 200*1024*1024`,
			Numbers{1900 * mib, 1000 * mib, 2 * gib}, Numbers{1900 * mib, 1800 * mib, 2 * gib}},
		{"README, by derived names", `dbQuotaUsage > 0.8 || dbSizeFree > 200*1024*1024`,
			Numbers{81, 81, 100}, Numbers{80, 80, 100}},
		{"CronJob", `dbQuotaUsage > 0.8 || dbSize - dbSizeInUse > 200*1024*1024`,
			Numbers{gib, 823 * mib, 2 * gib}, Numbers{gib, 824 * mib, 2 * gib}},
		{"first README's output", `dbSize*80/100 > dbQuota || dbSize - dbSizeInUse > 200*1024*1024`,
			Numbers{126, 1, 100}, Numbers{125, 1, 100}},
		{"tests", `dbSize > dbQuota*80/100`, Numbers{81, 1, 100}, Numbers{79, 1, 100}},
		{"tests", `dbSize - dbSizeInUse > 200*1024*1024`, Numbers{gib, 1, 0}, Numbers{gib, gib, 0}},
		{"tests", `dbSize - dbSizeInUse > 200`, Numbers{301, 100, 0}, Numbers{299, 100, 0}},
		{"tests", `dbSizeFree > 200`, Numbers{301, 100, 0}, Numbers{299, 100, 0}},
		{"tests", `dbSizeFree > 100`, Numbers{301, 100, 0}, Numbers{200, 100, 0}},
		{"tests", `(dbSize > dbQuota*80/100) || (dbSize - dbSizeInUse > 200*1024*1024)`, Numbers{81, 1, 100}, Numbers{79, 1, 100}},
		{"tests", `dbQuotaUsage > 0.3`, Numbers{31, 1, 100}, Numbers{30, 1, 100}},
		{"tests", `dbQuotaUsage > 0.8`, Numbers{81, 1, 100}, Numbers{79, 1, 100}},
		{"tests", `dbSize > dbQuota*80/100 && dbSize - dbSizeInUse > 200`, Numbers{801, 600, 1000}, Numbers{81, 60, 100}},
		{"tests", `dbSize > dbQuota*80/100 || dbSize - dbSizeInUse > 200`, Numbers{81, 60, 100}, Numbers{79, 60, 100}},
		{"tests", `dbQuotaUsage > 0.8 && dbSizeFree > 200`, Numbers{801, 600, 1000}, Numbers{801, 601, 1000}},
		{"tests", `dbQuotaUsage > 0.8 || dbSizeFree > 200`, Numbers{81, 60, 100}, Numbers{79, 60, 100}},
		{"tests, not rounded to 0", `dbSizeInUse / dbSize < 0.5`, Numbers{81, 40, 0}, Numbers{81, 60, 0}},
		{"README, %", `dbSize % 1024 == 0`, Numbers{2048, 1, 0}, Numbers{2049, 1, 0}},
		{"README, ! and !=", `!(dbSize != 3)`, Numbers{3, 1, 0}, Numbers{4, 1, 0}},
		{"README, <=", `dbSize <= dbSizeInUse * 2`, Numbers{4, 2, 0}, Numbers{5, 2, 0}},
	} {
		r := compile(t, c.rule)
		if got, err := r.Decide(c.yes); err != nil || !got {
			t.Errorf("%s, %q: Decide(%+v) = %t, %v, want yes", c.where, c.rule, c.yes, got, err)
		}
		if got, err := r.Decide(c.no); err != nil || got {
			t.Errorf("%s, %q: Decide(%+v) = %t, %v, want no", c.where, c.rule, c.no, got, err)
		}
	}
}

func TestNumbersMixFreely(t *testing.T) {
	n := Numbers{Size: 3 * gib, InUse: gib, Quota: 4 * gib}
	for text, want := range map[string]bool{
		`dbSizeFree >= 100*1024*1024`:                           true,
		`dbSize > 3`:                                            true,
		`dbQuotaUsage*100 > 80`:                                 false,
		`dbQuotaUsage*100 == 75.0`:                              true,
		`3 > 2.5 && 2.5 < 3u && 0x10 == 16`:                     true,
		`100*1024*1024*1024*1024*1024*1024 > dbSize`:            true,
		`dbSize > 9223372036854775807`:                          false,
		`5 / 2 == 2.5`:                                          true,
		`-dbSize < -1 && - -1 == 1`:                             true,
		`7 % 4 == 3 && 7.5 % 2 == 1.5`:                          true,
		`dbQuotaUsage > 80/100`:                                 false,
		`fragmentation > 0.6 ? dbQuotaUsage > 0.7 : false`:      true,
		`dbSize > (fragmentation > 0.9 ? 1 : 5*1024*1024*1024)`: false,
		`(dbSize > 1) == true && (dbSize > 1) != (1 > dbSize)`:  true,
		"dbSize > 1 // bytes\n  && dbSizeInUse > 1":             true,
		`true`:  true,
		`false`: false,
	} {
		got, err := compile(t, text).Decide(n)
		if err != nil || got != want {
			t.Errorf("Decide(%q) = %t, %v, want %t", text, got, err, want)
		}
	}
}

func TestUndecidedIsNeverAYes(t *testing.T) {
	all := Numbers{Size: gib, InUse: gib / 4, Quota: 2 * gib}
	for _, c := range []struct {
		name, rule string
		n          Numbers
	}{
		{"no quota", Default, Numbers{gib, gib / 4, 0}},
		{"no quota, which would not matter", `dbSize > 1 || dbQuota > 1`, Numbers{gib, gib / 4, 0}},
		{"no quota, in a branch not taken", `true ? dbSize > 1 : dbQuotaUsage > 0.8`, Numbers{gib, gib / 4, 0}},
		{"a negative quota", `dbQuota < 1`, Numbers{gib, gib / 4, -1}},
		{"no size", `dbSize < 1`, Numbers{0, 0, 2 * gib}},
		{"no size", `fragmentation >= 0`, Numbers{0, 0, 2 * gib}},
		{"an etcd that does not tell what is in use", Default, Numbers{gib, 0, 2 * gib}},
		{"nothing known", Default, Numbers{}},
		{"by zero", `dbSize / 0 > 1`, all},
		{"by minus zero", `dbSize / -0.0 < 1`, all},
		{"by a difference of zero", `1 / (dbSize - dbSize) >= 1`, all},
		{"zero by zero", `0/0 == 0/0`, all},
		{"a NaN that is not equal", `0/0 != 1`, all},
		{"remainder by zero", `dbSize % 0 == 0`, all},
		{"overflow", `dbSize * 1e308 > 1`, all},
		{"overflow the other way", `dbSize * -1e308 < 1`, all},
		{"overflow by addition", `1e308 + 1e308 > 1`, all},
		{"infinity less infinity", `1e308*10 - 1e308*10 == 0`, all},
		{"before an or that is true", `1/0 > 1 || true`, all},
		{"after an or that is true", `true || 1/0 > 1`, all},
		{"before an and that is false", `!(1/0 > 1 && false)`, all},
		{"after an and that is false", `!(false && 1/0 > 1)`, all},
		{"in the branch not taken", `dbSize > 1 ? true : 1/0 > 1`, all},
		{"in the other branch not taken", `dbSize < 1 ? 1/0 > 1 : true`, all},
		{"in a branch within a branch", `true ? (true ? true : 1/0 > 1) : true`, all},
		{"in the condition", `1/0 > 1 ? true : true`, all},
		{"of numbers that are not used", `(true ? 1 : 1/0) > 0`, all},
		{"behind a guard", `dbSize == 1 || dbSize/(dbSize - dbSize) > 2 || true`, all},
		{"an infinity that is divided away", `1 / (1/0) == 0`, all},
	} {
		got, err := compile(t, c.rule).Decide(c.n)
		if got || !errors.Is(err, ErrUndecided) {
			t.Errorf("%s: Decide(%q) = %t, %v, want %v", c.name, c.rule, got, err, ErrUndecided)
		} else if !strings.Contains(err.Error(), c.rule) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line that names the rule", c.name, err)
		}
	}
	if got, err := (Rule{}).Decide(all); got || !errors.Is(err, ErrUndecided) {
		t.Errorf("the zero Rule decides %t, %v", got, err)
	}
}

func TestUndecidedSaysWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		rule, want string
		n          Numbers
	}{
		{`dbQuotaUsage > 0.8`, "dbQuotaUsage is unknown", Numbers{gib, gib, 0}},
		{`fragmentation > 0.8`, "fragmentation is unknown", Numbers{gib, 0, gib}},
		{`dbSize / 0 > 1`, "divide of 3 and 0 is no number", Numbers{3, 1, 0}},
		{`dbSize % (dbSize - dbSize) > 1`, "modulo of 3 and 0 is no number", Numbers{3, 1, 0}},
	} {
		_, err := compile(t, c.rule).Decide(c.n)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Decide(%q): %v, want %q in it", c.rule, err, c.want)
		}
	}
}

// TestAnUnknownQuotaMattersOnlyToWhoAsksForIt, and so with the other sizes.
func TestAnUnknownQuotaMattersOnlyToWhoAsksForIt(t *testing.T) {
	for text, n := range map[string]Numbers{
		`fragmentation > 0.5 && dbSizeFree > 3`: {Size: gib, InUse: 1},
		`dbQuotaUsage > 0.3 && dbSize > 3`:      {Size: gib, Quota: gib},
		`dbQuota > 3`:                           {Quota: gib},
	} {
		if got, err := compile(t, text).Decide(n); err != nil || !got {
			t.Errorf("Decide(%q) = %t, %v, want yes", text, got, err)
		}
	}
}

func TestRuleIsRefusedWithWhatWorks(t *testing.T) {
	for _, c := range []struct{ text, where, instead string }{
		// What etcd-defrag's documents have, and this has not.
		{``, "it is empty", "the rule true"},
		{" \n\t", "it is empty", "the rule true"},
		{`dbSize > dbQuota*80/100, dbSize - dbSizeInUse > 200*1024*1024`, "column 24", "joined by ||"},
		{`dbSize - dbSizeInUse`, "it yields a number", "compare it"},
		{`dbSizE > 100`, "column 1: unknown name dbSizE", "it is spelled dbSize"},

		{`quota > 1`, "column 1: unknown name quota", "the names are dbSize, dbSizeInUse, dbSizeFree, fragmentation, dbQuota and dbQuotaUsage"},
		{`dbSize > 1 && free > 2`, "column 15: unknown name free", "the names are"},
		{`dbSizeFree > 100MiB`, "column 17", "100*1024*1024"},
		{`dbSizeFree > 100Mi || dbQuotaUsage > 0.8`, "column 17", "100*1024*1024"},
		{`dbSizeFree > 1 GB`, "column 16", "100*1024*1024"},
		{`dbQuotaUsage > 80%`, "column 19", "0.8"},
		{`dbQuotaUsage > 80% && dbSize > 1`, "column 20", "0.8"},
		{`dbSize > 1 and dbSize < 2`, "column 12", "&&"},
		{`not (dbSize > 1)`, "column 5: a call of not", "!"},
		{`dbSize = 1`, "column 8", "=="},
		{`dbSize > 200<<20`, "column 14", "200*1024*1024"},
		{`dbSize > 1 & dbSize > 2`, "column 12", "&&"},
		{`dbSize > 1 | dbSize > 2`, "column 12", "||"},
		{`dbSize > 1_000`, "column 11", "without _"},
		{`dbSize > 99999999999999999999`, "column 10", "1e20"},
		{`dbSize > 1e999`, "column 10", ""},
		{`1 < dbSize < 3`, "column 12: < does not go with a condition and a number", "&&"},
		{`dbQuotaUsage && dbSize > 1`, "column 14: && does not go with a number and a condition", "compared first"},
		{`!dbSize`, "column 1: ! does not go with a number", "compared first"},
		{`dbSize > true`, "column 8: > does not go with a number and a condition", ""},
		{`dbSize == true`, "column 8: == does not go with a number and a condition", ""},
		{`dbSize ? true : false`, "?: does not go with a number and a condition and a condition", ""},
		{`true + 1 > 2`, "column 6: + does not go with a condition and a number", ""},
		{`dbSize > "3"`, "column 10: a text", "numbers"},
		{`"dbSize" == "dbSize"`, "column 1: a text", "numbers"},
		{`dbSize > null`, "column 10: a text", "numbers"},
		{`size(dbSize) > 1`, "column 5: a call of size", "no functions"},
		{`int(dbSize) > 1`, "a call", "no functions"},
		{`dbSize.size() > 1`, "a call", "no functions"},
		{`dbSize.free > 1`, "a field", "the names"},
		{`dbSize in dbSizeFree`, "column 8: a call of in", "no functions"},
		{`dbSize[1] > 1`, "column 7: a call of _[_]", "no functions"},
		{`dbSize in [1, 2]`, "a list", "the names"},
		{`[1] == [1]`, "a list", "the names"},
		{`{1: 2} == {1: 2}`, "a map", "the names"},
		{`[1].exists(x, x > 0)`, "a list", "the names"},
		{`has(dbSize.x)`, "", ""},
		{`dbSize >`, "column 9", ""},
		{`(dbSize > 1`, "column 12", ""},
		{"dbSize > 1 &&\n  dbsize > 2", "line 2, column 3: unknown name dbsize", "dbSize"},
		{`dbSize > 1; dbSize > 2`, "column 11", ""},
		{"dbSize > \xff", "not UTF-8", ""},
		{strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300), `)": expression recursion limit`, ""},
		{"true" + strings.Repeat("||true", 1000), "6004 bytes, more than 4096", ""},
	} {
		_, err := Compile(c.text)
		switch {
		case !errors.Is(err, ErrRule):
			t.Errorf("Compile(%q): %v, want %v", c.text, err, ErrRule)
		case !strings.Contains(err.Error(), c.where) || !strings.Contains(err.Error(), c.instead):
			t.Errorf("Compile(%q):\n%v\nwant %q and %q in it", c.text, err, c.where, c.instead)
		case strings.ContainsAny(err.Error(), "\n\r"):
			t.Errorf("Compile(%q) tells its fault on several lines: %q", c.text, err)
		}
	}
}

func TestExplainGivesTheNumbersThatDecided(t *testing.T) {
	for _, c := range []struct {
		rule string
		n    Numbers
		want string
	}{
		{Default, Numbers{104 * mib, 41 * mib, 2 * gib}, "dbSizeFree=63 MiB fragmentation=0.605 dbQuotaUsage=0.05"},
		{Default, Numbers{1000 * mib, 500*mib + 1, 0}, "dbSizeFree=499.9 MiB fragmentation=0.499 dbQuotaUsage=unknown"},
		{Default, Numbers{1000 * mib, 450 * mib, gib + 24*mib}, "dbSizeFree=550 MiB fragmentation=0.55 dbQuotaUsage=0.954"},
		{`dbSize > dbQuota*80/100`, Numbers{24576, 1, 2 * gib}, "dbSize=24 KiB dbQuota=2048 MiB"},
		{`dbSizeInUse > 1`, Numbers{}, "dbSizeInUse=unknown"},
		{`dbSize > 1`, Numbers{Size: 100}, "dbSize=0 KiB"},
		{`fragmentation > 0 && dbSizeFree > 0`, Numbers{100 * mib, 101 * mib, 0}, "dbSizeFree=0 KiB fragmentation=0"},
		{`true`, Numbers{}, ""},
	} {
		if got := compile(t, c.rule).Explain(c.n); got != c.want {
			t.Errorf("Explain(%q, %+v) = %q, want %q", c.rule, c.n, got, c.want)
		}
	}
}

func TestUses(t *testing.T) {
	r := compile(t, Default)
	for name, want := range map[string]bool{
		"fragmentation": true, "dbQuotaUsage": true, "dbSizeFree": true,
		"dbQuota": false, "dbSize": false, "": false,
	} {
		if got := r.Uses(name); got != want {
			t.Errorf("Uses(%q) = %t, want %t", name, got, want)
		}
	}
	if !r.Uses("dbQuota", "dbQuotaUsage") || r.Uses("dbQuota", "dbSize") || r.Uses() {
		t.Error("Uses of several names says not whether one of them is used")
	}
	if r.Text() != Default {
		t.Errorf("Text() = %q, want what was compiled", r.Text())
	}
}
