package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// head is what DESIGN promises of every job's report.
type head struct {
	Job       *string    `json:"job"`
	Result    *string    `json:"result"`
	Cause     string     `json:"cause"`
	ExitCode  *int       `json:"exitCode"`
	Committed *bool      `json:"committed"`
	Cluster   *string    `json:"cluster"`
	Started   *time.Time `json:"started"`
	Finished  *time.Time `json:"finished"`
	Error     *string    `json:"error"`
}

// checkHead holds a report to DESIGN and to how its process ended.
func checkHead(t *testing.T, r result, job string) {
	t.Helper()
	var h head
	if err := json.Unmarshal([]byte(r.stdout), &h); err != nil {
		t.Fatalf("stdout is not one JSON document: %v\n%v", err, r)
	}
	switch {
	case h.Job == nil || *h.Job != job:
		t.Errorf("job is %v, want %s\n%v", h.Job, job, r)
	case h.ExitCode == nil || *h.ExitCode != r.code:
		t.Errorf("exitCode is not the process's %d\n%v", r.code, r)
	case h.Result == nil || (*h.Result == "ok" || *h.Result == "skipped") != (r.code == 0):
		t.Errorf("result does not fit exit code %d\n%v", r.code, r)
	case h.Committed == nil || h.Cluster == nil:
		t.Errorf("committed or cluster is missing\n%v", r)
	case h.Started == nil || h.Finished == nil || h.Started.IsZero() || h.Finished.Before(*h.Started):
		t.Errorf("started and finished are not in order\n%v", r)
	case h.Started.Location() != time.UTC || h.Finished.Location() != time.UTC:
		t.Errorf("times are not UTC\n%v", r)
	case (h.Error == nil) != (r.code == 0 || r.code == exitPartial):
		t.Errorf("error is there or absent against exit code %d\n%v", r.code, r)
	case h.Error != nil && (strings.ContainsAny(*h.Error, "\n\r") || *h.Error == ""):
		t.Errorf("error is not one line: %q", *h.Error)
	case h.Error != nil && strings.Count(r.stderr, "etcdsafe: ") != 1:
		t.Errorf("the error stands %d times on stderr, want once\n%v", strings.Count(r.stderr, "etcdsafe: "), r)
	}
}

// TestReportsOfEveryJob on success and on failure: what DESIGN promises of each, and the same
// document in all four places.
func TestReportsOfEveryJob(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, c.Endpoints()).with("ETCDSAFE_LOCK=none") // its key would be one more revision
	u.mkdir(t, "xcom")
	u.mkdir(t, "full")
	u.write(t, "full/note", "")
	id := u.ok(t, "snapshot").field(t, "archive.id")
	down := []string{"--endpoints", "127.0.0.1:1"}
	for _, c := range []struct {
		name   string
		code   int
		args   []string
		fields map[string]string // path and pattern
	}{
		{"snapshot", 0, nil, map[string]string{"archive.id": `\d{8}T\d{6}Z-[0-9a-f]{16}-[0-9a-f]{8}`, "archive.revision": `1`, "archive.sha256": `[0-9a-f]{64}`,
			"stores.0.url": `file://.*/store`, "stores.0.result": `ok`, "committed": `true`}},
		{"snapshot", 0, []string{"--if-older-than", "1h"}, map[string]string{"result": "skipped", "committed": "false", "archive.id": `.+`}},
		{"snapshot", 14, down, map[string]string{"result": "failed", "committed": "false", "error": `.*nothing listens there.*`}},
		{"snapshot", 10, []string{"--cluster", "a/b"}, map[string]string{"result": "refused", "cluster": "a/b", "error": `.*not a valid name.*`}},
		{"snapshot", 15, []string{"--stores", "file:///missing/store"}, map[string]string{"result": "failed", "cluster": "prod"}},
		{"verify", 0, []string{id}, map[string]string{"level": "content", "archives.0.id": id, "archives.0.level": "content", "archives.0.result": "ok"}},
		{"verify", 12, []string{id, "--max-age", "1ms"}, map[string]string{"result": "failed", "archives.0.result": "ok"}},
		{"verify", 1, []string{"all", "--cluster", "other"}, map[string]string{"archives": `\[\]`}},
		{"verify", 10, []string{id, "--level", "deep"}, map[string]string{"archives": `\[\]`}},
		{"restore", 0, append([]string{id, "--data-dir", u.path("data")}, down...), map[string]string{"dataDir": regexp.QuoteMeta(u.path("data")), "bumpedBy": "0",
			"archive.id": id, "archive.revision": "1", "archive.sha256": `[0-9a-f]{64}`}},
		{"restore", 13, append([]string{id, "--data-dir", "full"}, down...), map[string]string{"result": "refused", "bumpedBy": "0"}},
		{"restore", 10, []string{id}, map[string]string{"result": "refused"}},
	} {
		t.Run(strings.ReplaceAll(fmt.Sprint(c.name, " ", c.code, " ", len(c.args)), " ", "_"), func(t *testing.T) {
			u.write(t, "termination-log", "an old message, longer than nothing")
			r := u.exits(t, c.code, append([]string{c.name, "--report-file", u.path("report.json")}, c.args...)...)
			checkHead(t, r, c.name)
			for path, want := range c.fields {
				if got := r.field(t, path); !regexp.MustCompile("^(?:" + want + ")$").MatchString(got) {
					t.Errorf("%s is %q, want %q", path, got, want)
				}
			}
			for _, copied := range []string{"report.json", "termination-log", "xcom/return.json"} {
				if got, want := compact(t, u.read(t, copied)), compact(t, r.stdout); got != want {
					t.Errorf("%s holds\n%s\nstdout\n%s", copied, got, want)
				}
			}
			if left := append(u.glob(t, "xcom/*"), u.glob(t, "xcom/.??*")...); len(left) != 1 {
				t.Errorf("files in the XCom folder: %q, want one", left)
			}
		})
	}
}

