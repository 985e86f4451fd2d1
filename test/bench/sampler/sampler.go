//go:build benchheap

// This file is compiled into command etcdsafe by scripts/bench.sh, as an overlay, and nowhere
// else: each process then writes down the peaks of its heap, its children as well, whose
// environment is empty.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/metrics"
	"time"
)

func init() {
	exe, err := os.Executable()
	if err != nil || len(os.Args) < 2 {
		return
	}
	name := fmt.Sprintf("%s.%d", os.Args[1], os.Getpid())
	f, err := os.Create(filepath.Join(filepath.Dir(exe), "samples", name))
	if err != nil {
		return // not a run that is measured
	}
	if _, err := f.WriteAt(sampleLine(0, 0), 0); err == nil {
		go sampleHeap(f)
	}
}

func sampleLine(live, objects uint64) []byte { return fmt.Appendf(nil, "%020d %020d\n", live, objects) }

// sampleHeap looks a thousand times a second: the live figure changes with each collection alone.
// It overwrites lines of one length, so that the file is whole whenever the process ends.
func sampleHeap(f *os.File) {
	now := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	var live, objects uint64
	for range time.Tick(time.Millisecond) {
		metrics.Read(now)
		l, o := max(live, now[0].Value.Uint64()), max(objects, now[1].Value.Uint64())
		if l == live && o == objects {
			continue
		}
		if _, err := f.WriteAt(sampleLine(l, o), 0); err == nil {
			live, objects = l, o
		}
	}
}
