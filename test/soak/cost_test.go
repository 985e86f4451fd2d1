package soak

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// costScale is how long what lasts in a measurement of defragmentations.
type costScale struct {
	lasts        []time.Duration // a defragmentation, at least
	rounds       int             // of the first; the others are made once
	plain, other time.Duration   // how long each loop waits for a member
	wait         time.Duration   // ours, between members
	pause        time.Duration   // in which our requests are counted
}

// costScaleOf goes by ETCDSAFE_BENCH, the number of rounds, which scripts/bench.sh sets. Timeouts are
// then those of the tools' own documents: etcdctl's --command-timeout is 5 s, that of
// github.com/ahrtr/etcd-defrag 30 s, with --continue-on-error.
func costScaleOf(t *testing.T) costScale {
	t.Helper()
	text, given := os.LookupEnv("ETCDSAFE_BENCH")
	if !given {
		return costScale{lasts: []time.Duration{3 * time.Second}, rounds: 1,
			plain: time.Second, other: 6 * time.Second, wait: time.Second, pause: 12 * time.Second}
	}
	rounds, err := strconv.Atoi(text)
	if err != nil || rounds < 1 {
		t.Fatalf("ETCDSAFE_BENCH is %q, want a number of rounds", text)
	}
	return costScale{lasts: []time.Duration{15 * time.Second, 65 * time.Second}, rounds: rounds,
		plain: 5 * time.Second, other: 30 * time.Second, wait: 5 * time.Second, pause: time.Minute}
}

// tools are what defragments a cluster, in the table's order.
var tools = []struct {
	name string
	run  func(t *testing.T, c *etcdtest.Cluster, s costScale) history
}{
	{"`etcdsafe defrag`", ourDefrag},
	{"plain loop: `etcdctl defrag`, member by member", func(t *testing.T, c *etcdtest.Cluster, s costScale) history {
		_, h := etcdctlLoop(t, c, costVersion, []int{0, 1, 2}, s.plain)
		return h
	}},
	{"loop like etcd-defrag's defaults: leader last, on after an error", func(t *testing.T, c *etcdtest.Cluster, s costScale) history {
		leader := c.Leader(t)
		_, h := etcdctlLoop(t, c, costVersion, []int{(leader + 1) % 3, (leader + 2) % 3, leader}, s.other)
		return h
	}},
}

const costVersion = "3.6"

// cost is what a run of one tool did to writers.
type cost struct {
	healthy            []time.Duration // how long writes took through members that were not at work
	gap                time.Duration   // the longest time in which no writer succeeded
	atWork, elsewhere  int             // writes that failed
	together, ledWorks int             // faults of the history
	worst              string
	took               time.Duration
}

// TestWhatADefragmentationCosts defragments three clusters at the same time, each with another tool and
// the same writers, and keeps what became of the writes. The figures are scripts/bench.sh's: what fails
// this test is ours at work on two members at once, on one that leads, or with too many requests.
func TestWhatADefragmentationCosts(t *testing.T) {
	t.Parallel()
	s := costScaleOf(t)
	sum := newSummary(t, "defrag-1-cost")
	for i, lasts := range s.lasts {
		rounds := 1
		if i == 0 {
			rounds = s.rounds
		}
		costs := make([][]cost, len(tools))
		for range rounds {
			t.Run("at work for "+lasts.String(), func(t *testing.T) {
				for k, tool := range tools {
					t.Run(strconv.Itoa(k), func(t *testing.T) {
						t.Parallel()
						one := costOf(t, s, lasts, tool.run)
						costs[k] = append(costs[k], one)
					})
				}
			})
			if t.Failed() {
				return
			}
		}
		for _, ours := range costs[0] {
			if ours.together+ours.ledWorks > 0 {
				t.Errorf("etcdsafe had %d members at work together, %d while they led", ours.together, ours.ledWorks)
			}
		}
		costTable(sum, lasts, costs)
	}
	sum.add(fmt.Sprintf("Three clusters of three members of etcd %s at the same time, one for each tool. Each has %d writers through one member each, a third of them through "+
		"each member, a write every %s given up after %s. A failpoint inside the server's locks (`defragBeforeCopy`) makes each defragmentation last. A gap is the longest time "+
		"in which none of the %d writers succeeded; p50 and p99 are of writes through members not at work. Ours waits %s between members. Medians of %d rounds for the first table, "+
		"failures of all rounds. The loops call etcdctl with the timeouts that the tools' documents name, %s and %s: etcd-defrag itself is not to be had as a Go module.",
		costVersion, writerCount, writeEvery, writeWait, writerCount, s.wait, s.rounds, s.plain, s.other))
}

// costOf runs a tool on a cluster of its own.
func costOf(t *testing.T, s costScale, lasts time.Duration, run func(*testing.T, *etcdtest.Cluster, costScale) history) cost {
	t.Helper()
	c := etcdtest.Start(t, etcdtest.Options{Version: costVersion, Members: 3, Failpoints: true, Args: []string{"--heartbeat-interval=100", "--election-timeout=1000"}}) // etcd's defaults
	slow(t, c, lasts)
	writers, stop := startWriters(t, c)
	rest(t, time.Second)
	writers.take()
	began := time.Now()
	h := run(t, c, s)
	one := cost{took: time.Since(began), together: len(h.together()), ledWorks: len(h.ledAtWork()), worst: worstOf(h)}
	rest(t, time.Second)
	stop()
	one.judge(writers.take(), h)
	return one
}

