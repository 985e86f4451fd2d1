package rule

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// The properties run 100 cases each; `go test -rapid.checks=10000` makes it that many.

func drawNumbers(t *rapid.T) Numbers {
	bytes := rapid.OneOf(rapid.Int64Range(0, 10), rapid.Int64Range(0, 16*gib), rapid.Int64())
	return Numbers{bytes.Draw(t, "size"), bytes.Draw(t, "in use"), bytes.Draw(t, "quota")}
}

// TestMoreFreeSpaceNeverTurnsYesToNo for the default rule: neither where data goes from a file
// that keeps its size, nor where a file grows by free pages.
func TestMoreFreeSpaceNeverTurnsYesToNo(t *testing.T) {
	r := compile(t, Default)
	rapid.Check(t, func(t *rapid.T) {
		n := Numbers{Quota: rapid.Int64Range(1, 16*gib).Draw(t, "quota")}
		n.Size = rapid.Int64Range(1, 16*gib).Draw(t, "size")
		n.InUse = rapid.Int64Range(1, n.Size).Draw(t, "in use")
		more := n
		if rapid.Bool().Draw(t, "grows") {
			more.Size += rapid.Int64Range(0, gib).Draw(t, "more")
		} else {
			more.InUse = rapid.Int64Range(1, n.InUse).Draw(t, "less in use")
		}
		before, err := r.Decide(n)
		if err != nil {
			t.Fatalf("Decide(%+v): %v", n, err)
		}
		after, err := r.Decide(more)
		if err != nil {
			t.Fatalf("Decide(%+v): %v", more, err)
		}
		if before && !after {
			t.Fatalf("yes with %+v, and no with %+v", n, more)
		}
	})
}

// TestDefaultRuleIsItsFormula in whole numbers, where nothing is rounded.
func TestDefaultRuleIsItsFormula(t *testing.T) {
	r := compile(t, Default)
	rapid.Check(t, func(t *rapid.T) {
		n := Numbers{Quota: rapid.Int64Range(1, 16*gib).Draw(t, "quota")}
		n.Size = rapid.OneOf(rapid.Int64Range(1, 16*gib), rapid.Int64Range(n.Quota/2, n.Quota/2+2)).Draw(t, "size")
		n.Size = max(n.Size, 1)
		n.InUse = rapid.OneOf(rapid.Int64Range(1, n.Size), rapid.Int64Range(n.Size/2, n.Size/2+2)).Draw(t, "in use")
		n.InUse = max(n.InUse, 1)
		want := (n.InUse*2 <= n.Size || n.Size*2 >= n.Quota) && n.Size-n.InUse >= 100*mib
		if got, err := r.Decide(n); err != nil || got != want {
			t.Fatalf("Decide(%+v) = %t, %v, want %t", n, got, err, want)
		}
	})
}

// A phrase is a drawn rule: its text, and what it yields by an evaluation of the test's own,
// where broken is a number that is none, wherever in it.
type phrase struct {
	text   string
	number float64
	truth  bool
	broken bool
}

func drawNumber(t *rapid.T, n Numbers, depth int) phrase {
	kind := rapid.IntRange(0, 7).Draw(t, "number")
	if depth == 0 {
		kind %= 3
	}
	switch kind {
	case 0:
		v := rapid.Int64Range(0, 1000).Draw(t, "integer")
		return phrase{text: fmt.Sprint(v), number: float64(v)}
	case 1:
		v := rapid.SampledFrom([]string{"0.5", "1e300", "0.0", "1.5e-300", "100"}).Draw(t, "literal")
		out := phrase{text: v}
		_, _ = fmt.Sscan(v, &out.number)
		return out
	case 2:
		i := rapid.IntRange(0, len(variables)-1).Draw(t, "variable")
		v, known := n.value(variables[i].name)
		return phrase{text: variables[i].name, number: v, broken: !known}
	case 3:
		return drawChoice(t, n, depth, drawNumber)
	default:
		a, b := drawNumber(t, n, depth-1), drawNumber(t, n, depth-1)
		sign := rapid.SampledFrom([]string{"+", "-", "*", "/", "%"}).Draw(t, "sign")
		f := map[string]func() float64{
			"+": func() float64 { return a.number + b.number },
			"-": func() float64 { return a.number - b.number },
			"*": func() float64 { return a.number * b.number },
			"/": func() float64 { return a.number / b.number },
			"%": func() float64 { return math.Mod(a.number, b.number) },
		}[sign]
		out := phrase{text: "(" + a.text + sign + b.text + ")", number: f(), broken: a.broken || b.broken}
		out.broken = out.broken || math.IsNaN(out.number) || math.IsInf(out.number, 0)
		return out
	}
}

