package rule

import (
	"errors"
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
)

// Default is the rule of who gives none: half of the file is free, or half of the quota is
// taken (OpenShift's two alerts), and there is something to gain.
const Default = `(fragmentation >= 0.5 || dbQuotaUsage >= 0.5) && dbSizeFree >= 100*1024*1024`

// ErrRule is a text that is no rule; the error says where, and what would work.
var ErrRule = errors.New("not a rule")

// ErrUndecided is a rule that these numbers do not answer. It is never a yes.
var ErrUndecided = errors.New("cannot decide")

// A Rule is made by Compile; the zero Rule decides nothing. It may be used by many at once.
type Rule struct {
	text    string
	names   []string // of variables, each once
	program cel.Program
}

// Compile checks the whole text, so that a rule that compiled yields true, false or
// ErrUndecided and no other fault. Its error wraps ErrRule and is one line.
func Compile(text string) (Rule, error) {
	if err := readable(text); err != nil {
		return Rule{}, err
	}
	env, err := cel.NewCustomEnv(language()...)
	if err != nil {
		return Rule{}, fmt.Errorf("rule: make its language: %w", err)
	}
	tree, issues := env.Parse(text)
	if first := firstOf(issues); first != nil {
		return Rule{}, syntaxFault(text, first)
	}
	names, err := strict(text, tree.NativeRep())
	if err != nil {
		return Rule{}, err
	}
	checked, issues := env.Check(tree)
	if first := firstOf(issues); first != nil {
		return Rule{}, typeFault(text, first)
	}
	if out := checked.OutputType(); !out.IsExactType(cel.BoolType) {
		return Rule{}, fault(text, place{1, 1}, "it yields a number", "compare it, as in dbSizeFree > 200*1024*1024")
	}
	program, err := env.Program(checked)
	if err != nil {
		return Rule{}, fmt.Errorf("rule %q: plan: %w", text, err)
	}
	return Rule{text: text, names: names, program: program}, nil
}

// Decide says whether a member with these numbers should be defragmented. Its error wraps
// ErrUndecided, names what could not be decided, and comes with false.
func (r Rule) Decide(n Numbers) (bool, error) {
	if r.program == nil {
		return false, fmt.Errorf("rule: %w: there is none", ErrUndecided)
	}
	values := map[string]any{}
	for _, name := range r.names {
		v, known := n.value(name)
		if !known {
			return false, fmt.Errorf("rule %q: %w: %s is unknown", r.text, ErrUndecided, name)
		}
		values[name] = v
	}
	out, _, err := r.program.Eval(values)
	if err != nil {
		return false, fmt.Errorf("rule %q: %w: %w", r.text, ErrUndecided, err)
	}
	yes, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("rule %q: %w: it yields %v", r.text, ErrUndecided, out.Value())
	}
	return yes, nil
}

// Text is the rule as it was given to Compile.
func (r Rule) Text() string { return r.text }

// Uses says whether the rule names one of these variables, in whatever branch: a rule that uses
// dbQuota or dbQuotaUsage is undecided without a quota.
func (r Rule) Uses(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(r.names, name) })
}
