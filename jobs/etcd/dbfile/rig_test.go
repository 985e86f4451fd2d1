package dbfile

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// filesToSpoil is how many files a test spoils: as many as it claims, or what the environment
// says, or a few in a short run.
func filesToSpoil(claim int) int {
	n, err := strconv.Atoi(os.Getenv("ETCDSAFE_TEST_FILES"))
	switch {
	case err == nil:
		return n
	case testing.Short():
		return max(40, claim/6)
	}
	return claim
}

// sample is a snapshot of a real member, and what the member said of the same revision.
type sample struct {
	bytes   []byte // without the trailing SHA-256
	rev     int64
	hash    uint32
	compact int64
	keys    int
}

// take fills a member with keys that were written once, written again, deleted and written anew,
// so that pages of each kind are in its file, and saves its snapshot.
func take(t *testing.T, version string, compacted bool) sample {
	t.Helper()
	const keys = 600
	c := etcdtest.Start(t, etcdtest.Options{Version: version})
	client := c.Client(t)
	put := func(i int) {
		t.Helper()
		if _, err := client.Put(t.Context(), fmt.Sprintf("/registry/pods/k%04d", i), strings.Repeat("value ", 2+i%40)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range keys {
		put(i)
	}
	for i := 0; i < keys; i += 3 {
		put(i)
	}
	for i := 0; i < keys; i += 10 {
		if _, err := client.Delete(t.Context(), fmt.Sprintf("/registry/pods/k%04d", i)); err != nil {
			t.Fatal(err)
		}
	}
	s := sample{keys: keys}
	if compacted {
		resp, err := client.Get(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Compact(t.Context(), resp.Header.Revision-20, clientv3.WithCompactPhysical()); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			put(keys + i)
		}
	}
	stream, err := client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.bytes, err = io.ReadAll(stream); err != nil {
		t.Fatal(err)
	}
	s.bytes = s.bytes[:len(s.bytes)-32]
	resp, err := client.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	s.rev = resp.Header.Revision
	s.hash, s.compact = c.HashKV(t, 0, s.rev)
	return s
}

// file lays data in a file of the test's own, open for reading and writing.
func file(t *testing.T, data []byte) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	refill(t, f, data)
	return f
}

// refill replaces what f holds.
func refill(t *testing.T, f *os.File, data []byte) {
	t.Helper()
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
}

// fit is how the file compares with what the member said.
func (s sample) fit(t *testing.T, f *os.File) (Fit, string) {
	t.Helper()
	facts, err := inspect(f, Query{Revision: s.rev, CompactRevision: s.compact})
	if err != nil {
		t.Fatalf("inspect: %v", err)
	}
	return facts.Fits(s.hash, s.compact)
}

// script is an executable in the place of a child.
func script(t *testing.T, text string) Child {
	t.Helper()
	path := filepath.Join(t.TempDir(), "child")
	// A process forked meanwhile would hold the file open for writing, and then it cannot run.
	syscall.ForkLock.RLock()
	err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return Child{Exe: path}
}

// versions are the etcds that a test is for; one of them in a short run.
func versions() []string {
	if testing.Short() {
		return etcdtest.Versions[1:2]
	}
	return etcdtest.Versions[:]
}
