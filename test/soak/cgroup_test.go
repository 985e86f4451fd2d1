package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A controller is the memory controller's files, by what they mean here.
type controller struct {
	root              string // the folder of the group that this process is in
	limit, swap, peak string
	stat, anonymous   string
	ends, killed      string
	handDown          string // in the parent: what its groups may control
	swapIsSum         bool
}

// In version 1 the file for swap counts memory and swap together. It is missing where the kernel
// does not count swap.
var (
	version1 = controller{limit: "memory.limit_in_bytes", swap: "memory.memsw.limit_in_bytes", swapIsSum: true,
		peak: "memory.max_usage_in_bytes", stat: "memory.stat", anonymous: "total_rss", ends: "memory.oom_control", killed: "oom_kill"}
	version2 = controller{handDown: "cgroup.subtree_control", limit: "memory.max", swap: "memory.swap.max",
		peak: "memory.peak", stat: "memory.stat", anonymous: "anon", ends: "memory.events", killed: "oom_kill"}
)

// A group is a control group of ours with a memory limit.
type group struct {
	controller
	t   *testing.T
	dir string
}

// newGroup makes a group below the one that this process is in, or beside it, with a limit and
// no swap. Where none can be made the test fails: it has nothing else to show.
func newGroup(t *testing.T, limitBytes int64) *group {
	t.Helper()
	found, err := controllers()
	faults := []error{err}
	for _, c := range found {
		for _, parent := range []string{c.root, filepath.Dir(c.root)} {
			g := &group{controller: c, t: t, dir: filepath.Join(parent, fmt.Sprintf("etcdsafe-soak-%d-%d", os.Getpid(), time.Now().UnixNano()))}
			if err := g.make(limitBytes); err != nil {
				faults = append(faults, err)
				continue
			}
			t.Cleanup(g.remove)
			return g
		}
	}
	t.Fatalf("no memory cgroup of our own can be made here; run as root, in a container with a writable /sys/fs/cgroup, or under `systemd-run --user --scope -p Delegate=yes`: %v", errors.Join(faults...))
	return nil
}

func (g *group) make(limitBytes int64) error {
	if g.handDown != "" {
		// Refused where processes are in the parent itself; it may be handed down already.
		_ = os.WriteFile(filepath.Join(filepath.Dir(g.dir), g.handDown), []byte("+memory"), 0o644)
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return err
	}
	limit := strconv.FormatInt(limitBytes, 10)
	err := os.WriteFile(filepath.Join(g.dir, g.limit), []byte(limit), 0o644)
	if err == nil {
		swap := "0"
		if g.swapIsSum {
			swap = limit
		}
		if file := filepath.Join(g.dir, g.swap); exists(file) {
			err = os.WriteFile(file, []byte(swap), 0o644)
		}
	}
	if err != nil {
		return errors.Join(err, os.Remove(g.dir))
	}
	return nil
}

// remove waits for the group to be empty: a process that was waited for is counted a moment
// longer.
func (g *group) remove() {
	if err := within(func() error { return os.Remove(g.dir) }); err != nil {
		g.t.Errorf("remove cgroup: %v", err)
	}
}

// confine makes cmd run in the group from its first instruction: a shell joins, then becomes it.
func (g *group) confine(ctx context.Context, cmd *exec.Cmd) *exec.Cmd {
	const script = `echo $$ >"$0/cgroup.procs" && exec "$@"`
	out := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", script, g.dir}, cmd.Args...)...)
	out.Env, out.Dir = cmd.Env, cmd.Dir
	return out
}

// read returns what a file says, which is one number, or the number behind a word in it.
func (g *group) read(file, word string) (int64, error) {
	raw, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw))
	at := 0
	if word != "" {
		at = 1 + slices.Index(fields, word)
	}
	if at >= len(fields) || word != "" && at == 0 {
		return 0, fmt.Errorf("%s has no number for %q: %q", file, word, raw)
	}
	return strconv.ParseInt(fields[at], 10, 64)
}

// use is what a group took.
type use struct {
	peak      int64 // with the page cache, which grows up to the limit
	anonymous int64 // the most that was seen of it, every 20 ms
	kills     int64 // by the kernel, for lack of memory
}

// during watches the group while f runs.
func (g *group) during(f func()) use {
	g.t.Helper()
	done, stopped := make(chan struct{}), make(chan struct{})
	var u use
	var err error
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			var now int64
			if now, err = g.read(g.stat, g.anonymous); err != nil {
				return
			}
			u.anonymous = max(u.anonymous, now)
		}
	}()
	f()
	close(done)
	<-stopped
	var peakErr, killsErr error
	u.peak, peakErr = g.read(g.peak, "")
	u.kills, killsErr = g.read(g.ends, g.killed)
	if err := errors.Join(err, peakErr, killsErr); err != nil {
		g.t.Fatalf("figures of the cgroup: %v", err)
	}
	return u
}

// controllers are the memory controllers that this process is under, version 1 first: where
// both are mounted the memory is counted there.
func controllers() ([]controller, error) {
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var out []controller
	for line := range strings.Lines(string(raw)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		c, kind := version2, "cgroup2"
		if parts[1] != "" {
			c, kind = version1, "cgroup"
		}
		if parts[1] != "" && !slices.Contains(strings.Split(parts[1], ","), "memory") {
			continue
		}
		if c.root = mounted(string(mounts), kind, parts[2]); c.root != "" {
			out = append(out, c)
		}
	}
	return out, nil
}

// mounted is where a group's folder is seen: a mount may show a part of the hierarchy alone.
func mounted(mounts, kind, path string) string {
	for line := range strings.Lines(mounts) {
		what, how, ok := strings.Cut(line, " - ")
		seen, super := strings.Fields(what), strings.Fields(how)
		if !ok || len(seen) < 5 || len(super) < 3 || super[0] != kind {
			continue
		}
		if kind == "cgroup" && !slices.Contains(strings.Split(super[2], ","), "memory") {
			continue
		}
		if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(seen[3], "/")); ok {
			return filepath.Join(seen[4], rest)
		}
	}
	return ""
}
