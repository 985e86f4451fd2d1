package soak

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// headStart is how much earlier than a snapshot a defrag begins, at most: a snapshot takes the lock at once, a
// defrag when it has looked at the cluster.
const headStart = 500 * time.Millisecond

// TestOneHolderOfManyStarts begins two snapshots and two defrags at one instant, again and again. One
// of them works, the others are skipped and name it; the lock's key is created once. In every other
// round defrags have a head start, so that they ask for the lock when snapshots do.
func TestOneHolderOfManyStarts(t *testing.T) {
	t.Parallel()
	size := scaleOf(t)
	sum := newSummary(t, "locks-1-starts")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	u := newUser(t)
	u.cluster = etcdtest.Start(t, etcdtest.Options{Members: 3, Failpoints: true, Proxied: true})
	client := u.cluster.Client(t)
	u.holdLong()
	won, late := map[string]int{}, 0
	for i := range size.lockStarts {
		ahead := time.Duration(0)
		if i%2 == 1 {
			ahead = time.Duration(rnd.Int64N(int64(headStart)))
		}
		winners := u.startTogether(client, rnd, ahead)
		for _, job := range winners {
			won[job]++
		}
		late += len(winners) - 1
		if t.Failed() {
			return
		}
	}
	sum.add(fmt.Sprintf("%d times two snapshots and two defrags began at one instant, half of them with up to %s for the defrags, which look before they ask for the lock: one held the lock (snapshot %d, defrag %d), the others were skipped with exit 0 and named it; by its history the lock's key was never created but after its end. %d began so late that they worked after the first.",
		size.lockStarts, headStart, won["snapshot"], won["defrag"], late))
}

// holdLong makes each job last longer than four processes need to start.
func (r *rig) holdLong() {
	r.t.Helper()
	noise := make([]byte, 3_000_000)
	draw := rand.NewChaCha8([32]byte{1})
	_, _ = draw.Read(noise) // never fails
	r.cluster.Put(r.t, func(yield func(string, []byte) bool) {
		for i := 0; i < len(noise) && yield(fmt.Sprintf("/soak/noise/%d", i), noise[i:i+500_000]); i += 500_000 {
		}
	})
	slow(r.t, r.cluster, 3*time.Second)
	for _, m := range r.cluster.Members {
		m.Proxy.Rate(2_000_000)
	}
}

// startTogether begins four runs at once, in any order, or the defrags ahead of the others, and returns
// the jobs of those that worked: one, unless the machine began another too late.
func (r *rig) startTogether(client *clientv3.Client, rnd *rand.Rand, ahead time.Duration) (won []string) {
	r.t.Helper()
	from := revision(r.t, client)
	commands := [][]string{r.defragging("--max-members", "1"), r.defragging("--max-members", "1"), r.sealing(), r.sealing()}
	if ahead == 0 {
		rnd.Shuffle(len(commands), func(i, j int) { commands[i], commands[j] = commands[j], commands[i] })
	}
	var runs []*live
	for i, args := range commands {
		if i == len(commands)/2 {
			rest(r.t, ahead)
		}
		runs = append(runs, r.start(r.t, args...))
	}
	for i, run := range runs {
		code, report := run.wait()
		switch {
		case code == 0 && report.Result == "ok":
			won = append(won, commands[i][0])
		case code == 0 && report.Result == "skipped" && strings.Contains(report.Reason, "held by "):
		default:
			r.t.Errorf("%s exits with %d, %s", commands[i][0], code, report.Result)
		}
	}
	changes := lockChanges(r.t, client, from+1)
	if len(won) == 0 || len(changes) != 2*len(won) { // a process that the machine began too late may work after the first
		r.t.Errorf("%d runs worked, and the lock's key saw %+v, want a creation and an end of each", len(won), changes)
	}
	for i, c := range changes {
		if begins := i%2 == 0; begins != (c.created == c.revision) || begins == (c.created == 0) {
			r.t.Errorf("the lock's key saw %+v, want a creation only after an end", changes)
		}
	}
	if r.t.Failed() {
		for i, run := range runs {
			r.t.Logf("%s begun at %s, ended at %s\n%s", commands[i][0], run.began.UTC().Format(time.StampMilli), run.ended.UTC().Format(time.StampMilli), run)
		}
	}
	return won
}

// defragging is a run that finds each member in need.
func (r *rig) defragging(args ...string) []string {
	return append([]string{"defrag", "--endpoints", strings.Join(r.cluster.Endpoints(), ","), "--wait", "3s", "--allow-short-wait",
		"--sustain", "0", "--cool-down", "0", "--rule", "dbSize > 0"}, args...)
}

// TestAStoppedDefragTouchesNoFurtherMember: the process stands still in its pause for longer than its
// lease, and is continued, while nobody holds the lock, or another does.
func TestAStoppedDefragTouchesNoFurtherMember(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a lease")
	}
	t.Parallel()
	sum := newSummary(t, "locks-2-stopped")
	lines := make([]string, 2)
	t.Run("while", func(t *testing.T) {
		for i, other := range []bool{false, true} {
			t.Run(map[bool]string{false: "free", true: "taken"}[other], func(t *testing.T) {
				t.Parallel()
				lines[i] = stoppedDefrag(t, other)
			})
		}
	})
	sum.add(strings.Join(lines, "\n\n"))
}

