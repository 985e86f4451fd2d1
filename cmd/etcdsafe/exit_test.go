package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/storage/archive"
)

// TestExitCodesAreThoseOfTheDesign holds the constants to the numbers that the chart acts on.
func TestExitCodesAreThoseOfTheDesign(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want int
	}{
		{"done", exitOK, 0},
		{"failed", exitFailed, 1},
		{"partial", exitPartial, 3},
		{"configuration", exitConfig, 10},
		{"locked", exitLocked, 11},
		{"integrity", exitIntegrity, 12},
		{"refused", exitRefused, 13},
		{"etcd", exitEtcd, 14},
		{"store", exitStore, 15},
		{"deadline", exitDeadline, 16},
		{"SIGINT", exitInterrupted, 130},
		{"SIGTERM", exitTerminated, 143},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d, want %d", c.name, c.got, c.want)
		}
	}
}

// TestExitCodeOfEverySentinel walks the table: alone, wrapped, and joined with what has no row.
func TestExitCodeOfEverySentinel(t *testing.T) {
	stranger := errors.New("no sentinel")
	for _, row := range exitCodes {
		for how, err := range map[string]error{
			"alone":   row.err,
			"wrapped": fmt.Errorf("store %q: %w", "x", fmt.Errorf("again: %w", row.err)),
			"joined":  errors.Join(stranger, row.err),
			"beside":  fmt.Errorf("%w: %w", row.err, stranger),
			"stopped": &stoppedError{cause: row.err, err: stranger},
		} {
			if got := exitCode(err, ""); got != row.code {
				t.Errorf("exitCode(%q %s) = %d, want %d", row.err, how, got, row.code)
			}
			if got := exitCode(err, jobs.CauseStore); got != row.code {
				t.Errorf("exitCode(%q %s) with a cause = %d, want %d", row.err, how, got, row.code)
			}
		}
	}
}

// TestExitCodeOfTwoSentinelsIsTheFirstRows: whichever stands first in the error.
func TestExitCodeOfTwoSentinelsIsTheFirstRows(t *testing.T) {
	for i, high := range exitCodes {
		for _, low := range exitCodes[i+1:] {
			for _, err := range []error{errors.Join(high.err, low.err), errors.Join(low.err, high.err)} {
				if got := exitCode(err, ""); got != high.code {
					t.Errorf("exitCode(%q) = %d, want %d", jobs.OneLine(err), got, high.code)
				}
			}
		}
	}
}

func TestExitCodeWithoutASentinel(t *testing.T) {
	for _, c := range []struct {
		err   error
		cause jobs.Cause
		want  int
	}{
		{nil, "", exitOK},
		{nil, jobs.CauseStore, exitPartial},
		{nil, jobs.CauseCluster, exitPartial},
		{nil, jobs.CauseClock, exitPartial},
		{nil, jobs.CauseSuspect, exitPartial},
		{errors.New("who knows"), "", exitFailed},
		{errors.New("who knows"), jobs.CauseStore, exitFailed},
		{context.Canceled, "", exitFailed},
		{context.DeadlineExceeded, "", exitFailed},
		{fs.ErrNotExist, "", exitFailed},
	} {
		if got := exitCode(c.err, c.cause); got != c.want {
			t.Errorf("exitCode(%v, %q) = %d, want %d", c.err, c.cause, got, c.want)
		}
	}
}

// TestStoppedTellsWhy: what a cut-off call says counts less than why it was cut off.
func TestStoppedTellsWhy(t *testing.T) {
	for cause, want := range map[error]int{errTerminated: 143, errInterrupted: 130, errDeadline: 16} {
		ctx, cancel := context.WithCancelCause(t.Context())
		if err := stopped(ctx, archive.ErrCorrupt); exitCode(err, "") != exitIntegrity {
			t.Errorf("before the end: exit code of %v is %d, want %d", err, exitCode(err, ""), exitIntegrity)
		}
		cancel(cause)
		err := stopped(ctx, fmt.Errorf("read: %w", archive.ErrCorrupt))
		if got := exitCode(err, ""); got != want {
			t.Errorf("exit code of %q is %d, want %d", err, got, want)
		}
		if !errors.Is(err, archive.ErrCorrupt) || !strings.HasPrefix(err.Error(), cause.Error()) {
			t.Errorf("stopped = %q, want %q and then the error", err, cause)
		}
		if err := stopped(ctx, nil); err != nil {
			t.Errorf("stopped without an error = %v, want nil: the work was done", err)
		}
	}
}

