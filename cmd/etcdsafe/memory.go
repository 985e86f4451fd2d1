package main

import (
	"math"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
)

// limitMemory shares a container's memory between this process's heap, which gets the half, and
// that of its child, a quarter. Go's runtime does not look at such limits by itself, and lets a
// heap double before it collects. The rest is for pages of files: a mapped database is page cache,
// which counts as no heap, and a walk without room for it is slow. A GOMEMLIMIT of the user's holds
// as it is, in both. Where there is neither, nothing is limited.
func limitMemory(env []string, readFile func(string) ([]byte, error)) dbfile.Child {
	for _, pair := range env {
		if own, ok := strings.CutPrefix(pair, "GOMEMLIMIT="); ok && own != "" {
			return dbfile.Child{MemoryLimit: own}
		}
	}
	bytes, ok := containerMemory(readFile)
	if !ok {
		return dbfile.Child{}
	}
	debug.SetMemoryLimit(bytes / 2)
	return dbfile.Child{MemoryLimit: strconv.FormatInt(bytes/4, 10)}
}

// heapLimit is what this process's heap is held to, in bytes.
func heapLimit() (int64, bool) {
	bytes := debug.SetMemoryLimit(-1) // asks
	return bytes, bytes < noLimit
}

// noLimit and more is how version 1 writes that there is none: the pages that an int64 can count.
const noLimit = math.MaxInt64 &^ 0xffff

// containerMemory is the least limit of the control groups that this process is in, of version 1
// or 2. A container sees its own group as the root of the tree, whatever path the kernel tells;
// a process outside of one sees all groups above it.
func containerMemory(readFile func(string) ([]byte, error)) (int64, bool) {
	least := int64(noLimit)
	groups, err := readFile("/proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		root, file := "/sys/fs/cgroup", "memory.max"
		if parts[1] != "" {
			root, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
			if !slices.Contains(strings.Split(parts[1], ","), "memory") {
				continue
			}
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			text, err := readFile(path.Join(root, dir, file))
			if bytes, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && bad == nil && bytes > 0 {
				least = min(least, bytes)
			}
			if dir == "/" {
				break
			}
		}
	}
	return least, least < noLimit
}
