package settings

import "testing"

func TestDidYouMean(t *testing.T) {
	candidates := []string{"cluster", "snapshot.label", "snapshot.ifOlderThan", "key", "user"}
	for name, want := range map[string]string{
		"clustr":           "cluster",
		"Cluster":          "cluster",
		"snapshot.lable":   "snapshot.label",
		"if-older-than":    "snapshot.ifOlderThan",
		"snapshot.cluster": "cluster",
		"label":            "snapshot.label",
		"usr":              "user",
		"xyz":              "",
		"q":                "",
		"":                 "",
		"prune.keepDaily":  "",
	} {
		got := DidYouMean(name, candidates)
		if want != "" {
			want = "; nearest is " + want
		}
		if got != want {
			t.Errorf("DidYouMean(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestApart(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"label", "lable", 2}, {"abc", "abc", 0}} {
		if got := apart(c.a, c.b); got != c.want {
			t.Errorf("apart(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := apart(c.b, c.a); got != c.want {
			t.Errorf("apart(%q, %q) = %d, want %d", c.b, c.a, got, c.want)
		}
	}
}