func drawCondition(t *rapid.T, n Numbers, depth int) phrase {
	kind := rapid.IntRange(0, 7).Draw(t, "condition")
	if depth == 0 {
		kind = 0
	}
	switch {
	case kind == 0:
		v := rapid.Bool().Draw(t, "constant")
		return phrase{text: fmt.Sprint(v), truth: v}
	case kind == 1:
		a := drawCondition(t, n, depth-1)
		return phrase{text: "!(" + a.text + ")", truth: !a.truth, broken: a.broken}
	case kind == 2:
		return drawChoice(t, n, depth, drawCondition)
	case kind < 5:
		a, b := drawCondition(t, n, depth-1), drawCondition(t, n, depth-1)
		if rapid.Bool().Draw(t, "and") {
			return phrase{text: "(" + a.text + " && " + b.text + ")", truth: a.truth && b.truth, broken: a.broken || b.broken}
		}
		return phrase{text: "(" + a.text + " || " + b.text + ")", truth: a.truth || b.truth, broken: a.broken || b.broken}
	default:
		a, b := drawNumber(t, n, depth-1), drawNumber(t, n, depth-1)
		sign := rapid.SampledFrom([]string{"<", "<=", ">", ">=", "==", "!="}).Draw(t, "sign")
		truth := map[string]bool{
			"<": a.number < b.number, "<=": a.number <= b.number, ">": a.number > b.number,
			">=": a.number >= b.number, "==": a.number == b.number, "!=": a.number != b.number,
		}[sign]
		return phrase{text: a.text + sign + b.text, truth: truth, broken: a.broken || b.broken}
	}
}

func drawChoice(t *rapid.T, n Numbers, depth int, draw func(*rapid.T, Numbers, int) phrase) phrase {
	c, a, b := drawCondition(t, n, depth-1), draw(t, n, depth-1), draw(t, n, depth-1)
	out := b
	if c.truth {
		out = a
	}
	out.text = "((" + c.text + ") ? " + a.text + " : " + b.text + ")"
	out.broken = a.broken || b.broken || c.broken
	return out
}

// TestAnyRuleYieldsWhatItSays holds CEL and all that is made of it here to another evaluation.
func TestAnyRuleYieldsWhatItSays(t *testing.T) {
	var mu sync.Mutex
	outcomes := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		n := drawNumbers(t)
		want := drawCondition(t, n, 4)
		r, err := Compile(want.text)
		if err != nil {
			if len(want.text) > maxText {
				return
			}
			t.Fatalf("Compile(%q): %v", want.text, err)
		}
		got, err := r.Decide(n)
		mu.Lock()
		outcomes[fmt.Sprint(got, want.broken)]++
		mu.Unlock()
		switch {
		case want.broken && (got || !errors.Is(err, ErrUndecided)):
			t.Fatalf("Decide(%q, %+v) = %t, %v, want %v", want.text, n, got, err, ErrUndecided)
		case !want.broken && (err != nil || got != want.truth):
			t.Fatalf("Decide(%q, %+v) = %t, %v, want %t", want.text, n, got, err, want.truth)
		}
	})
	for _, outcome := range []string{"true false", "false false", "false true"} {
		if outcomes[outcome] == 0 {
			t.Errorf("of the rules drawn none came to %q: %v", outcome, outcomes)
		}
	}
}

func FuzzNoTextPanics(f *testing.F) {
	for _, text := range []string{
		Default, `dbSize > dbQuota*80/100 || dbSize - dbSizeInUse > 200*1024*1024`, `dbSize ? 1 : "a" in [b.c{d: 1}]`,
		`a.b().c[1]`, "`x`", `dbSize > 1u ? true : !!!false`, `"\u0000" + b'\xff'`, `.dbSize > 1`, `---1 > 0x8000000000000000`,
		`[1].map(x, x)`, `has(a.b)`, "'''\n'''", `1/0 > 1 || true`, `{`, `\`, "// dbSize\ntrue", `a.?b[?c]`, `&& == ||`,
	} {
		f.Add(text, int64(gib), int64(1), int64(0))
	}
	f.Fuzz(func(t *testing.T, text string, size, inUse, quota int64) {
		r, err := Compile(text)
		if err != nil {
			if !errors.Is(err, ErrRule) || strings.ContainsAny(err.Error(), "\n\r") {
				t.Fatalf("Compile(%q): %q, want one line of %v", text, err, ErrRule)
			}
			return
		}
		n := Numbers{size, inUse, quota}
		if yes, err := r.Decide(n); err != nil && (yes || !errors.Is(err, ErrUndecided)) {
			t.Fatalf("Decide(%q, %+v) = %t, %v", text, n, yes, err)
		}
		if line := r.Explain(n); strings.Contains(line, "\n") || strings.Contains(line, "NaN") || strings.Contains(line, "Inf") {
			t.Fatalf("Explain(%q, %+v) = %q", text, n, line)
		}
	})
}