// TestResultFitsTheExitCode is the first paragraph of DESIGN's report.
func TestResultFitsTheExitCode(t *testing.T) {
	for _, c := range []struct {
		code            int
		committed, skip bool
		want            jobs.Result
	}{
		{exitOK, true, false, jobs.OK},
		{exitOK, false, true, jobs.Skipped},
		{exitPartial, true, false, jobs.Partial},
		{exitIntegrity, true, false, jobs.Partial},
		{exitIntegrity, false, false, jobs.Failed},
		{exitConfig, false, false, jobs.Refused},
		{exitRefused, false, false, jobs.Refused},
		{exitFailed, false, false, jobs.Failed},
		{exitEtcd, false, false, jobs.Failed},
		{exitStore, false, false, jobs.Failed},
		{exitDeadline, false, false, jobs.Failed},
		{exitTerminated, false, false, jobs.Failed},
	} {
		r := jobs.Report{Committed: c.committed, Skip: c.skip}
		r.End(time.Now(), c.code, nil)
		if r.Result != c.want || r.ExitCode != c.code {
			t.Errorf("End with %d, committed %v: result %q and %d, want %q", c.code, c.committed, r.Result, r.ExitCode, c.want)
		}
	}
}

// handled are the sentinels that never end a run, since whoever calls acts on them.
var handled = map[string]string{
	"etcd.ErrNoLease":        "lock says ErrLost then, or has what it wants",
	"etcd.ErrFuture":         "snapshot asks the member again, and then calls the comparison inconclusive",
	"etcd.ErrConnectionLost": "explain wraps it as ErrUnavailable",
	"catalog.ErrPassed":      "Find lists what it passed over, and ends with ErrNone where nothing is left",
}

// TestEverySentinelHasARow parses the source, so that a new one cannot be forgotten.
func TestEverySentinelHasARow(t *testing.T) {
	rows := tableRows(t)
	declared := map[string]bool{}
	for _, dir := range []string{"../../jobs", "../../storage", "settings"} {
		sentinels(t, dir, declared)
	}
	if len(declared) < 20 {
		t.Fatalf("found %d sentinels in the source, want at least 20", len(declared))
	}
	for name := range declared {
		switch {
		case rows[name] && handled[name] != "":
			t.Errorf("%s has a row in exit.go, and a reason to have none", name)
		case !rows[name] && handled[name] == "":
			t.Errorf("%s has no row in exit.go", name)
		}
	}
	for name := range handled {
		if !declared[name] {
			t.Errorf("%s is excused and does not exist", name)
		}
	}
	for name := range rows {
		if !declared[name] && name != "syscall.ENOSPC" {
			t.Errorf("%s has a row in exit.go and was not found", name)
		}
	}
}

// sentinels adds every variable ErrX below dir, as package.ErrX. What tests are made of
// (buckettest, etcdtest) is no part of the program.
func sentinels(t *testing.T, dir string, into map[string]bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || strings.HasSuffix(filepath.Dir(file), "test") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Names) != 1 || len(spec.Values) != 1 {
				return true
			}
			if strings.HasPrefix(spec.Names[0].Name, "Err") {
				into[parsed.Name.Name+"."+spec.Names[0].Name] = true
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tableRows are the sentinels of other packages that exitCodes names.
func tableRows(t *testing.T) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "exit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range file.Imports {
		target, err := strconv.Unquote(i.Path.Value)
		if err != nil || i.Name != nil && i.Name.Name != path.Base(target) {
			t.Fatalf("exit.go imports %s under another name: this test goes by names", i.Path.Value)
		}
	}
	rows, n := map[string]bool{}, 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "exitCodes" {
			return true
		}
		for _, row := range spec.Values[0].(*ast.CompositeLit).Elts {
			n++
			if name := selector(row.(*ast.CompositeLit).Elts[0]); name != "" {
				rows[name] = true
			}
		}
		return false
	})
	if n != len(exitCodes) {
		t.Fatalf("parsed %d rows of exit.go, it has %d", n, len(exitCodes))
	}
	return rows
}

// selector is a.B as text, or "".
func selector(e ast.Expr) string {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	of, ok := s.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return of.Name + "." + s.Sel.Name
}