func compact(t *testing.T, text string) string {
	t.Helper()
	var doc any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestFailedRestoreNamesNothingAsWritten: a report must not promise a file that is not there.
func TestFailedRestoreNamesNothingAsWritten(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, c.Endpoints())
	u.ok(t, "snapshot")
	for _, args := range [][]string{{"--fetch-only", "missing"}, {"--db-only", "missing/snapshot.db"}, {"--data-dir", "missing/data", "--endpoints", "127.0.0.1:1"}} {
		r := u.run(t, append([]string{"restore", "latest"}, args...)...)
		if r.code == 0 {
			t.Fatal(r)
		}
		for _, path := range []string{"file", "dataDir"} {
			if v, err := at(r.stdout, path); err == nil {
				t.Errorf("%q failed and reports %s %q", args, path, v)
			}
		}
	}
}

// TestTerminationLogIsNeverMade: the kubelet makes it; elsewhere a file in /dev would be litter.
func TestTerminationLogIsNeverMade(t *testing.T) {
	u := newUser(t)
	u.exits(t, exitConfig, "snapshot")
	for _, name := range []string{"termination-log", "xcom"} {
		if _, err := os.Stat(u.path(name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want that it does not exist", name, err)
		}
	}
	u.write(t, "termination-log", strings.Repeat("old ", 5000))
	u.exits(t, exitConfig, "snapshot", "--output", "text")
	if got := u.read(t, "termination-log"); !json.Valid([]byte(got)) || strings.Contains(got, "old") {
		t.Errorf("the old message was not replaced: %q", got)
	}
}

// TestTerminationMessageFits has a real report that is longer than Kubernetes keeps.
func TestTerminationMessageFits(t *testing.T) {
	u := newUser(t, "ETCDSAFE_CLUSTER=prod", "ETCDSAFE_PLAINTEXT=true")
	u.write(t, "termination-log", "")
	var stores []string
	for i := range 60 {
		stores = append(stores, fmt.Sprintf("xyz%d://häuser/%s", i, strings.Repeat("ü", 60)))
	}
	r := u.exits(t, exitConfig, "snapshot", "--output", "json", "--stores", strings.Join(stores, ","))
	if len(r.stdout) < maxTermination {
		t.Fatalf("the report has %d bytes and fits anyway", len(r.stdout))
	}
	got := u.read(t, "termination-log")
	checkShort(t, []byte(got))
	if code, err := at(got, "exitCode"); err != nil || code != "10" {
		t.Errorf("exitCode in the message is %q: %v", code, err)
	}
}

// TestXcomFileIsReplacedAtOnce: Airflow's sidecar may read at any moment.
func TestXcomFileIsReplacedAtOnce(t *testing.T) {
	u := newUser(t)
	u.mkdir(t, "xcom")
	u.write(t, "xcom/return.json", "whole and old")
	if err := os.Link(u.path("xcom/return.json"), u.path("held")); err != nil {
		t.Fatal(err)
	}
	u.exits(t, exitConfig, "snapshot")
	if got := u.read(t, "held"); got != "whole and old" {
		t.Errorf("the old file was written over: %q", got)
	}
	if job, err := at(u.read(t, "xcom/return.json"), "job"); err != nil || job != "snapshot" {
		t.Errorf("job in the new file is %q: %v", job, err)
	}
}

// TestReportThatCannotBeWritten: a run that was good is not good when its report was lost.
func TestReportThatCannotBeWritten(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, c.Endpoints())
	u.exits(t, exitConfig, "snapshot", "--report-file", "missing/report.json")
	u.mkdir(t, "report.json/full")
	r := u.exits(t, exitFailed, "snapshot", "--report-file", "report.json")
	if !strings.Contains(r.stderr, "etcdsafe: write report") {
		t.Error(r)
	}
	if len(u.glob(t, "store/prod/manifests/*.json")) != 1 {
		t.Error("the archive is not there")
	}
	// Another fault keeps its own code.
	u.exits(t, exitEtcd, "snapshot", "--report-file", "report.json", "--endpoints", "127.0.0.1:1")
}

