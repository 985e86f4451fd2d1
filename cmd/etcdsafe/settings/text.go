package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Path is a file or a folder.
type Path string

// Choice is one of the words that the field's enum tag lists.
type Choice string

// User is an etcd user's name.
type User string

// parseText takes free text; white space at its ends is nobody's intention.
func parseText(g given) (string, error) {
	s, err := g.single()
	return strings.TrimSpace(s), err
}

func parsePath(g given) (Path, error) {
	s, err := g.word()
	if err != nil {
		return "", err
	}
	return Path(s), trimmed(s)
}

// parseUser refuses etcdctl's user:password, without saying it: a flag is no place for a secret.
func parseUser(g given) (User, error) {
	s, err := parseText(g)
	if strings.Contains(s, ":") {
		return "", errors.New("holds a colon: give the password by ETCDSAFE_PASSWORD or --password-file")
	}
	return User(s), err
}

func parseChoice(g given, choices []string) (Choice, error) {
	s, err := g.word(boolean)
	if err != nil {
		return "", err
	}
	if g.form == boolean {
		s = spelled(s, choices)
	}
	if !slices.Contains(choices, s) {
		return "", fmt.Errorf("%q is not one of %s", s, strings.Join(choices, ", "))
	}
	return Choice(s), nil
}

// spelled undoes YAML 1.1, which reads off and no as false, on and yes as true.
func spelled(truth string, choices []string) string {
	words := []string{"off", "no"}
	if truth == "true" {
		words = []string{"on", "yes"}
	}
	for _, w := range words {
		if slices.Contains(choices, w) {
			return w
		}
	}
	return truth
}

// bare refuses text that stands in quotes: `docker --env-file` and `kubectl --from-env-file` keep them.
func bare(s string) error {
	if len(s) > 1 && quoted(s[:1]) && s[0] == s[len(s)-1] {
		return quotesIn(s)
	}
	return nil
}

func quotesIn(s string) error {
	return fmt.Errorf("the quotes in %#q are part of the value: leave them out", s)
}

// quoted reports whether s begins or ends with a quote, as the items of a quoted list do.
func quoted(s string) bool {
	return strings.Trim(s, `"'`) != s
}

// trimmed refuses white space at either end of s.
func trimmed(s string) error {
	if at := edge(s); at > 0 {
		return spaceAt(at, s)
	}
	return nil
}

func spaceAt(at int, s string) error {
	return fmt.Errorf("contains whitespace at position %d: %q", at, s)
}

// edge is the position, counted in characters from 1, of white space at an end of s, or 0.
func edge(s string) int {
	if r, _ := utf8.DecodeRuneInString(s); s != "" && blank(r) {
		return 1
	}
	kept := strings.TrimRightFunc(s, blank)
	if len(kept) == len(s) {
		return 0
	}
	return utf8.RuneCountInString(kept) + 1
}

// space is the position of the first white space in s, or 0.
func space(s string) int {
	at := strings.IndexFunc(s, blank)
	if at < 0 {
		return 0
	}
	return utf8.RuneCountInString(s[:at]) + 1
}

// blank tells what cannot be seen: white space, controls, and what web pages put beside copied text.
func blank(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}
