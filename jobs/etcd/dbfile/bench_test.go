package dbfile

import (
	"encoding/binary"
	"runtime"
	"testing"
)

// BenchmarkKeySet tells the memory of a key that must be remembered.
func BenchmarkKeySet(b *testing.B) {
	const n = 1_000_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := newKeySet(n)
		key := make([]byte, 8)
		for i := range uint64(n) {
			binary.LittleEndian.PutUint64(key, i)
			s.add(key)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/key")
		runtime.KeepAlive(s)
	}
}
