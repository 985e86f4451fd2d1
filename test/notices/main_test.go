package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module makes a module's folder of these files, each with its name's text.
func module(t *testing.T, name string, files map[string]string) part {
	t.Helper()
	dir := t.TempDir()
	for file, text := range files {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return part{Path: name, Version: "v1", Dir: dir}
}

func TestEachTextStandsOnceBelowItsOwners(t *testing.T) {
	got, err := notices([]part{
		module(t, "a", map[string]string{"LICENSE": "all\n", "x/third/Licence.md": "third\n", "license.go": "code"}),
		module(t, "b", map[string]string{"COPYING": " all", "testdata/LICENSE": "none", ".ci/LICENSE": "none", "NOTICE": "b's"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "==== a v1: LICENSE\n==== b v1: COPYING\n\nall\n\n==== a v1: x/third/Licence.md\n\nthird\n\n==== b v1: NOTICE\n\nb's\n\n"
	if string(got) != want {
		t.Errorf("notices = %q, want %q", got, want)
	}
}

func TestAModuleWithoutALicenceIsNamed(t *testing.T) {
	_, err := notices([]part{module(t, "a", map[string]string{"main.go": "x"}), module(t, "b", map[string]string{"LICENSE": "x"}), module(t, "c", nil)})
	if err == nil || !strings.Contains(err.Error(), "a v1: has no licence file\nc v1: has no licence file") {
		t.Errorf("notices = %v, want a and c named", err)
	}
}

// TestGoItselfIsAPart: this test's own binary has no module but Go's library.
func TestGoItselfIsAPart(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(self, &out); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, ": LICENSE\n") || !strings.Contains(text, "The Go Authors") {
		t.Errorf("run = %q, want Go's licence", text)
	}
	if err := run(filepath.Join(t.TempDir(), "none"), &out); err == nil {
		t.Error("run of a file that is not there = nil, want an error")
	}
}
