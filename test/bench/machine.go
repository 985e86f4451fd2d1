package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// A fact is one line of what the figures belong to.
type fact struct{ name, value string }

// facts are of the machine and of what runs on it.
func (b *bench) facts(ctx context.Context) ([]fact, error) {
	cpu, err := field("/proc/cpuinfo", "model name")
	if err != nil {
		return nil, err
	}
	total, err := field("/proc/meminfo", "MemTotal")
	if err != nil {
		return nil, err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return nil, err
	}
	out := []fact{
		{"commit", b.commit},
		{"CPU", fmt.Sprintf("%s, %d cores", cpu, runtime.NumCPU())},
		{"memory", gibibytes(total)},
		{"kernel", "Linux " + strings.TrimSpace(string(kernel))},
	}
	for _, v := range []struct {
		name, path string
		args       []string
	}{
		{"work folder", "df", []string{"--output=fstype,avail", "-h", b.work}},
		{"etcd", b.tool("etcd"), []string{"--version"}},
		{"etcdctl", b.tool("etcdctl"), []string{"version"}},
		{"etcdutl", b.tool("etcdutl"), []string{"version"}},
		{"zstd", "zstd", []string{"--version"}},
		{"age", b.tool("age"), []string{"--version"}},
	} {
		o, err := b.run(ctx, v.path, v.args...)
		if err != nil {
			return nil, err
		}
		out = append(out, fact{v.name, version(string(o.stdout))})
	}
	return append(out, fact{"Go", runtime.Version()}), nil
}

// version is what a tool says of itself, without its name and ornaments: of several lines the
// first, of a table with a head its row.
func version(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	if strings.HasPrefix(lines[0], "Type") {
		return strings.Join(strings.Fields(lines[len(lines)-1]), ", free: ")
	}
	_, number, ok := strings.Cut(lines[0], "ersion: ")
	if !ok {
		number = lines[0]
	}
	return strings.Trim(number, "* ")
}

// field is the value of a line `name : value`.
func field(path, name string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "not told", nil // some machines name no model
}

// gibibytes turns the kernel's `N kB`.
func gibibytes(kib string) string {
	n, err := strconv.ParseInt(strings.TrimSuffix(kib, " kB"), 10, 64)
	if err != nil {
		return kib
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<20))
}

// load is the machine's load over the last minute: what else ran spoils the figures.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "not told"
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}