func checkShort(t *testing.T, short []byte) map[string]any {
	t.Helper()
	var doc map[string]any
	switch err := json.Unmarshal(short, &doc); {
	case len(short) > maxTermination:
		t.Errorf("%d bytes, want at most %d", len(short), maxTermination)
	case !utf8.Valid(short):
		t.Errorf("not UTF-8: %q", short)
	case err != nil:
		t.Errorf("not JSON: %v: %s", err, short)
	}
	return doc
}

// TestShortenKeepsTheVerdict: whatever is long, what failed and how stays.
func TestShortenKeepsTheVerdict(t *testing.T) {
	long := strings.Repeat("größer 数据 🧊 ", 800) // 1 to 4 bytes a rune, over 10 kB
	for _, field := range []string{"error", "cluster", "dataDir", "file", "movedAside", "warnings", "members", "archives", "stores", "start", "archive", "plan"} {
		t.Run(field, func(t *testing.T) {
			for i := range 8 { // so that a cut falls on each byte of a rune
				doc := map[string]any{"job": "snapshot", "result": "failed", "exitCode": 14, "cause": "store", "error": "why"}
				doc[field] = strings.Repeat("x", i) + long
				text, err := json.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				got := checkShort(t, shorten(text, maxTermination))
				for k, want := range map[string]any{"job": "snapshot", "result": "failed", "exitCode": 14.0, "shortened": true} {
					if got[k] != want {
						t.Fatalf("%s is %v, want %v", k, got[k], want)
					}
				}
				if e, _ := got["error"].(string); e == "" {
					t.Fatal("no error is left")
				}
			}
		})
	}
}

func TestShortenLeavesWhatFits(t *testing.T) {
	for _, n := range []int{0, 1, maxTermination} {
		text := []byte(`{"error":"` + strings.Repeat("x", max(0, n-12)) + `"}`)
		if got := shorten(text, maxTermination); string(got) != string(text) {
			t.Errorf("%d bytes became %d", len(text), len(got))
		}
	}
	for _, n := range []int{-1, 0, 1, 2, 100, 4096} {
		if got := shorten([]byte(`{"error":"`+strings.Repeat("ü", 9000)+`"}`), max(2, n)); len(got) > max(2, n) || !json.Valid(got) {
			t.Errorf("shorten to %d gave %d bytes: %s", n, len(got), got)
		}
	}
	if got := shorten([]byte("no JSON "+strings.Repeat("x", 5000)), maxTermination); !json.Valid(got) {
		t.Errorf("shorten of what is no JSON gave %s", got)
	}
}

