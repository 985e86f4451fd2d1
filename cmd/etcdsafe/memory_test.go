package main

import (
	"io/fs"
	"math"
	"runtime/debug"
	"testing"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
)

// files plays a file system; what is not in it does not exist.
type files map[string]string

func (f files) read(name string) ([]byte, error) {
	if text, ok := f[name]; ok {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func TestTheContainersMemoryIsTheLeastLimit(t *testing.T) {
	const v1 = "/sys/fs/cgroup/memory"
	for _, c := range []struct {
		name  string
		files files
		want  int64
	}{
		{"version 2, as a container sees itself", files{"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "268435456\n"}, 256 << 20},
		{"version 2, without a limit", files{"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "max\n"}, 0},
		{"version 2, on a host, by a group above", files{
			"/proc/self/cgroup": "0::/a/b/c\n", "/sys/fs/cgroup/a/memory.max": "200\n", "/sys/fs/cgroup/a/b/memory.max": "max\n", "/sys/fs/cgroup/a/b/c/memory.max": "300\n",
		}, 200},
		{"version 2, moved out of its namespace", files{"/proc/self/cgroup": "0::/../../x\n", "/sys/fs/cgroup/memory.max": "70\n"}, 70},
		{"version 1, as a container sees itself under the host's path", files{
			"/proc/self/cgroup": "9:cpu,cpuacct:/docker/f\n4:memory:/docker/f\n0::/\n", v1 + "/memory.limit_in_bytes": "104857600\n",
		}, 100 << 20},
		{"version 1, without a limit", files{"/proc/self/cgroup": "4:memory:/\n", v1 + "/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		{"version 1, with larger pages", files{"/proc/self/cgroup": "4:memory:/\n", v1 + "/memory.limit_in_bytes": "9223372036854710272\n"}, 0},
		{"version 1, with other controllers", files{"/proc/self/cgroup": "4:hugetlb,memory:/a\n", v1 + "/a/memory.limit_in_bytes": "5000\n", v1 + "/memory.limit_in_bytes": "9223372036854771712\n"}, 5000},
		{"another controller's path", files{"/proc/self/cgroup": "4:cpu:/a\n", v1 + "/a/memory.limit_in_bytes": "5000\n"}, 0},
		{"nonsense", files{"/proc/self/cgroup": "memory\n\n4:memory\n0::/\n", "/sys/fs/cgroup/memory.max": "-1\n"}, 0},
		{"no control groups", files{}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := containerMemory(c.files.read)
			if ok != (c.want > 0) || ok && got != c.want {
				t.Errorf("containerMemory = %d, %v, want %d", got, ok, c.want)
			}
		})
	}
}

func TestMemoryIsSharedWithTheChild(t *testing.T) {
	container := files{"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "8589934592\n"}
	for _, c := range []struct {
		name  string
		env   []string
		files files
		own   int64
		child string
	}{
		{"by the container", []string{"GOMEMLIMIT="}, container, 4 << 30, "2147483648"},
		{"by the user", []string{"A=b", "GOMEMLIMIT=5GiB"}, container, math.MaxInt64, "5GiB"},
		{"not at all", nil, files{}, math.MaxInt64, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := debug.SetMemoryLimit(math.MaxInt64)
			defer debug.SetMemoryLimit(before)
			if got := limitMemory(c.env, c.files.read); got != (dbfile.Child{MemoryLimit: c.child}) {
				t.Errorf("limitMemory = %+v, want the child to get %q", got, c.child)
			}
			got, limited := heapLimit()
			if got != c.own || limited != (c.own < math.MaxInt64) {
				t.Errorf("heapLimit = %d, %v, want %d", got, limited, c.own)
			}
		})
	}
}
