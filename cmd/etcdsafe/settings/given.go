package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// form is the shape of what a layer says. Flags and variables bring text; the file can bring the others.
type form int

const (
	nothing form = iota
	text
	number
	boolean
	list
	mapping
)

// given is what a layer says, before the setting's kind has read it.
type given struct {
	form  form
	text  string   // of text, number and boolean
	items []string // of a list; of a mapping, as key=value
	raw   []byte   // of a mapping
	fault error    // what no kind could read
}

// errQuote refuses what YAML has changed already: 012 is 10 by now, 1.10 is 1.1, and yes is true.
var errQuote = errors.New("holds a number or a true/false where text is wanted: put it in quotes")

// one is a single text.
func one(s string) given {
	return given{form: text, text: s}
}

// single returns the one text of g, for a kind that reads text and the forms listed.
func (g given) single(forms ...form) (string, error) {
	switch {
	case g.form == nothing:
		return "", errors.New("is empty")
	case g.form == list, g.form == mapping: // g.fault may hold a key, which may be a secret that YAML misread
		return "", errors.New("holds a list or a mapping where one value is wanted: put it in quotes")
	case g.form != text && !slices.Contains(forms, g.form):
		return "", errQuote
	}
	return g.text, nil
}

// word is single, and refuses a text that stands in quotes.
func (g given) word(forms ...form) (string, error) {
	s, err := g.single(forms...)
	if err != nil {
		return "", err
	}
	return s, bare(s)
}

// fromJSON reads one value of the file. Faults do not hold the value: what it belongs to may be a secret.
func fromJSON(raw []byte) given {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] == 'n' {
		return given{}
	}
	switch raw[0] {
	case 't', 'f':
		return given{form: boolean, text: string(raw)}
	case '"':
		return one(unquote(raw))
	case '[':
		return listOf(raw)
	case '{':
		return mappingOf(raw)
	}
	return given{form: number, text: string(raw)}
}

func listOf(raw []byte) given {
	g := given{form: list}
	var items []json.RawMessage
	_ = json.Unmarshal(raw, &items) // raw came out of a whole that is JSON
	for i, raw := range items {
		item, err := fromJSON(raw).single()
		if err != nil {
			g.fault = fmt.Errorf("item %d %w", i+1, err)
		}
		g.items = append(g.items, item)
	}
	return g
}

func mappingOf(raw []byte) given {
	g := given{form: mapping, raw: raw}
	var pairs map[string]json.RawMessage
	_ = json.Unmarshal(raw, &pairs) // raw came out of a whole that is JSON
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		value, err := fromJSON(pairs[key]).single()
		if err == nil && strings.Contains(key, "=") {
			err = errors.New("has = in its name")
		}
		if err != nil {
			g.fault = fmt.Errorf("key %q %w", key, err)
		}
		g.items = append(g.items, key+"="+value)
	}
	return g
}

// unquote returns the text of a JSON string.
func unquote(raw []byte) string {
	var s string
	_ = json.Unmarshal(raw, &s) // raw came out of a whole that is JSON
	return s
}
