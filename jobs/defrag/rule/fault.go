package rule

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
)

// maxText bounds a rule. Documented ones are shorter than 200 bytes.
const maxText = 4096

// A place in the text, both from 1; columns count characters.
type place struct{ line, column int }

// in says where in text it is; the whole text, such as one too deep, is at no place.
func (p place) in(text string) string {
	switch {
	case p.column < 1:
		return ""
	case strings.ContainsRune(strings.TrimSpace(text), '\n'):
		return fmt.Sprintf(", line %d, column %d", p.line, p.column)
	default:
		return fmt.Sprintf(", column %d", p.column)
	}
}

// fault says what is wrong where, and what would work.
func fault(text string, at place, what, instead string) error {
	err := fmt.Errorf("%w: %q%s: %s", ErrRule, text, at.in(text), what)
	if instead == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, instead)
}

// readable refuses what no message should repeat, and what says nothing.
func readable(text string) error {
	switch {
	case len(text) > maxText:
		return fmt.Errorf("%w: %d bytes, more than %d", ErrRule, len(text), maxText)
	case !utf8.ValidString(text):
		return fmt.Errorf("%w: %q is not UTF-8", ErrRule, text)
	case strings.TrimSpace(text) == "":
		return fmt.Errorf("%w: it is empty; the rule true defragments every time", ErrRule)
	}
	return nil
}

// firstOf is the first of what CEL found, which the others often follow from.
func firstOf(issues *cel.Issues) *cel.Error {
	if issues == nil || len(issues.Errors()) == 0 {
		return nil
	}
	return issues.Errors()[0]
}

// spellings are what other languages have, and what a rule has instead.
var spellings = []struct {
	found   *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`[0-9] *([KMGTkmgt]i?[Bb]?|[Bb])\b`), "sizes are in bytes, 100*1024*1024 for 100 MiB"},
	{regexp.MustCompile(`[0-9] *%\s*($|[)&|<>=?:])`), "a share is written as 0.8, not 80%"},
	{regexp.MustCompile(`[0-9]_[0-9]`), "digits stand without _"},
	{regexp.MustCompile(`(?i)\b(and|or|not)\b`), "conditions are joined by && and ||, and turned around by !"},
	{regexp.MustCompile(`<<|>>|\*\*|\^|~`), "there are no bits and no powers, 200*1024*1024 for 200<<20"},
	{regexp.MustCompile(`,`), "rules are joined by ||, not by commas"},
	{regexp.MustCompile(`(^|[^<>=!])=([^=]|$)`), "equal is =="},
	{regexp.MustCompile(`(^|[^&])&([^&]|$)|(^|[^|])\|([^|]|$)`), "conditions are joined by && and ||"},
	{regexp.MustCompile(`[0-9]{19}`), "large numbers are written as 1e20"},
}

// syntaxFault is what the parser said, without the list of all that it would have taken.
func syntaxFault(text string, e *cel.Error) error {
	what, _, _ := strings.Cut(e.Message, " expecting ")
	what = strings.TrimPrefix(what, "Syntax error: ")
	instead := ""
	for _, s := range spellings {
		if s.found.MatchString(text) {
			instead = s.instead
			break
		}
	}
	return fault(text, place{e.Location.Line(), e.Location.Column() + 1}, clean(what), instead)
}

// typeFault is a condition where a number belongs, or the other way round.
func typeFault(text string, e *cel.Error) error {
	at := place{e.Location.Line(), e.Location.Column() + 1}
	sign, types := mismatch(e.Message)
	if sign == "" {
		return fault(text, at, clean(e.Message), "")
	}
	what := fmt.Sprintf("%s does not go with %s", sign, types)
	switch sign {
	case "&&", "||", "!":
		return fault(text, at, what, "a number must be compared first, as in dbQuotaUsage > 0.8")
	case "<", "<=", ">", ">=":
		return fault(text, at, what, "two comparisons are joined by &&, as in dbSize > 3 && dbSize < 5")
	default:
		return fault(text, at, what, "")
	}
}

var overload = regexp.MustCompile(`no matching overload for '([^']+)' applied to '\(([^)]*)\)'`)

// mismatch takes CEL's words apart, and says conditions and numbers for its types.
func mismatch(message string) (sign, types string) {
	m := overload.FindStringSubmatch(message)
	if m == nil {
		return "", ""
	}
	words := strings.NewReplacer("bool", "a condition", "double", "a number", ", ", " and ")
	return m[1], words.Replace(m[2])
}

// clean makes one line of what CEL says.
func clean(message string) string {
	return strings.Join(strings.Fields(message), " ")
}
