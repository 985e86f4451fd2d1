package soak

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// TestReplicasDoEachSlotOnce: two processes of one schedule, a slot as often as a lease lasts, on three members of each
// version. The leader is killed, or stands still with its runs or without them, at random moments, most of them in
// mid-run. Then a quorum is lost over three slots. The store and the logs tell what came of each slot.
func TestReplicasDoEachSlotOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("takes leases")
	}
	t.Parallel()
	size := scaleOf(t)
	versions := etcdtest.Versions[:]
	if !asUsersHaveIt() {
		versions = versions[1:2]
	}
	for i, v := range versions {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			w := newWatch(t, v)
			w.sum = newSummary(t, fmt.Sprintf("replicas-%d", i))
			w.must(0, w.sealing()...) // prune wants something to look at
			w.pair()
			for end := time.Now().Add(size.replicas); time.Now().Before(end); {
				w.strike()
			}
			w.next(1)
			struck := w.stop()
			w.audit(struck)
			w.withoutQuorum()
		})
	}
}

// A watch is what one cluster's replicas are watched by.
type watch struct {
	*rig
	version  string
	rnd      *mathrand.Rand
	sum      *summary
	replicas [2]*replica
	blows    []*blow
	without  spell // a quorum: nobody leads then, though one may not know it yet
}

// A blow is what befell a leader.
type blow struct {
	what  string
	life  *life
	at    time.Time
	until time.Time // when it was continued; zero: never
}

func (b *blow) String() string {
	text := b.what + " " + b.life.name + " at " + b.at.UTC().Format("15:04:05.0")
	if !b.until.IsZero() {
		text += " for " + b.until.Sub(b.at).Round(time.Second).String()
	}
	return text
}

// leadLease is how long a lead outlives its process, by README: two of them are 40 seconds.
func leadLease() time.Duration {
	if asUsersHaveIt() {
		return 20 * time.Second
	}
	return programs.lease
}

// slotEvery is how often there is a slot: as long as a lease is the hardest, since a leader that died is followed by
// another only after one.
func slotEvery() time.Duration { return programs.lease }

func newWatch(t *testing.T, version string) *watch {
	t.Helper()
	w := &watch{rig: newUser(t), version: version}
	w.cluster = etcdtest.Start(t, etcdtest.Options{Version: version, Members: 3, Proxied: true})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w.rnd = mathrand.New(mathrand.NewPCG(seed, 1))
	w.cluster.Put(t, func(yield func(string, []byte) bool) {
		for i := range 60 {
			value := make([]byte, 50_000)
			_, _ = rand.Read(value)
			if !yield(fmt.Sprintf("/registry/filler/%d", i), value) {
				return
			}
		}
	})
	for _, m := range w.cluster.Members {
		m.Proxy.Rate(1_500_000) // a run lasts for seconds
	}
	return w
}

// pair starts both processes, and returns when one of them leads.
func (w *watch) pair() {
	w.t.Helper()
	spec := fmt.Sprintf("*/%d * * * * *", int(slotEvery().Seconds()))
	if slotEvery() == time.Minute {
		spec = "0 * * * * *"
	}
	args := w.stored("cron", "--endpoints", strings.Join(w.cluster.Endpoints(), ","), "--lock", "etcd", "--log-format", "json",
		"--recipients-file", w.recipients, "--spool-dir", w.spool, "--seconds", "--jitter", "0",
		"--prune-keep-last", "1000", "--defrag-rule", "dbSize < 0", "--defrag-sustain", "0", "--defrag-allow-short-wait",
		"--schedules", "snapshot,verify="+spec+"; prune="+spec+"; defrag="+spec)
	if !asUsersHaveIt() {
		args = append(args, "--dial-timeout", "2s") // a slot is short, and two members do not answer later
	}
	for i := range w.replicas {
		if w.replicas[i] == nil {
			w.replicas[i] = &replica{rig: w.rig, name: string(rune('A' + i)), args: args}
		}
		w.replicas[i].begin(w.t)
	}
	w.settled()
}

// settled waits until one leads and the other follows.
func (w *watch) settled() (leader, follower *replica) {
	w.t.Helper()
	waitFor(w.t, "leader and follower", 5*programs.lease, func() bool {
		for i, r := range w.replicas {
			if other := w.replicas[1-i]; r.now().role() == leads && other.now().role() == follows {
				leader, follower = r, other
				return true
			}
		}
		rest(w.t, 50*time.Millisecond)
		return false
	})
	return leader, follower
}

