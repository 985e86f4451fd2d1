package soak

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// noSpaceRun is how long a run lasts on a cluster without space: it watches for (--wait + 30 s), and up
// to half of that more, and then needs some 15 s for three members. Offsets are drawn over all of it.
func noSpaceRun() time.Duration { return (2*time.Second+programs.watch)*3/2 + 17*time.Second }

// noSpaceClusters is how many clusters have pairs side by side: they mostly wait.
const noSpaceClusters = 7

// TestNoSpaceRunsNeverMeet starts two runs, and many, on a cluster that gives no lease: an alarm NOSPACE
// is active. By the servers' logs no two members are ever at work at once, and after at most one more
// run the cluster takes writes.
func TestNoSpaceRunsNeverMeet(t *testing.T) {
	t.Parallel()
	size := scaleOf(t)
	seed := uint64(time.Now().UnixNano())
	sum := newSummary(t, "nospace")
	rnd := rand.New(rand.NewPCG(seed, 1))
	offsets := make([]time.Duration, size.noSpacePairs)
	for i := range offsets { // one in each part of the run
		offsets[i] = time.Duration((float64(i) + rnd.Float64()) / float64(len(offsets)) * float64(noSpaceRun()))
	}
	pairs, crowd := &noSpace{ends: map[string]int{}}, &noSpace{ends: map[string]int{}}
	t.Run("on", func(t *testing.T) {
		if size.noSpaceAtOnce > 0 {
			t.Run("crowd", func(t *testing.T) {
				t.Parallel()
				crowd.round(newFull(t, "3.6"), make([]time.Duration, size.noSpaceAtOnce), true)
			})
		}
		for k := range min(noSpaceClusters, len(offsets)) {
			version := etcdtest.Versions[(k+1)%len(etcdtest.Versions)]
			t.Run(fmt.Sprintf("%s-%d", version, k), func(t *testing.T) {
				t.Parallel()
				f := newFull(t, version)
				for i := k; i < len(offsets) && !t.Failed(); i += noSpaceClusters {
					pairs.round(f, []time.Duration{0, offsets[i]}, i%2 == 0)
				}
			})
		}
	})
	sum.add(fmt.Sprintf("%d pairs of `defrag --disarm --wait 2s` on three members of etcd 3.5, 3.6 and 3.7 with a quota of 64 MiB and an alarm NOSPACE, the second begun from %s to %s after the first; seed %d. %s",
		pairs.rounds, slices.Min(offsets).Round(time.Second), slices.Max(offsets).Round(time.Second), seed, pairs))
	if size.noSpaceAtOnce > 0 {
		sum.add("")
		sum.add(fmt.Sprintf("%d such runs begun at once. %s", size.noSpaceAtOnce, crowd))
	}
}

// noSpace is what became of the runs.
type noSpace struct {
	mu     sync.Mutex
	rounds int
	works  int
	again  int // rounds after which one more run was needed
	ends   map[string]int
}

func (n *noSpace) String() string {
	var ends []string
	for _, end := range slices.Sorted(maps.Keys(n.ends)) {
		ends = append(ends, fmt.Sprintf("%s: %d", end, n.ends[end]))
	}
	return fmt.Sprintf("By the servers' logs %d defragmentations, no two members at work at once, none that led. Runs ended with (exit code, result, lock: runs) %s. After %d of %d rounds one more run was needed until the cluster took writes.",
		n.works, strings.Join(ends, "; "), n.again, n.rounds)
}

// full is a cluster whose quota can be filled.
type full struct {
	t      *testing.T
	user   *rig
	c      *etcdtest.Cluster
	client *clientv3.Client
}

func newFull(t *testing.T, version string) *full {
	t.Helper()
	f := &full{t: t, user: newUser(t), c: etcdtest.Start(t, etcdtest.Options{Version: version, Members: 3, Failpoints: true, QuotaBytes: 64 << 20})}
	slow(t, f.c, longWork)
	f.client = f.c.Client(t)
	return f
}

// fill overwrites one key until the alarm.
func (f *full) fill() {
	f.t.Helper()
	value := strings.Repeat("x", 500_000)
	for n := 0; ; n++ {
		if _, err := f.client.Put(f.t.Context(), "/soak/full", value); err != nil {
			break
		}
		if n == 1000 {
			f.t.Fatal("64 MiB take 500 MB")
		}
	}
	waitFor(f.t, "alarm NOSPACE", 30*time.Second, f.alarmed)
}

func (f *full) alarmed() bool {
	f.t.Helper()
	got, err := f.client.AlarmList(f.t.Context())
	if err != nil {
		f.t.Fatalf("list alarms: %v", err)
	}
	return slices.ContainsFunc(got.Alarms, func(a *pb.AlarmMember) bool { return a.Alarm == pb.AlarmType_NOSPACE })
}

// start begins a run that is to bring the cluster back. With compacts it drops the history itself.
func (f *full) start(compacts bool) *live {
	f.t.Helper()
	args := []string{"defrag", "--endpoints", strings.Join(f.c.Endpoints(), ","), "--wait", "2s", "--allow-short-wait", "--disarm"}
	if compacts {
		args = append(args, "--compact-keep", "5")
	}
	return f.user.start(f.t, args...)
}

// round fills the cluster, and begins a run after each offset.
func (n *noSpace) round(f *full, offsets []time.Duration, compacts bool) {
	f.t.Helper()
	f.fill()
	if !compacts {
		compact(f.t, f.client)
	}
	began := time.Now()
	runs := make([]*live, len(offsets))
	for i, offset := range offsets {
		rest(f.t, time.Until(began.Add(offset)))
		runs[i] = f.start(compacts)
	}
	unavailable := 0
	var ends []string
	for _, run := range runs {
		code, r := run.wait()
		if r.Lock == "unavailable" {
			unavailable++
		}
		ends = append(ends, fmt.Sprintf("%d, %s, %s", code, r.Result, cmp.Or(r.Lock, "not asked for")))
		if code != 0 && code != 13 {
			f.t.Logf("a run exits with %d, %s: %s%s", code, r.Cause, r.Error, strings.Join(r.Warnings, "; "))
		}
	}
	if unavailable == 0 {
		f.t.Errorf("each run had a lock: nothing was shown")
	}
	again := f.alarmed()
	if again {
		if code, _ := f.start(compacts).wait(); code != 0 {
			f.t.Errorf("one more run exits with %d", code)
		}
	}
	if _, err := f.client.Put(f.t.Context(), "/soak/after", "x"); err != nil {
		f.t.Errorf("the cluster takes no writes: %v", err)
	}
	h := historyOf(f.t, f.c, began)
	for _, fault := range append(h.together(), h.ledAtWork()...) {
		f.t.Error(fault)
	}
	n.count(ends, len(h.works), again)
	if f.t.Failed() {
		for i, run := range runs {
			f.t.Logf("run at %s, begun at %s:\n%s", offsets[i], run.began.UTC().Format(time.StampMilli), run)
		}
	}
}

func (n *noSpace) count(ends []string, works int, again bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rounds++
	n.works += works
	for _, end := range ends {
		n.ends[end]++
	}
	if again {
		n.again++
	}
}
