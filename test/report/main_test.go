package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestWhatIsForgivable reads what go test prints of some packages.
func TestWhatIsForgivable(t *testing.T) {
	const ended, crashed = `{"Action":"output","Package":"p","Output":"FAIL\n"}`, `{"Action":"output","Package":"p","Output":"panic: x\n"}`
	failed := func(test string) string {
		return fmt.Sprintf(`{"Action":"fail","Package":"p","Test":%q}`, test)
	}
	const fail = `{"Action":"fail","Package":"p"}`
	for name, c := range map[string]struct {
		lines []string
		want  bool
	}{
		"a test and one within it": {[]string{failed("TestA/x"), failed("TestA"), ended, fail}, true},
		"two":                      {[]string{failed("TestA"), failed("TestB"), ended, fail}, true},
		"three":                    {[]string{failed("TestA"), failed("TestB"), failed("TestC"), ended, fail}, false},
		"a crash":                  {[]string{failed("TestA"), crashed, fail}, false},
		"a race outside of tests":  {[]string{ended, fail}, false},
		"a package without a failed test besides": {[]string{failed("TestA"), ended, fail, strings.ReplaceAll(ended, `"p"`, `"q"`), strings.ReplaceAll(fail, `"p"`, `"q"`)}, false},
	} {
		r := &report{said: map[string][]string{}, failures: map[string][]string{}}
		if err := r.read(strings.NewReader(strings.Join(c.lines, "\n"))); err != nil {
			t.Fatal(err)
		}
		if got := r.forgivable(2); got != c.want {
			t.Errorf("%s: forgivable = %v, want %v", name, got, c.want)
		}
	}
}
