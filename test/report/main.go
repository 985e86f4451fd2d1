// Command report reads `go test -json` and prints what a person wants of it: a line for each
// package, all that failed tests said, the skipped ones, and the count. It exits 1 where a test
// failed, or was skipped unless -skips=allowed.
//
// With -again N and no more than N failed tests, each is run once more by itself, with the flags
// of go test that the arguments name. One that passes then is named as unsteady and does not make the
// exit 1: it is a flaw to be found, of the test or of what it tests, but no word on the change at hand.
// A package that did not come to its end, or failed without a failed test, is never run again.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// event is a line of go test -json (cmd/test2json).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

func main() {
	skips := flag.String("skips", "refused", "refused or allowed")
	again := flag.Int("again", 0, "how many failed tests may be run once more")
	flag.Parse()
	r := &report{said: map[string][]string{}, failures: map[string][]string{}}
	err := r.read(os.Stdin)
	for _, name := range r.skipped {
		fmt.Println("skipped:", name)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
	steady := r.broken == 0 || r.forgivable(*again) && r.passAgain(flag.Args())
	if err != nil || !steady || r.passed == 0 || len(r.skipped) > 0 && *skips != "allowed" {
		os.Exit(1)
	}
}

type report struct {
	said            map[string][]string // by test, until it ended
	skipped         []string
	failures        map[string][]string // by package
	passed, failed  int
	broken, crashed int // packages that failed; those of them that did not come to their end
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text()) // the compiler's
			continue
		}
		r.take(e)
	}
	return lines.Err()
}

// forgivable tells whether at most n tests failed, those within another not counted, and no package for
// another reason.
func (r *report) forgivable(n int) bool {
	for _, tests := range r.failures {
		n -= len(tests)
	}
	return n >= 0 && r.crashed == 0 && len(r.failures) == r.broken
}

// passAgain runs each failed test by itself, and tells whether all passed.
func (r *report) passAgain(flags []string) bool {
	all := true
	for pkg, tests := range r.failures {
		for _, test := range tests {
			args := slices.Concat([]string{"test", "-count=1", "-timeout=15m"}, flags, []string{"-run=^" + test + "$", pkg})
			out, err := exec.Command("go", args...).CombinedOutput()
			if err != nil {
				fmt.Printf("failed again: %s %s\n%s", pkg, test, out)
				all = false
				continue
			}
			fmt.Printf("unsteady: %s %s failed at first, and passed by itself\n", pkg, test)
		}
	}
	return all
}

func (r *report) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		r.said[key] = append(r.said[key], e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	if e.Test == "" {
		r.endPackage(e, key)
	} else {
		r.endTest(e, key)
	}
	delete(r.said, key)
}

func (r *report) endTest(e event, key string) {
	switch e.Action {
	case "pass":
		r.passed++
	case "skip":
		r.skipped = append(r.skipped, key)
	case "fail":
		r.failed++
		if !strings.Contains(e.Test, "/") {
			r.failures[e.Package] = append(r.failures[e.Package], e.Test)
		}
		fmt.Printf("--- FAIL: %s (%.1fs)\n%s", key, e.Elapsed, strings.Join(r.said[key], ""))
	}
}

// endPackage prints what a package said that ended without its tests: a crash, a failed build.
func (r *report) endPackage(e event, key string) {
	if e.Action == "fail" {
		r.broken++
		if !slices.Contains(r.said[key], "FAIL\n") { // a run's own last word, if it came to it
			r.crashed++
		}
		fmt.Print(strings.Join(r.said[key], ""))
	}
	if e.Action != "skip" { // it has no test
		fmt.Printf("%s %s %.1fs\n", e.Action, e.Package, e.Elapsed)
	}
}
