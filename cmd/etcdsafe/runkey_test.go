package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	stock "filippo.io/age"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// TestTheRunsKeyStandsNowhere: a run that seals and verifies with the public key alone leaves the file key
// in nothing that it prints, writes, or shows of itself and its children meanwhile. The lasting identity
// tells the test what the key is.
func TestTheRunsKeyStandsNowhere(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	c.Put(t, func(yield func(string, []byte) bool) {
		for i := range 100 {
			if !yield(fmt.Sprintf("/key/%03d", i), bytes.Repeat([]byte(strconv.Itoa(i)), 100_000)) {
				return
			}
		}
	})
	u := newOperator(t, c.Endpoints()).with("ETCDSAFE_IDENTITIES_FILE=", "ETCDSAFE_LOG_LEVEL=debug", "ETCDSAFE_SPOOL_DIR=")
	u.env = append(u.env, "ETCDSAFE_REPORT_FILE="+u.path("report.json"))
	u.mkdir(t, "xcom")
	u.write(t, "termination-log", "")
	run := u.start(t, "run", "snapshot,verify")
	shown := watchProcesses(t, run.cmd.Process.Pid)
	r := run.wait(t)
	if depth := r.field(t, "jobs.1.archives.0.level"); r.code != 0 || depth != "content" {
		t.Fatalf("it verified at level %s\n%v", depth, r)
	}
	key := fileKey(t, u)
	places := u.files(t, "")
	places["stdout"], places["stderr"] = r.stdout, r.stderr
	for where, text := range shown() {
		places[where] = text
	}
	if len(places) < 12 || places["child's environment"] == "" || places["child's arguments"] == "" {
		t.Fatalf("looked only at %d places", len(places))
	}
	for where, text := range places {
		if stands(key, text) {
			t.Errorf("the file key stands in %s", where)
		}
	}
	for _, text := range spellings(key) { // the search finds what is there
		u.write(t, "store/prod/RECOVERY.md", "x"+text+"x")
		if !stands(key, u.files(t, "")[u.path("store/prod/RECOVERY.md")]) {
			t.Error("a planted key was not found")
		}
	}
}

// fileKey is what the only archive of a store is encrypted with, by its header (age-encryption.org/v1) and
// the user's identity.
func fileKey(t *testing.T, u *user) []byte {
	t.Helper()
	archives := u.glob(t, "store/prod/archives/*.age")
	if len(archives) != 1 {
		t.Fatalf("archives: %q, want one", archives)
	}
	raw, err := os.ReadFile(archives[0])
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitN(string(raw), "\n", 4)
	args := strings.Fields(strings.TrimPrefix(lines[1], "-> "))
	body, err := base64.RawStdEncoding.DecodeString(lines[2])
	if err != nil || len(args) != 2 {
		t.Fatalf("header of %s: %q: %v", archives[0], lines[:3], err)
	}
	ids, err := stock.ParseIdentities(strings.NewReader(u.read(t, "identity.txt")))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ids[0].Unwrap([]*stock.Stanza{{Type: args[0], Args: args[1:], Body: body}})
	if err != nil || len(key) != 16 {
		t.Fatalf("file key of %d bytes: %v", len(key), err)
	}
	return key
}

// spellings are how a key may stand in a text.
func spellings(key []byte) []string {
	digits := hex.EncodeToString(key)
	return []string{string(key), digits, strings.ToUpper(digits), base64.RawStdEncoding.EncodeToString(key), base64.RawURLEncoding.EncodeToString(key)}
}

func stands(key []byte, text string) bool {
	return slices.ContainsFunc(spellings(key), func(spelled string) bool { return strings.Contains(text, spelled) })
}

// watchProcesses reads arguments and environments of a process and of its children until it has
// ended; the returned function waits for that.
func watchProcesses(t *testing.T, pid int) (shown func() map[string]string) {
	t.Helper()
	texts, done := map[string]string{}, make(chan struct{})
	go func() {
		defer close(done)
		for syscall.Kill(pid, 0) == nil && t.Context().Err() == nil {
			readProcess(texts, "parent", pid)
			var children []byte
			tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
			for _, task := range tasks {
				more, _ := os.ReadFile(task) // it may have ended
				children = append(append(children, ' '), more...)
			}
			for field := range strings.FieldsSeq(string(children)) {
				if child, err := strconv.Atoi(field); err == nil {
					readProcess(texts, "child", child)
				}
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return func() map[string]string {
		<-done
		return texts
	}
}

// readProcess adds what the system shows of a process.
func readProcess(texts map[string]string, who string, pid int) {
	for file, what := range map[string]string{"cmdline": "arguments", "environ": "environment"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
		if err == nil && !strings.Contains(texts[who+"'s "+what], string(text)) {
			texts[who+"'s "+what] += string(text)
		}
	}
}