func stoppedDefrag(t *testing.T, other bool) string {
	u := newUser(t)
	u.cluster = etcdtest.Start(t, etcdtest.Options{Members: 3})
	client := u.cluster.Client(t)
	_, stop := startWriters(t, u.cluster)
	defer stop()
	run := u.start(t, u.defragging()...)
	run.until(`"msg":"pause"`)
	run.stand()
	began := time.Now()
	waitFor(t, "end of the lease", 2*programs.lease, func() bool { return lockOf(t, client) == 0 })
	whose := "nobody held the lock by then"
	if other {
		hung := u.start(t, u.hanging(silent(t))...)
		waitFor(t, "other holder", time.Minute, func() bool { return lockOf(t, client) != 0 })
		defer hung.end()
		whose = "another held the lock by then"
	}
	rest(t, time.Until(began.Add(programs.lease+programs.lease/12)))
	stood := time.Since(began)
	run.goOn()
	code, r := run.wait()
	h := historyOf(t, u.cluster, run.began)
	if code != 1 || r.with("defragmented") != 1 || len(h.works) != 1 || !strings.Contains(r.Error, lockKey) || stood < programs.lease {
		t.Errorf("stopped for %s, defrag exits with %d after %+v\n%s", stood, code, h.works, run)
	}
	return fmt.Sprintf("A defrag stopped in its pause for %s and continued, %s: exit %d, 1 of 3 members defragmented, by the servers' logs too. It said: %s",
		stood.Round(time.Second), whose, code, r.Error)
}

// stand stops the process until it is continued, at the latest when the test ends.
func (l *live) stand() {
	l.t.Helper()
	if err := l.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		l.t.Fatalf("stop a run: %v", err)
	}
	l.t.Cleanup(l.goOn)
}

func (l *live) goOn() {
	if !l.over() {
		_ = l.cmd.Process.Signal(syscall.SIGCONT) // it may have ended just now
	}
}

// end stops a run as an operator would.
func (l *live) end() {
	if !l.over() {
		_ = l.cmd.Process.Signal(syscall.SIGTERM) // it may have ended just now
	}
	<-l.done
}

// lockOf is the create revision of the lock's key; 0: nobody holds it.
func lockOf(t *testing.T, client *clientv3.Client) int64 {
	t.Helper()
	got, err := client.Get(t.Context(), lockKey)
	if err != nil {
		t.Fatalf("get %s: %v", lockKey, err)
	}
	if len(got.Kvs) == 0 {
		return 0
	}
	return got.Kvs[0].CreateRevision
}

// hanging is a snapshot into a store at addr.
func (r *rig) hanging(addr string, args ...string) []string {
	return append([]string{"snapshot", "--endpoints", strings.Join(r.cluster.Endpoints(), ","), "--recipients-file", r.recipients,
		"--spool-dir", r.spool, "--stores", "gs://bucket/x?anonymous=true&endpoint=http://" + addr}, args...)
}

// silent takes connections, and never reads nor says a word.
func silent(t *testing.T) (addr string) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// TestAHungSnapshotTurnsOthersTo11: its store says nothing, and it renews its lock all the while. Others
// skip while it is young; once it is older than they bear they end with 11, and name it.
func TestAHungSnapshotTurnsOthersTo11(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a lease and a quarter")
	}
	t.Parallel()
	sum := newSummary(t, "locks-3-hung")
	u := newUser(t)
	u.cluster = etcdtest.Start(t, etcdtest.Options{Members: 3})
	client := u.cluster.Client(t)
	began := time.Now()
	hung := u.start(t, u.hanging(silent(t))...)
	defer hung.end()
	waitFor(t, "holder", time.Minute, func() bool { return lockOf(t, client) != 0 })
	taken := lockOf(t, client)
	if code, r := u.start(t, u.sealing()...).wait(); code != 0 || r.Result != "skipped" {
		t.Errorf("beside a young holder snapshot exits with %d, %+v", code, r)
	}
	rest(t, 6*time.Second)
	late := []*live{u.start(t, append(u.sealing(), "--max-lock-age", "5s")...), u.start(t, u.defragging("--max-lock-age", "5s")...)}
	for _, run := range late {
		if code, r := run.wait(); code != 11 || !strings.Contains(r.Error, "held by snapshot of ") || !strings.Contains(r.Error, "still renewed, longer than 5s") {
			t.Errorf("%s exits with %d, want 11\n%s", run.cmd.Args[1], code, run)
		}
	}
	stuck := time.Since(began)
	if now := lockOf(t, client); now != taken || stuck < programs.lease+programs.lease/5 || hung.over() {
		t.Errorf("after %s the lock was created at %d, at first at %d: it was not renewed", stuck, now, taken)
	}
	hung.end()
	if code, r := u.start(t, append(u.sealing(), "--max-lock-age", "5s")...).wait(); code != 0 || r.Result != "ok" {
		t.Errorf("after the hung run's end snapshot exits with %d, %+v", code, r)
	}
	sum.add(fmt.Sprintf("A snapshot whose store said nothing held one and the same lock for %s. Others were skipped while it was young; with --max-lock-age 5s snapshot and defrag ended with 11, and named it.", stuck.Round(time.Second)))
}
