package etcd

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what documents take from the code")

// TestReadmeHasEveryTrouble, each with a link to where it is told of upstream.
func TestReadmeHasEveryTrouble(t *testing.T) {
	t.Parallel()
	const (
		name  = "../../README.md"
		begin = "<!-- made by go test ./jobs/etcd -run Readme -update -->\n"
		end   = "<!-- end of versions -->\n"
	)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, opens := strings.Cut(string(text), begin)
	_, after, closes := strings.Cut(rest, end)
	if !opens || !closes {
		t.Fatalf("%s has no place for the table of versions", name)
	}
	want := before + begin + troublesTable() + end + after
	switch {
	case *update:
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	case want != string(text):
		t.Errorf("%s has another table of versions than the code: go test ./jobs/etcd -run Readme -update", name)
	}
}

func troublesTable() string {
	issue := regexp.MustCompile(`#(\d+)`)
	var b strings.Builder
	b.WriteString("| etcd from | before | what happens | defrag | upstream |\n|---|---|---|---|---|\n")
	for _, row := range troubles {
		does := "asks the member's metrics, or `--quota`"
		if row.Refuses() {
			does = "refuses (13), unless `--force`"
		}
		link := issue.ReplaceAllString(row.Issue, "[#$1](https://github.com/etcd-io/etcd/pull/$1)")
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", cmp.Or(row.From, "any"), row.Before, row.What, does, link)
	}
	return b.String()
}

// TestKnownTroublesOfAVersion stands at both borders of each row of the table: the last version
// that is refused, and the first that is allowed.
func TestKnownTroublesOfAVersion(t *testing.T) {
	t.Parallel()
	const crash, snap35, snap36, quota, mid = "#18810, #18842", "#20653", "#20650", "#20790", "#14733"
	for version, want := range map[string][]string{
		"3.4.34":             {mid, crash, snap35},
		"3.5.0":              {mid, crash, snap35},
		"3.5.5":              {mid, crash, snap35},
		"3.5.6-rc.0":         {mid, crash, snap35},
		"3.5.6":              {crash, snap35},
		"3.5.16":             {crash, snap35},
		"3.5.17":             {snap35},
		"3.5.22":             {snap35},
		"v3.5.22+vendor.1":   {snap35},
		"3.5.23":             nil,
		"3.5.23-k3s1":        nil,
		"3.5.35":             nil,
		"3.6.0-alpha.0":      {snap36, quota},
		"3.6.0-rc.5":         {snap36, quota},
		"3.6.0":              {snap36, quota},
		"3.6.4":              {snap36, quota},
		"3.6.5-rc.1":         {snap36, quota},
		"3.6.5":              {quota},
		"3.6.6":              nil,
		"3.6.16":             nil,
		"3.7.0-alpha.0":      nil,
		"3.7.3":              nil,
		"4.0.0":              nil,
		"":                   {mid, crash, snap35, snap36, quota},
		"3.5":                {mid, crash, snap35, snap36, quota},
		"3.6.0.1":            {mid, crash, snap35, snap36, quota},
		"3.x.1":              {mid, crash, snap35, snap36, quota},
		"not to be read":     {mid, crash, snap35, snap36, quota},
		"3.5.99999999999999": {mid, crash, snap35, snap36, quota},
	} {
		var got []string
		refused := false
		for _, trouble := range Known(version) {
			got = append(got, trouble.Issue)
			refused = refused || trouble.Refuses()
			if !strings.Contains(trouble.String(), trouble.Issue) || !strings.Contains(trouble.String(), trouble.Before) {
				t.Errorf("%q names neither its issue nor the cure", trouble)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("Known(%q) = %q, want %q", version, got, want)
		}
		if refuse := len(want) > 0 && !slices.Equal(want, []string{quota}); refused != refuse {
			t.Errorf("etcd %q is refused: %v, want %v", version, refused, refuse)
		}
	}
}

// TestEveryRowOfTheTableIsAtABorder, so that a new one gets its test.
func TestEveryRowOfTheTableIsAtABorder(t *testing.T) {
	t.Parallel()
	for _, row := range troubles {
		v, ok := parseVersion(row.Before)
		if !ok || v[2] == 0 {
			t.Fatalf("%s: %q is no patch version", row.Issue, row.Before)
		}
		if slices.ContainsFunc(Known(row.Before), func(o Trouble) bool { return o.Issue == row.Issue }) {
			t.Errorf("%s is known of %s, which is rid of it", row.Issue, row.Before)
		}
		if row.From != "" {
			if !slices.Contains(Known(row.From), row) {
				t.Errorf("%s is not known of %s, which was the first to have it", row.Issue, row.From)
			}
		}
	}
}

func TestEffectiveQuota(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		version string
		status  int64
		metrics int64
		want    int64
	}{
		{"metrics before Status", "3.6.16", 1 << 30, 2 << 30, 2 << 30},
		{"Status where there are no metrics", "3.6.6", 1 << 30, 0, 1 << 30},
		{"Status that is known to be wrong", "3.6.5", 1 << 30, 0, 0},
		{"metrics beside a wrong Status", "3.6.5", 0, 2 << 30, 2 << 30},
		{"3.5 tells none", "3.5.35", 0, 0, 0},
		{"3.5 by metrics", "3.5.35", 0, 2 << 30, 2 << 30},
		{"no quota at all", "3.7.3", -1, -1, -1},
		{"no quota at all, by Status", "3.7.3", -1, 0, -1},
		{"a version that cannot be read", "", 1 << 30, 0, 0},
	} {
		if got := (Status{Version: c.version, Quota: c.status}).EffectiveQuota(Metrics{Quota: c.metrics}); got != c.want {
			t.Errorf("%s: EffectiveQuota = %d, want %d", c.name, got, c.want)
		}
	}
}