// ourDefrag runs the binary.
func ourDefrag(t *testing.T, c *etcdtest.Cluster, s costScale) history {
	t.Helper()
	u := newUser(t)
	run := u.start(t, "defrag", "--endpoints", strings.Join(c.Endpoints(), ","), "--wait", s.wait.String(), "--allow-short-wait",
		"--sustain", "0", "--cool-down", "0", "--rule", "dbSize > 0")
	if code, r := run.wait(); code != 0 || r.with("defragmented") != 3 {
		t.Errorf("defrag exits with %d\n%s", code, run)
	}
	return historyOf(t, c, run.began)
}

// judge sorts writes by what their member did.
func (c *cost) judge(writes []write, h history) {
	slices.SortFunc(writes, func(a, b write) int { return a.done.Compare(b.done) })
	var last time.Time
	for _, w := range writes {
		atWork := slices.ContainsFunc(h.works, func(s spell) bool { return s.member == w.member && s.meets(w.sent, w.done) })
		switch {
		case w.err != nil && atWork:
			c.atWork++
			continue
		case w.err != nil:
			c.elsewhere++
			continue
		case !atWork:
			c.healthy = append(c.healthy, w.done.Sub(w.sent))
		}
		if !last.IsZero() {
			c.gap = max(c.gap, w.done.Sub(last))
		}
		last = w.done
	}
	slices.Sort(c.healthy)
}

// costTable is the table of defragmentations that last so long.
func costTable(sum *summary, lasts time.Duration, costs [][]cost) {
	sum.add(fmt.Sprintf("Each member at work for %s, in seconds:", lasts))
	sum.add("")
	sum.add("| tool | p50 | p99 | longest gap | against the plain loop's | must | writes failed at the member at work | elsewhere | at the worst | all took |")
	sum.add("|---|" + strings.Repeat("---:|", 9))
	plain := middle(costs[1], func(c cost) time.Duration { return c.gap })
	for k, tool := range tools {
		rounds := costs[k]
		gap := middle(rounds, func(c cost) time.Duration { return c.gap })
		atWork, elsewhere := 0, 0
		for _, c := range rounds {
			atWork, elsewhere = atWork+c.atWork, elsewhere+c.elsewhere
		}
		must := ""
		if k == 0 {
			must = "≤ 0.50, " + map[bool]string{true: "reached", false: "**missed**"}[gap*2 <= plain]
		}
		sum.add(fmt.Sprintf("| %s | %.3f | %.3f | %.2f | %.2f | %s | %d | %d | %s | %.0f |", tool.name,
			middle(rounds, func(c cost) time.Duration { return c.percentile(50) }).Seconds(),
			middle(rounds, func(c cost) time.Duration { return c.percentile(99) }).Seconds(),
			gap.Seconds(), gap.Seconds()/plain.Seconds(), must, atWork, elsewhere, rounds[0].worst,
			middle(rounds, func(c cost) time.Duration { return c.took }).Seconds()))
	}
	sum.add("")
}

func (c cost) percentile(p int) time.Duration {
	if len(c.healthy) == 0 {
		return 0
	}
	return c.healthy[(len(c.healthy)-1)*p/100]
}

// middle is the median of some rounds.
func middle(rounds []cost, of func(cost) time.Duration) time.Duration {
	var all []time.Duration
	for _, c := range rounds {
		all = append(all, of(c))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// requestsMost is how many requests a member may get in a minute from a job that waits.
const requestsMost = 50

// TestADefragThatWaitsAsksLittle counts what a run in its pause asks of members that nobody else asks.
func TestADefragThatWaitsAsksLittle(t *testing.T) {
	t.Parallel()
	s := costScaleOf(t)
	sum := newSummary(t, "defrag-2-requests")
	u := newUser(t)
	c := etcdtest.Start(t, etcdtest.Options{Version: costVersion, Members: 3})
	run := u.start(t, "defrag", "--endpoints", strings.Join(c.Endpoints(), ","), "--wait", (s.pause + 4*time.Second).String(), "--allow-short-wait",
		"--sustain", "0", "--cool-down", "0", "--rule", "dbSize > 0", "--max-members", "2")
	run.until(`"msg":"pause"`)
	rest(t, time.Second)
	from, before := time.Now(), requests(t, c)
	rest(t, s.pause)
	after, minutes := requests(t, c), time.Since(from).Minutes()
	if run.lines(`"msg":"etcd member has been defragmented`) != 1 {
		t.Errorf("the pause was over before it was measured\n%s", run)
	}
	var counts []string
	most := requestsMost * float64(time.Minute/programs.lease) // a shorter lease is renewed more often
	for i, m := range c.Members {
		a := (after[i] - before[i] - 1) / minutes // the first question is counted once it was answered
		counts = append(counts, fmt.Sprintf("%.0f", a))
		if a >= most {
			t.Errorf("%s got %.0f requests a minute, want less than %.0f", m.Name, a, most)
		}
	}
	run.end()
	sum.add(fmt.Sprintf("Requests that a run makes while it waits between members, by minute and member: %s (must: < %.0f). By the members' own counters over %s: messages on all gRPC calls, with what keeps the lock alive, and reads of `/metrics`.",
		strings.Join(counts, ", "), most, s.pause))
}

// requests is what each member was asked so far, this question not counted yet.
func requests(t *testing.T, c *etcdtest.Cluster) (out []float64) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for _, m := range c.Members {
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		text := page(ctx, client, m.MetricsURL+"/metrics")
		stop()
		n, seen := 0.0, false
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "grpc_server_msg_received_total{") && !strings.HasPrefix(line, "promhttp_metric_handler_requests_total{") {
				continue
			}
			_, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatalf("%s: %q: %v", m.Name, line, err)
			}
			n, seen = n+f, true
		}
		if !seen {
			t.Fatalf("%s: its metrics tell of no requests", m.Name)
		}
		out = append(out, n)
	}
	return out
}
