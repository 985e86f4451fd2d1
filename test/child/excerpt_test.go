package child

import (
	"fmt"
	"strings"
	"testing"
)

func TestExcerptHasTheFirstLinesAndTheLast(t *testing.T) {
	log := func(lines int) string {
		var text strings.Builder
		for i := range lines {
			fmt.Fprintf(&text, "%d\n", i)
		}
		return text.String()
	}
	for lines, want := range map[int]string{
		0:  "",
		20: strings.TrimSpace(log(20)),
		21: "0\n1\n2\n...\n" + strings.TrimSpace(log(21)[len("0\n1\n2\n3\n4\n5\n"):]),
	} {
		if got := Excerpt(log(lines)); got != want {
			t.Errorf("Excerpt of %d lines is %q, want %q", lines, got, want)
		}
	}
}
