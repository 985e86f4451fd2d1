package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// cutAfter is how long a defragmentation has lasted when its connection is cut, and after how long
// the plain client gives up.
const cutAfter = 2 * time.Second

// TestACutDefragmentationIsWaitedFor: the client's connection is cut in mid-defragmentation. It is
// told of as running, waited for, and only then comes the next member; where a plain client that gives
// up goes from member to member, they overlap.
func TestACutDefragmentationIsWaitedFor(t *testing.T) {
	t.Parallel()
	size := scaleOf(t)
	sum := newSummary(t, "defrags-cut")
	lines := make([][2]string, len(etcdtest.Versions))
	t.Run("on", func(t *testing.T) {
		for i, version := range etcdtest.Versions {
			if size.cutDefrag < whole.cutDefrag && version != "3.6" {
				continue
			}
			t.Run(version+"/etcdsafe", func(t *testing.T) {
				t.Parallel()
				lines[i][0] = cutOne(t, version, size.cutDefrag)
			})
			t.Run(version+"/plain", func(t *testing.T) {
				t.Parallel()
				lines[i][1] = plainLoop(t, version, size.cutDefrag)
			})
		}
	})
	for _, pair := range lines {
		for _, line := range pair {
			if line != "" {
				sum.add(line)
			}
		}
	}
}

// cutOne runs etcdsafe, and cuts its connections to the first member at work.
func cutOne(t *testing.T, version string, long time.Duration) string {
	u := newUser(t)
	c := etcdtest.Start(t, etcdtest.Options{Version: version, Members: 3, Failpoints: true, Proxied: true})
	_, stop := startWriters(t, c)
	defer stop()
	slow(t, c, time.Second)
	for i, m := range c.Members {
		if i != c.Leader(t) { // a follower is begun with
			m.Failpoint(t, "defragBeforeCopy", fmt.Sprintf("1*sleep(%d)->sleep(1000)", long.Milliseconds()))
		}
	}
	run := u.start(t, "defrag", "--endpoints", strings.Join(c.Endpoints(), ","), "--wait", "2s", "--allow-short-wait",
		"--sustain", "0", "--cool-down", "0", "--rule", "dbSize > 0")
	first := 0
	waitFor(t, "defragmentation", time.Minute, func() bool {
		for i, m := range c.Members {
			if m.Metric(t, "etcd_disk_defrag_inflight") == 1 {
				first = i
				return true
			}
		}
		return false
	})
	for i, m := range c.Members {
		if i != first { // one that is cut is enough
			m.Failpoint(t, "defragBeforeCopy", "sleep(1000)")
		}
	}
	rest(t, cutAfter)
	c.Members[first].Proxy.CutAfter(0, etcdtest.RST)
	rest(t, 500*time.Millisecond)
	c.Members[first].Proxy.Heal(t)
	run.until(`"msg":"defragmentation goes on in the server"`)
	code, r := run.wait()
	h := historyOf(t, c, run.began)
	if code != 0 || r.with("defragmented") != 3 || run.lines(`"msg":"defragmentation was not answered"`) != 1 {
		t.Errorf("defrag exits with %d\n%s", code, run)
	}
	for _, fault := range append(h.together(), h.ledAtWork()...) {
		t.Error(fault)
	}
	if len(h.works) != 3 || h.works[0].member != first || h.works[0].to.Sub(h.works[0].from) < long {
		t.Fatalf("defragmentations: %+v, want one of each member, the first for %s", h.works, long)
	}
	return fmt.Sprintf("- etcd %s, a defragmentation of %.1f s, connection cut after %s: told of as running, and waited for; the next member began %.1f s after its end. 3 defragmentations, none together with another.",
		version, h.works[0].to.Sub(h.works[0].from).Seconds(), cutAfter, h.works[1].from.Sub(h.works[0].to).Seconds())
}

// plainLoop is what a script does: one member after the other, and each given up after a time.
func plainLoop(t *testing.T, version string, long time.Duration) string {
	c := etcdtest.Start(t, etcdtest.Options{Version: version, Members: 3, Failpoints: true})
	slow(t, c, long)
	failed, h := etcdctlLoop(t, c, version, []int{0, 1, 2}, cutAfter)
	if failed == 0 || len(h.together()) == 0 {
		t.Errorf("a plain loop: %d calls failed, no two members at work at once: %+v", failed, h.works)
	}
	return fmt.Sprintf("- etcd %s, `etcdctl defrag --command-timeout %s` for each member in turn on such a cluster: %d of 3 calls failed and worked on; %s.", version, cutAfter, failed, worstOf(h))
}

// etcdctlLoop calls etcdctl defrag for one member after the other, whatever the last call came to, and
// returns when no member works any more.
func etcdctlLoop(t *testing.T, c *etcdtest.Cluster, version string, order []int, giveUp time.Duration) (failed int, h history) {
	t.Helper()
	began := time.Now()
	for _, i := range order {
		m := c.Members[i]
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
		cmd := exec.CommandContext(ctx, etcdtest.Tool(t, "etcdctl-"+version), "defrag", "--endpoints", m.ClientURL, "--command-timeout", giveUp.String())
		cmd.Env = []string{"PATH=/usr/bin:/bin"}
		out, err := cmd.CombinedOutput()
		stop()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			failed++
			t.Logf("etcdctl defrag of %s: %s", m.Name, bytes.TrimSpace(out))
		} else if err != nil {
			t.Fatalf("etcdctl defrag: %v", err)
		}
	}
	waitFor(t, "end of all", 5*time.Minute, func() bool {
		h = historyOf(t, c, began)
		return len(h.works) == len(order) && !slices.ContainsFunc(h.works, spell.open)
	})
	return failed, h
}

// worstOf is for how long how many members were at work at once.
func worstOf(h history) string {
	most, long := 0, time.Duration(0)
	for i, s := range h.works {
		now, until := 1, s.to
		for j, other := range h.works {
			if i != j && other.meets(s.from, s.from) {
				now++
				if other.to.Before(until) {
					until = other.to
				}
			}
		}
		if lasted := until.Sub(s.from); now > most || now == most && lasted > long {
			most, long = now, lasted
		}
	}
	return fmt.Sprintf("%d members at work at once for %.1f s", most, long.Seconds())
}
