package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
)

var update = flag.Bool("update", false, "write what documents take from the code")

const (
	tableBegin = "<!-- made by go test ./cmd/etcdsafe -run Readme -update -->\n"
	tableEnd   = "<!-- end -->\n"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReadmeHasTheTableOfSettings(t *testing.T) {
	text := readme(t)
	before, rest, ok := strings.Cut(text, tableBegin)
	_, after, end := strings.Cut(rest, tableEnd)
	if !ok || !end {
		t.Fatalf("README.md has no place for the table of settings")
	}
	want := before + tableBegin + settings.Table() + tableEnd + after
	if *update {
		if err := os.WriteFile("../../README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if text != want {
		t.Error("README.md has another table of settings than the code: go test ./cmd/etcdsafe -run Readme -update")
	}
}

func TestReadmeHasEveryExitCode(t *testing.T) {
	text := readme(t)
	codes := []int{exitOK, exitFailed, exitPartial, exitConfig, exitLocked, exitIntegrity, exitRefused, exitEtcd, exitStore, exitDeadline, exitInterrupted, exitTerminated}
	for _, code := range codes {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^\| (\d+, )?%d[ ,]`, code)).MatchString(text) {
			t.Errorf("README.md does not tell of exit code %d", code)
		}
	}
}

func TestReadmeHasEveryCommand(t *testing.T) {
	text := readme(t)
	c := &cli{set: settings.New()}
	for _, cmd := range c.root().Commands() {
		if name := cmd.Name(); !strings.Contains(text, "`"+name) {
			t.Errorf("README.md does not tell of %q", name)
		}
	}
}
