package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// readBound reads what each figure is bound by, as somebody found it with a profile: lines
// FIGURE<TAB>text. Empty lines and those that begin with # are left out; an unknown figure is
// an error, for its text would be lost.
func readBound(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	known := []string{"heap", "growth", "store-heap"}
	for _, f := range append(slices.Clone(limited), storeFigures...) {
		known = append(known, f.id)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		id, why, ok := strings.Cut(line, "\t")
		if !ok || !slices.Contains(known, id) {
			return nil, fmt.Errorf("%s: %q is not FIGURE<TAB>text, with one of %q", path, line, known)
		}
		out[id] = strings.TrimSpace(why)
	}
	return out, nil
}

func boundBy(bound map[string]string, id string) string {
	if bound[id] == "" {
		return "not said yet"
	}
	return bound[id]
}
