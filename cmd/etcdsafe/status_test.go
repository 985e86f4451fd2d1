package main

import (
	"testing"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// TestWatchLooksUntilStopped: a cluster that gets sick is told of, and ends nothing.
func TestWatchLooksUntilStopped(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newUser(t, "ETCDSAFE_ENDPOINTS="+c.Endpoints()[0])
	for _, s := range stops {
		r := u.start(t, "status", "--watch", "--interval", "20ms")
		r.until(t, "ENDPOINT ", 3)
		c.Members[0].Kill(t)
		r.until(t, "etcdsafe: no endpoint told the members", 2)
		c.Members[0].Restart(t)
		r.until(t, "ENDPOINT ", 2)
		r.signal(t, s.signal)
		out := r.ends(t)
		if out.code != s.code {
			t.Errorf("exit code %d, want %d\n%v", out.code, s.code, out)
		}
	}
}

func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{0: "0.0%", 0.0004: "0.0%", 0.4999: "50.0%", 0.07507: "7.5%", 1: "100.0%", 1.25: "125.0%"} {
		if got := percent(share); got != want {
			t.Errorf("percent(%v) = %q, want %q", share, got, want)
		}
	}
}
