package settings

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Labels are key=value pairs.
type Labels map[string]string

// String lists the pairs by key.
func (l Labels) String() string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(l)) {
		pairs = append(pairs, key+"="+l[key])
	}
	return strings.Join(pairs, ",")
}

// each returns the items of g. Text is split at commas; an item of the file's list may hold one. An empty item is
// refused: it may be what is left of a second store whose variable was not set.
func (g given) each() ([]string, error) {
	switch {
	case g.form == mapping:
		return nil, errors.New("holds a mapping where a list is wanted")
	case g.fault != nil:
		return nil, g.fault
	case g.form == list:
		return filled(g.items)
	}
	s, err := g.single()
	if err != nil || s == "" {
		return nil, err
	}
	return filled(strings.Split(s, ","))
}

func filled(items []string) ([]string, error) {
	for i, item := range items {
		if strings.TrimSpace(item) == "" {
			return nil, fmt.Errorf("item %d of %d is empty", i+1, len(items))
		}
	}
	return items, nil
}

func parseList(g given, before []string) ([]string, error) {
	items, err := g.each()
	out := slices.Clone(before)
	for _, item := range items {
		item = strings.TrimSpace(item)
		if quoted(item) {
			return nil, quotesIn(item)
		}
		out = append(out, item)
	}
	return out, err
}

func parseLabels(g given, before Labels) (Labels, error) {
	pairs, err := g.items, g.fault
	if g.form != mapping {
		pairs, err = g.each()
	}
	if err != nil {
		return nil, err
	}
	out := Labels{}
	maps.Copy(out, before)
	for _, p := range pairs {
		if err := out.add(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (l Labels) add(pair string) error {
	key, value, ok := strings.Cut(pair, "=")
	key = strings.TrimSpace(key)
	switch {
	case !ok:
		return fmt.Errorf("%q is not key=value (a value with a comma must stand in the config file)", pair)
	case quoted(key):
		return quotesIn(pair)
	case key == "":
		return fmt.Errorf("%q has no key", pair)
	}
	if _, twice := l[key]; twice {
		return fmt.Errorf("key %q is given twice", key)
	}
	l[key] = value
	return nil
}
