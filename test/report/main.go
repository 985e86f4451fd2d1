// Command report reads `go test -json` and prints what a person wants of it: a line for each
// package, all that failed tests said, the skipped ones, and the count. It exits 1 where a test
// failed, or was skipped unless -skips=allowed.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
)

// event is a line of go test -json (cmd/test2json).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

func main() {
	skips := flag.String("skips", "refused", "refused or allowed")
	flag.Parse()
	r := &report{said: map[string][]string{}}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text()) // the compiler's
			continue
		}
		r.take(e)
	}
	for _, name := range r.skipped {
		fmt.Println("skipped:", name)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
	if lines.Err() != nil || r.failed+r.broken > 0 || r.passed == 0 || len(r.skipped) > 0 && *skips != "allowed" {
		os.Exit(1)
	}
}

type report struct {
	said                   map[string][]string // by test, until it ended
	skipped                []string
	passed, failed, broken int // broken: packages that failed
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
		fmt.Printf("--- FAIL: %s (%.1fs)\n%s", key, e.Elapsed, strings.Join(r.said[key], ""))
	}
}

// endPackage prints what a package said that ended without its tests: a crash, a failed build.
func (r *report) endPackage(e event, key string) {
	if e.Action == "fail" {
		r.broken++
		fmt.Print(strings.Join(r.said[key], ""))
	}
	if e.Action != "skip" { // it has no test
		fmt.Printf("%s %s %.1fs\n", e.Action, e.Package, e.Elapsed)
	}
}
