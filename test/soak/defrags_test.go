package soak

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// longWork is how long each defragmentation lasts at least: longer than writers wait, so that some
// writes to the member at work fail.
const longWork = 2200 * time.Millisecond

// TestDefragsHurtNobody defragments three members under writes again and again, while leadership moves
// in the pauses. By the servers' own logs and by their metrics no two work at once and none works
// while it leads; each write that failed was sent to the member at work or was in flight while
// leadership moved; the lock is one and the same from the first step to the last.
func TestDefragsHurtNobody(t *testing.T) {
	t.Parallel()
	size := scaleOf(t)
	sum := newSummary(t, "defrags")
	all := make([]*defrags, len(etcdtest.Versions))
	t.Run("on", func(t *testing.T) {
		for i, version := range etcdtest.Versions {
			runs := (size.defrags + i) / len(etcdtest.Versions)
			if runs == 0 {
				continue
			}
			t.Run(version, func(t *testing.T) {
				t.Parallel()
				all[i] = newDefrags(t, version)
				all[i].repeat(runs)
			})
		}
	})
	sum.add("| etcd | runs | defragmentations | writes | failed at the member at work | leadership moved in pauses by the test | writes failed meanwhile | moved by the run | failed meanwhile | failed elsewhere | bare moves, alone | writes | failed meanwhile | failed elsewhere |")
	sum.add("|---|" + strings.Repeat("---:|", 13))
	for _, d := range all {
		if d != nil {
			sum.add(d.row())
		}
	}
	sum.add("")
	sum.add(fmt.Sprintf("Three members, %d writers through one member each, a write every %s given up after %s; each defragmentation %s and more. "+
		"By the servers' logs and in %d looks at all members' metrics, one every %s, no two members were at work at once, and none that led. "+
		"The lock's key was created before the first step of each run and deleted after the last, as a watcher heard and by the revisions of writes that etcd took meanwhile.",
		writerCount, writeEvery, writeWait, longWork, looksOf(all), lookEvery))
}

// defrags is one cluster that is defragmented again and again.
type defrags struct {
	t       *testing.T
	user    *rig
	version string
	c       *etcdtest.Cluster
	client  *clientv3.Client
	writers *writers
	rnd     *rand.Rand

	runs, works, looks int
	mine               []spell // changes of leadership that the test asked for
	under, bare        tally
}

// tally is what became of writes.
type tally struct {
	writes, atWork, elsewhere int
	moved, atMove             int // leadership, by the test, and writes that failed meanwhile
	ledAway, atLedAway        int // the same, by a run
}

func (a tally) moves() int { return a.moved + a.ledAway }

func newDefrags(t *testing.T, version string) *defrags {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	d := &defrags{t: t, user: newUser(t), version: version, rnd: rand.New(rand.NewPCG(seed, 1))}
	d.c = etcdtest.Start(t, etcdtest.Options{Version: version, Members: 3, Failpoints: true})
	slow(t, d.c, longWork)
	d.client = d.c.Client(t)
	return d
}

func (d *defrags) repeat(runs int) {
	d.t.Helper()
	var stop func()
	d.writers, stop = startWriters(d.t, d.c)
	defer stop()
	for range runs {
		d.one()
		if d.t.Failed() {
			return
		}
	}
	d.moveAlone(d.under.moves())
}

// one is a run, and all that must hold of it.
func (d *defrags) one() {
	d.t.Helper()
	from := revision(d.t, d.client)
	d.writers.take()
	stop, heard := watchFigures(d.t, d.c), watchLock(d.t, d.client)
	run := d.user.start(d.t, "defrag", "--endpoints", strings.Join(d.c.Endpoints(), ","), "--wait", "2s", "--allow-short-wait",
		"--sustain", "0", "--cool-down", "0", "--rule", "dbSize > 0")
	d.disturb(run)
	code, r := run.wait()
	if code != 0 || r.Result != "ok" || r.Lock != "etcd" || r.with("defragmented") != 3 {
		d.t.Errorf("defrag exits with %d\n%s", code, run)
	}
	rest(d.t, 2*writeEvery) // a write after the lock's end tells when that was
	seen := stop()
	h := historyOf(d.t, d.c, run.began)
	writes := d.writers.take()
	d.judge(h, seen)
	d.blame(&d.under, writes, h)
	d.wantLock(lockChanges(d.t, d.client, from+1), heard, writes, h.works)
	d.runs++
	d.works += len(h.works)
	d.looks += seen.looks
	compact(d.t, d.client)
	if d.t.Failed() {
		d.t.Logf("run %d, works %v, leads %v, moves %v\n%s", d.runs, h.works, h.leads, h.moves, run)
	}
}

// disturb moves leadership in most of a run's pauses of two seconds, so early that this is over when they are.
// In the first run it moves once, to the member that would be the second: then that one is the last and leads, and the run
// itself must lead away from it.
func (d *defrags) disturb(run *live) {
	d.t.Helper()
	for pauses := 0; !run.over(); {
		if run.lines(`"msg":"pause"`) == pauses {
			rest(d.t, 10*time.Millisecond)
			continue
		}
		pauses++
		switch {
		case d.runs == 0 && pauses == 1:
			d.moveTo(d.second(run))
		case d.runs > 0 && d.rnd.IntN(4) > 0:
			rest(d.t, time.Duration(d.rnd.Int64N(int64(time.Second))))
			d.move()
		}
	}
}