// strike does something to the leader, and waits until all is well again.
func (w *watch) strike() {
	w.t.Helper()
	leader, _ := w.settled()
	l := leader.now()
	if w.rnd.IntN(3) > 0 { // in mid-run
		before := l.runs()
		waitFor(w.t, "run of "+l.name, 3*slotEvery(), func() bool { rest(w.t, 20*time.Millisecond); return l.runs() > before })
		rest(w.t, upTo(w.rnd, 4*time.Second))
	} else {
		rest(w.t, upTo(w.rnd, slotEvery()))
	}
	b := &blow{life: l, at: time.Now()}
	w.blows = append(w.blows, b)
	switch w.rnd.IntN(3) {
	case 0:
		b.what = "killed"
		l.kill(w.t)
		rest(w.t, upTo(w.rnd, 3*programs.lease/2))
		leader.begin(w.t)
	case 1:
		b.what = "froze"
		l.freeze(w.t, false, upTo(w.rnd, 3*programs.lease))
		b.until = time.Now()
	case 2:
		b.what = "froze with its runs"
		l.freeze(w.t, true, upTo(w.rnd, 3*programs.lease))
		b.until = time.Now()
	}
	w.settled()
}

// next waits until so many slots more are done.
func (w *watch) next(n int) {
	w.t.Helper()
	from := time.Now().Truncate(slotEvery()).Add(slotEvery())
	waitFor(w.t, "slots done", time.Duration(n+4)*slotEvery(), func() bool {
		rest(w.t, 100*time.Millisecond)
		done := 0
		for slot := range w.archives() {
			if !slot.Before(from) {
				done++
			}
		}
		return done >= n
	})
}

// stop ends both processes, looks whether anything is left, and returns until when there were slots.
func (w *watch) stop() (end time.Time) {
	w.t.Helper()
	end = time.Now()
	var memory []string
	for _, r := range w.replicas {
		l := r.now()
		memory = append(memory, fmt.Sprintf("%s %.1f MiB after %s", l.name, float64(l.memory(w.t))/1024, time.Since(l.began).Round(time.Second)))
		if err := l.proc.End(syscall.SIGTERM, time.Minute); err != nil {
			w.t.Error(err)
		}
		l.ended = time.Now()
	}
	w.sum.add(fmt.Sprintf("- etcd %s: RssAnon of the processes at the end: %s.", w.version, strings.Join(memory, ", ")))
	if err := within(w.nothingLeft); err != nil {
		w.t.Error(err)
	}
	return end
}

func (w *watch) nothingLeft() error {
	for pid, line := range processesOf(programs.etcdsafe) {
		if strings.Contains(line, w.dir) {
			return fmt.Errorf("process %d is left: %s", pid, line)
		}
	}
	return nil
}

// withoutQuorum stops two members over three slots, and continues them.
func (w *watch) withoutQuorum() {
	w.t.Helper()
	w.pair()
	w.next(1)
	began := time.Now()
	for _, m := range w.cluster.Members[1:] {
		m.Pause(w.t)
	}
	from := began.UTC().Truncate(slotEvery()).Add(slotEvery())
	w.next(3)
	for _, m := range w.cluster.Members[1:] {
		m.Resume(w.t)
	}
	to := time.Now()
	w.without = spell{from: began, to: to}
	w.settled()
	back := time.Since(to)
	w.next(1)
	struck := w.stop()
	claims, _ := filepath.Glob(w.inStore("runs", "claims", "*"))
	by := w.audit(struck)
	var done []string
	for slot := from; slot.Before(to); slot = slot.Add(slotEvery()) {
		a := by[slot]
		if len(a) == 0 && slot.Add(slotEvery()).After(to) {
			break // it was not over yet
		}
		if len(a) != 1 {
			w.t.Errorf("etcd %s: slot %s without a quorum has archives %v", w.version, slot.Format(time.TimeOnly), a)
			continue
		}
		done = append(done, fmt.Sprintf("%s by %s, %s after it", slot.UTC().Format(time.TimeOnly), a[0].life.name, a[0].at.Sub(slot).Round(time.Second)))
	}
	if len(claims) < 3 {
		w.t.Errorf("%d slots were claimed without a quorum, want 3", len(claims))
	}
	w.sum.add(fmt.Sprintf("- etcd %s, two of three members stopped for %s: slots committed %s; %d claims. %s after the quorum came back one led again.",
		w.version, to.Sub(began).Round(time.Second), strings.Join(done, "; "), len(claims), back.Round(time.Second)))
}

// names are those of the objects in a folder of the store.
func (w *watch) names(folder string) (out []string) {
	w.t.Helper()
	entries, err := os.ReadDir(w.inStore(folder))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
