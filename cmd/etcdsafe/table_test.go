package main

import (
	"math"
	"testing"
	"time"
)

func TestAge(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		0: "0s", 59 * time.Second: "59s", time.Minute: "1m", 59*time.Minute + 59*time.Second: "59m", time.Hour: "1h00m",
		2*day - time.Second: "47h59m", 2 * day: "2d", 400 * day: "400d", -time.Second: "-1s", -3 * day: "-3d",
		math.MaxInt64: "106751d",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1 << 20: "1.0 MiB", 5 << 30: "5.00 GiB",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestProgressLine(t *testing.T) {
	for _, c := range []struct {
		done, total int64
		took        time.Duration
		want        string
	}{
		{0, 100 << 20, 5 * time.Second, "stream: 0 B of 100.0 MiB"},
		{10 << 20, 100 << 20, 500 * time.Millisecond, "stream: 10.0 MiB of 100.0 MiB"},
		{10 << 20, 100 << 20, 10 * time.Second, "stream: 10.0 MiB of 100.0 MiB, 1.0 MiB/s, 1m30s left"},
		{100 << 20, 100 << 20, 10 * time.Second, "stream: 100.0 MiB of 100.0 MiB, 10.0 MiB/s, 0s left"},
	} {
		if got := progressLine("stream", c.done, c.total, c.took); got != c.want {
			t.Errorf("progressLine(%d of %d in %v) = %q, want %q", c.done, c.total, c.took, got, c.want)
		}
	}
}