// TestReplaceFileLeavesNothingBeside when it fails.
func TestReplaceFileLeavesNothingBeside(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(target, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(target, []byte("x")); err == nil {
		t.Error("a folder was replaced")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d entries are left, want the folder: %v", len(entries), err)
	}
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		t.Error(err)
	}
}

// keysTwice are the keys that stand more than once at the top of a JSON object, of which a
// reader sees the last alone.
func keysTwice(t *testing.T, object string) []string {
	t.Helper()
	seen, twice := map[string]bool{}, []string(nil)
	doc := json.NewDecoder(strings.NewReader(object))
	if _, err := doc.Token(); err != nil {
		t.Fatal(err)
	}
	for doc.More() {
		key, errKey := doc.Token()
		var value json.RawMessage
		if err := errors.Join(errKey, doc.Decode(&value)); err != nil {
			t.Fatal(err)
		}
		if name := key.(string); seen[name] {
			twice = append(twice, name)
		}
		seen[key.(string)] = true
	}
	return twice
}

// TestStdoutIsTheResultAndStderrTheStory in both forms of each.
func TestStdoutIsTheResultAndStderrTheStory(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, c.Endpoints())
	for _, args := range [][]string{{"snapshot"}, {"verify"}, {"restore", "latest", "--data-dir", "data", "--endpoints", "127.0.0.1:1"}} {
		r := u.ok(t, append(args, "--log-format", "json")...)
		checkHead(t, r, args[0])
		lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
		for _, line := range lines {
			var entry map[string]any
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatalf("log line is not JSON: %v: %s", err, line)
			}
			if twice := keysTwice(t, line); twice != nil {
				t.Errorf("log line has %q twice: %s", twice, line)
			}
			for _, key := range []string{"time", "level", "msg", "job", "cluster"} {
				if entry[key] == nil {
					t.Errorf("log line has no %s: %s", key, line)
				}
			}
			if known := []string{"DEBUG", "INFO", "WARN", "ERROR"}; !slices.Contains(known, fmt.Sprint(entry["level"])) {
				t.Errorf("level %v is none of %q", entry["level"], known)
			}
		}
		if n := len(lines); args[0] == "snapshot" && (n < 5 || n > 14) {
			t.Errorf("a calm snapshot logs %d lines, want 5 to 14\n%s", n, r.stderr)
		}
		// A person's form of both.
		r = u.with("ETCDSAFE_OUTPUT=text").run(t, append(args, "--log-level", "warn")...)
		if json.Valid([]byte(r.stdout)) || strings.Contains(r.stdout, "msg=") {
			t.Errorf("stdout is not for people: %v", r)
		}
		if r.code == 0 && r.stderr != "" {
			t.Errorf("nothing to warn of, and stderr says %q", r.stderr)
		}
	}
	// Nothing of a failure is on stdout but the report.
	r := u.with("ETCDSAFE_OUTPUT=text").exits(t, exitEtcd, "snapshot", "--endpoints", "127.0.0.1:1")
	if r.stdout != "" || !strings.Contains(r.stderr, "etcdsafe: ") {
		t.Error(r)
	}
}

// TestAReportReplacesNoDevice: as root a rename would put a file in the place of /dev/full for good.
func TestAReportReplacesNoDevice(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target.json"), filepath.Join(dir, "link.json")
	if err := errors.Join(os.WriteFile(target, []byte("what was there before"), 0o600), os.Symlink(target, link), replaceFile(link, []byte("{}\n"))); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "{}\n" {
		t.Errorf("the link's target holds %q, %v", text, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is one no more: %v, %v", info, err)
	}
	if err := replaceFile("/dev/full", []byte("{}\n")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a report to /dev/full: %v, want ENOSPC", err)
	}
	if info, err := os.Stat("/dev/full"); err != nil || info.Mode()&fs.ModeDevice == 0 {
		t.Errorf("/dev/full is no device any more: %v, %v", info, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
