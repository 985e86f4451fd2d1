package child

import (
	"slices"
	"strings"
)

// Excerpt is a log's first lines, where a bad flag is named, and its last.
func Excerpt(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	if len(lines) > 20 {
		lines = slices.Concat(lines[:3], []string{"..."}, lines[len(lines)-15:])
	}
	return strings.Join(lines, "\n")
}