// second is the follower that is not done yet, after the first step.
func (d *defrags) second(run *live) int {
	d.t.Helper()
	leader := d.c.Leader(d.t)
	for i, m := range d.c.Members {
		if i != leader && run.lines("has been defragmented: "+m.Name+",") == 0 {
			return i
		}
	}
	d.t.Fatalf("no follower is left\n%s", run)
	return 0
}

// move lets another member lead.
func (d *defrags) move() {
	d.t.Helper()
	n := len(d.c.Members)
	d.moveTo((d.c.Leader(d.t) + 1 + d.rnd.IntN(n-1)) % n)
}

func (d *defrags) moveTo(member int) {
	d.t.Helper()
	from := time.Now()
	d.c.MoveLeader(d.t, member)
	d.mine = append(d.mine, spell{from: from, to: time.Now()})
}

// isMine says whether the test asked for a change of leadership.
func (d *defrags) isMine(move spell) bool {
	return slices.ContainsFunc(d.mine, func(s spell) bool { return s.meets(move.from, move.from) })
}

// judge says whether members worked one at a time, and none that led.
func (d *defrags) judge(h history, seen figures) {
	d.t.Helper()
	for _, fault := range slices.Concat(h.together(), h.ledAtWork()) {
		d.t.Error(fault)
	}
	worked := map[int]bool{}
	for _, s := range h.works {
		worked[s.member] = true
		if s.to.Sub(s.from) < time.Second {
			d.t.Errorf("m%d was at work for %s only: nothing was shown", s.member, s.to.Sub(s.from))
		}
	}
	if len(h.works) != 3 || len(worked) != 3 {
		d.t.Errorf("%d defragmentations of %d members, want one of each", len(h.works), len(worked))
	}
	if seen.most != 1 || seen.ledAtWork > 0 || len(seen.atWork) != 3 {
		d.t.Errorf("by %d looks at the metrics up to %d members were at work at once, %d of 3 in all, one that led in %d looks",
			seen.looks, seen.most, len(seen.atWork), seen.ledAtWork)
	}
}

// blame settles for each write that failed why it did.
func (d *defrags) blame(sum *tally, writes []write, h history) {
	d.t.Helper()
	var mine, others []spell
	for _, move := range h.moves {
		if d.isMine(move) {
			mine = append(mine, move)
		} else {
			others = append(others, move)
		}
	}
	sum.moved, sum.ledAway = sum.moved+len(mine), sum.ledAway+len(others)
	for _, w := range writes {
		sum.writes++
		meets := func(s spell) bool { return s.meets(w.sent, w.done) }
		switch {
		case w.err == nil:
		case slices.ContainsFunc(h.works, func(s spell) bool { return s.member == w.member && meets(s) }):
			sum.atWork++
		case slices.ContainsFunc(mine, meets):
			sum.atMove++
		case slices.ContainsFunc(others, meets):
			sum.atLedAway++
		default:
			sum.elsewhere++
			d.t.Errorf("a write to m%d from %s to %s failed, with no defragmentation there and no move of leadership: %v", w.member, w.sent, w.done, w.err)
		}
	}
}

// wantLock wants the lock's key created once, before the first step, and deleted after the last. What
// was before and after, a watcher and the writes beside it tell: one every 6 ms.
func (d *defrags) wantLock(changes []lockChange, heard func(int64) time.Time, writes []write, works []spell) {
	d.t.Helper()
	if len(changes) < 2 || changes[len(changes)-1].created != 0 || len(works) == 0 {
		d.t.Errorf("changes of the lock's key: %+v, want its creation and its end", changes)
		heard(0)
		return
	}
	first, last := changes[0].revision, changes[len(changes)-1].revision
	for _, c := range changes[:len(changes)-1] {
		if c.created != first {
			d.t.Errorf("changes of the lock's key: %+v, want one creation", changes)
		}
	}
	ended := works[0].to
	for _, s := range works {
		if s.to.After(ended) {
			ended = s.to
		}
	}
	held := func(w write) bool { return w.err == nil && w.revision > first && w.revision < last }
	at := heard(first)
	before := !at.IsZero() && at.Before(works[0].from) ||
		slices.ContainsFunc(writes, func(w write) bool { return held(w) && w.done.Before(works[0].from) })
	// Had it ended before the last step did, writes of that time would have later revisions than its end.
	early := slices.ContainsFunc(writes, func(w write) bool { return w.err == nil && w.revision > last && w.done.Before(ended) })
	if !before || early {
		d.t.Errorf("the lock was held from revision %d to %d: taken before the first step %v, given back before the end of the last %v", first, last, before, early)
	}
}

// moveAlone moves leadership as often as the runs and the test did, and nothing else.
func (d *defrags) moveAlone(times int) {
	d.t.Helper()
	began := time.Now()
	stop := watchFigures(d.t, d.c) // the same load
	defer stop()
	d.writers.take()
	for range times {
		d.move()
		rest(d.t, time.Duration(d.rnd.Int64N(int64(500*time.Millisecond))))
	}
	rest(d.t, writeWait+2*writeEvery)
	h := historyOf(d.t, d.c, began)
	h.works = nil // the last run's may have ended just now
	d.blame(&d.bare, d.writers.take(), h)
}

func (d *defrags) row() string {
	u, b := d.under, d.bare
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d |", d.version, d.runs, d.works, u.writes, u.atWork,
		u.moved, u.atMove, u.ledAway, u.atLedAway, u.elsewhere, b.moves(), b.writes, b.atMove+b.atLedAway, b.elsewhere)
}

func looksOf(all []*defrags) (n int) {
	for _, d := range all {
		if d != nil {
			n += d.looks
		}
	}
	return n
}
