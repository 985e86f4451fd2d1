package bucket

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"
)

// TestMain lets the test binary be the processes that a test needs besides its own.
func TestMain(m *testing.M) {
	switch os.Getenv("BUCKET_TEST_CHILD") {
	case "":
		m.Run()
	case "commit":
		commitChild()
	case "hang":
		hangChild()
	}
}

// modes are the ways in which a folder creates an object, by what its file system lacks.
func modes() map[string]system {
	return map[string]system{
		"nameless file and link": linux(),
		"named file and link":    withoutNameless(),
		"named file and rename":  withoutLinks(),
	}
}

// child starts this test binary in a role.
func child(t *testing.T, role, mode, dir string, id int) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "BUCKET_TEST_CHILD="+role, "BUCKET_TEST_MODE="+mode,
		"BUCKET_TEST_DIR="+dir, "BUCKET_TEST_ID="+strconv.Itoa(id))
	return cmd
}

// childBucket is the store that a child was started for.
func childBucket() *Bucket {
	b, err := openFile(os.Getenv("BUCKET_TEST_DIR"), FileOptions{}, modes()[os.Getenv("BUCKET_TEST_MODE")])
	if err != nil {
		panic(err)
	}
	return New(blob.NewBucket(b), "test://child", Kind{})
}

// commitChild uploads its id under each key that it reads, at the moment that stands beside it,
// and answers how that went.
func commitChild() {
	b := childBucket()
	id := os.Getenv("BUCKET_TEST_ID")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		key, at, _ := strings.Cut(in.Text(), " ")
		nanos, _ := strconv.ParseInt(at, 10, 64)
		r := &lateReader{at: time.Unix(0, nanos), r: strings.NewReader(id)}
		err := b.Upload(context.Background(), key, r, int64(len(id)))
		switch {
		case err == nil:
			fmt.Println("won")
		case errors.Is(err, ErrExists):
			fmt.Println("exists")
		default:
			fmt.Println(err)
		}
	}
}

// lateReader lets all writers come to the last step together.
type lateReader struct {
	at time.Time
	r  io.Reader
}

func (r *lateReader) Read(p []byte) (int, error) {
	<-time.After(time.Until(r.at))
	return r.r.Read(p)
}

// committer is a child that commits.
type committer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startCommitter(t *testing.T, mode, dir string, id int) committer {
	t.Helper()
	cmd := child(t, "commit", mode, dir, id)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	return committer{cmd, in, bufio.NewScanner(out)}
}

func TestOneOfEightProcessesWins(t *testing.T) {
	for mode := range modes() {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			var all []committer
			for id := range 8 {
				all = append(all, startCommitter(t, mode, dir, id))
			}
			for round := range 20 {
				commitRound(t, dir, all, fmt.Sprintf("prod/manifests/%d.json", round))
			}
		})
	}
}

// commitRound lets all commit one key and checks that one did.
func commitRound(t *testing.T, dir string, all []committer, key string) {
	t.Helper()
	line := fmt.Sprintf("%s %d\n", key, time.Now().Add(5*time.Millisecond).UnixNano())
	for _, c := range all {
		if _, err := io.WriteString(c.in, line); err != nil {
			t.Fatal(err)
		}
	}
	var winners []int
	for id, c := range all {
		if !c.out.Scan() {
			t.Fatalf("process %d is gone: %v", id, c.out.Err())
		}
		switch answer := c.out.Text(); answer {
		case "won":
			winners = append(winners, id)
		case "exists":
		default:
			t.Errorf("process %d: %s", id, answer)
		}
	}
	if len(winners) != 1 {
		t.Fatalf("%q was committed by processes %v, want one", key, winners)
	}
	got, err := os.ReadFile(filepath.Join(dir, key))
	if err != nil || string(got) != strconv.Itoa(winners[0]) {
		t.Errorf("%q holds %q, %v; want the winner's %d", key, got, err, winners[0])
	}
}

// hangChild uploads a source that never ends, and says so once the store has a part of it.
func hangChild() {
	b := childBucket()
	err := b.Upload(context.Background(), "prod/archives/1", &hangingReader{left: 1 << 20}, 2<<20)
	panic(fmt.Sprintf("Upload returned %v", err))
}

type hangingReader struct{ left int }

func (r *hangingReader) Read(p []byte) (int, error) {
	if r.left > 0 {
		n := min(len(p), r.left)
		r.left -= n
		return n, nil
	}
	fmt.Println("hanging")
	select {}
}

func TestAKilledWriterLeavesNothingListed(t *testing.T) {
	for mode, sys := range modes() {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			killWriter(t, mode, dir)
			left := filesIn(t, dir)
			if mode == "nameless file and link" && len(left) > 0 {
				t.Errorf("a killed writer left %q", left)
			}
			if mode != "nameless file and link" && len(left) != 1 {
				t.Errorf("a killed writer left %q; this test should have seen its part", left)
			}
			b := openTest(t, dir, sys)
			if keys := listTest(t, b, ""); len(keys) > 0 {
				t.Errorf("List after a killed writer = %q, want nothing", keys)
			}
			if err := b.Upload(t.Context(), "prod/archives/1", bytes.NewReader([]byte("x")), 1); err != nil {
				t.Errorf("Upload after a killed writer: %v", err)
			}
		})
	}
}

// killWriter kills a process with a part of an object in the store.
func killWriter(t *testing.T, mode, dir string) {
	t.Helper()
	cmd := child(t, "hang", mode, dir, 0)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "hanging\n" {
		t.Fatalf("the writer said %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
}

// filesIn returns all files below dir, listed or not.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// openTest opens dir with the system calls of sys.
func openTest(t *testing.T, dir string, sys system) *Bucket {
	t.Helper()
	raw, err := openOn(dir, sys)
	if err != nil {
		t.Fatal(err)
	}
	b := New(raw, "test://store", Kind{})
	t.Cleanup(func() { b.Close() })
	return b
}

func listTest(t *testing.T, b *Bucket, prefix string) []string {
	t.Helper()
	var keys []string
	for obj, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("List(%q): %v", prefix, err)
		}
		keys = append(keys, obj.Key)
	}
	return keys
}
