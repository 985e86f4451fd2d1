package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/jobs/lock/kubetest"
)

// TestLinesDoAsCronJobsDo: CronJobs of a real controller and lines of ours, each minute, by policy × deadline × what
// hinders a run, through an outage of both over three slots. What each began, for which slot, must be the same. Nobody
// runs the Jobs: the test says when they have ended.
func TestLinesDoAsCronJobsDo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	t.Parallel()
	d := newDuel(t)
	d.run()
	sum := newSummary(t, "kubecron")
	sum.add(fmt.Sprintf("A CronJob of kube-controller-manager %s and a line of ours in each row, `* * * * *`, from slot 0. Held: the run of slot 0 lasts for %s. Suspended: from %s to %s. %s. \"late\": begun more than %s after its slot. By its documentation a CronJob is not started any more when more than 100 slots were missed; the controller makes the Job of the last of them, slot -1, and so does ours.\n",
		d.release(), d.times.free, d.times.suspend, d.times.free, d.times, lateAfter))
	sum.add("| policy | deadline | hindered | CronJob began | ours began |\n|---|---|---|---|---|")
	for _, c := range d.cells {
		want, theirs, ours := d.times.want(c), d.tell(c.theirs(d)), d.tell(c.ours(t))
		if theirs != want || ours != want {
			t.Errorf("%s: CronJob began %s, ours %s, want %s", c.name, theirs, ours, want)
		}
		sum.add(fmt.Sprintf("| %s | %s | %s | %s | %s |", c.policy, limitOf(c.deadline), c.hindered, theirs, ours))
	}
}

func limitOf(deadline time.Duration) string {
	if deadline == 0 {
		return "none"
	}
	return deadline.String()
}

// lateAfter is how long after its slot a run may begin in time: ours waits until one that it replaces has ended.
const lateAfter = 15 * time.Second

// times are when what happens, after slot 0.
type times struct{ suspend, free, off, on, end time.Duration }

func (m times) String() string {
	if m.on == 0 {
		return "Nobody was stopped"
	}
	return fmt.Sprintf("Both were stopped at %s, and started again at %s", m.off, m.on)
}

// manyMissed is a row whose last run was 136 slots before. By the documentation a CronJob is not started then, since more
// than 100 were missed; the controller makes the Job of the last one, and warns.
const manyMissed = "136 missed before"

// want is what CronJobs do by their documentation, but for manyMissed: a slot that nothing hinders begins in time; of
// those that were hindered the last one begins when nothing does any more, unless that is later than the deadline.
func (m times) want(c *contest) string {
	var out []string
	if c.hindered == manyMissed {
		out = append(out, "-1")
	}
	for slot := time.Duration(0); slot < m.end; slot += time.Minute {
		until := m.hinder(c, slot)
		switch {
		case until == 0:
			out = append(out, fmt.Sprint(int(slot.Minutes())))
		case until <= slot+time.Minute && (c.deadline == 0 || until-slot <= c.deadline):
			out = append(out, fmt.Sprintf("%d late", int(slot.Minutes())))
		}
	}
	return strings.Join(out, ", ")
}

// hinder is until when a slot was hindered; 0: it was not.
func (m times) hinder(c *contest, slot time.Duration) time.Duration {
	switch {
	case slot > m.off && slot < m.on:
		return m.on
	case slot == 0 || slot > m.free:
	case c.hindered == "held" && c.policy == "forbid", c.hindered == "suspended":
		return m.free
	}
	return 0
}

// A contest is one row: a CronJob and a line of ours.
type contest struct {
	*replica
	policy   string
	deadline time.Duration
	hindered string
	common   []string // flags of snapshot and of cron
	held     *os.File // what the run of slot 0 reads from until it is freed
}

// A duel is all rows.
type duel struct {
	*rig
	times   times
	start   time.Time // slot 0
	cells   []*contest
	jobs    map[string]map[time.Time]time.Time // by row and slot: when the controller made it
	control *kubetest.Controllers
	server  *kubetest.Server
	client  *batchclient.BatchV1Client
}

func newDuel(t *testing.T) *duel {
	t.Helper()
	d := &duel{rig: newUser(t), jobs: map[string]map[time.Time]time.Time{}, times: times{suspend: 20 * time.Second, free: 90 * time.Second, end: 110 * time.Second}}
	deadlines := []time.Duration{0, 20 * time.Second}
	if asUsersHaveIt() {
		d.times = times{suspend: 20 * time.Second, free: 150 * time.Second, off: 200 * time.Second, on: 395 * time.Second, end: 440 * time.Second}
		deadlines = []time.Duration{0, 100 * time.Second, 20 * time.Second}
	}
	d.cluster = etcdtest.Start(t, etcdtest.Options{Version: version})
	d.server = kubetest.Start(t, d.cluster)
	client, err := batchclient.NewForConfig(d.server.Admin())
	if err != nil {
		t.Fatal(err)
	}
	d.client = client
	for _, policy := range []string{"allow", "forbid", "replace"} {
		for _, limit := range deadlines {
			for _, hindered := range []string{"nothing", "held", "suspended"} {
				d.add(&contest{policy: policy, deadline: limit, hindered: hindered})
			}
			if limit == 0 {
				d.add(&contest{policy: policy, hindered: manyMissed})
			}
		}
	}
	return d
}

// add makes a row's folder, and settles how its line is started.
func (d *duel) add(c *contest) {
	d.t.Helper()
	name := fmt.Sprintf("c%02d", len(d.cells))
	own := *d.rig
	own.dir = filepath.Join(d.dir, name)
	if err := os.Mkdir(own.dir, 0o755); err != nil {
		d.t.Fatal(err)
	}
	c.replica = &replica{rig: &own, name: name}
	c.common = []string{"--cluster", name, "--stores", "file://" + d.store, "--spool-dir", d.spool, "--lock", "none", "--log-format", "json",
		"--endpoints", d.cluster.Endpoints()[0], "--recipients-file", c.file("recipients.txt")}
	c.args = append([]string{"cron", "--config", c.file("config.yaml"), "--jitter", "0", "--drain", "5s",
		"--concurrency-policy", c.policy, "--starting-deadline", c.deadline.String()}, c.common...)
	text, err := os.ReadFile(d.recipients)
	if err != nil {
		d.t.Fatal(err)
	}
	c.put("recipients.txt", string(text))
	c.suspend(false)
	d.cells = append(d.cells, c)
}

func (c *contest) file(name string) string { return filepath.Join(c.dir, name) }

// put replaces a file in one step.
func (c *contest) put(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(c.file(name+".new"), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(c.file(name+".new"), c.file(name)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *contest) suspend(suspend bool) {
	c.t.Helper()
	c.put("config.yaml", fmt.Sprintf("cron:\n  schedules: {snapshot: \"* * * * *\"}\n  suspend: %v\n", suspend))
}

// lay puts a pipe in the place of a file that the next run reads.
func (c *contest) lay() {
	c.t.Helper()
	for _, err := range []error{
		os.Rename(c.file("recipients.txt"), c.file("real.txt")),
		syscall.Mkfifo(c.file("pipe"), 0o600),
		os.Link(c.file("pipe"), c.file("recipients.txt")),
	} {
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// hold waits until a run reads from the pipe, and lets the next ones read the file.
func (c *contest) hold() {
	c.t.Helper()
	waitFor(c.t, "run that reads", 50*time.Second, func() bool {
		var err error
		c.held, err = os.OpenFile(c.file("pipe"), os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err == nil
	})
	c.t.Cleanup(func() { c.held.Close() })
	if err := os.Rename(c.file("real.txt"), c.file("recipients.txt")); err != nil {
		c.t.Fatal(err)
	}
}

// free lets the run go on, if it is still there.
func (c *contest) free() {
	text, err := os.ReadFile(c.file("recipients.txt"))
	if err != nil {
		c.t.Fatal(err)
	}
	_, _ = c.held.Write(text) // it may have been replaced
	_ = c.held.Close()
}

// A ran is a run that began.
type ran struct{ slot, at time.Time }

// ours are the runs of the line that found their slot not done.
func (c *contest) ours(t *testing.T) (out []ran) {
	t.Helper()
	for _, l := range c.lives {
		for _, e := range l.events(t) {
			switch e.Msg {
			case "run begun":
				out = append(out, ran{e.Slot, e.Time})
			case "slot skipped":
				out = slices.DeleteFunc(out, func(r ran) bool { return r.slot.Equal(e.Slot) && l.began.Before(r.at) })
			}
		}
	}
	return out
}

// tell writes runs down by the minute of their slots.
func (d *duel) tell(runs []ran) string {
	slices.SortFunc(runs, func(a, b ran) int { return a.slot.Compare(b.slot) })
	var out []string
	for _, r := range runs {
		text := fmt.Sprint(int(r.slot.Sub(d.start).Minutes()))
		if r.at.Sub(r.slot) > lateAfter && !r.slot.Before(d.start) {
			text += " late"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// run goes through all that happens.
func (d *duel) run() {
	d.t.Helper()
	d.start = time.Now().Add(30 * time.Second).Truncate(time.Minute).Add(time.Minute).UTC()
	rest(d.t, time.Until(d.start.Add(-50*time.Second))) // what begins now has nothing to make up for
	for _, c := range d.cells {
		if c.hindered != manyMissed {
			d.must(0, append([]string{"snapshot"}, c.common...)...)
		}
		d.make(c)
		c.begin(d.t)
	}
	d.control = d.server.Controllers(d.t, "cronjob-controller")
	for _, c := range d.cells {
		waitFor(d.t, "line that is armed", 30*time.Second, func() bool { return strings.Contains(c.now().text(), `"msg":"line armed"`) })
	}
	rest(d.t, time.Until(d.start.Add(-2*time.Second)))
	d.each("held", (*contest).lay)
	if !time.Now().Before(d.start) {
		d.t.Fatalf("all of it was set up only at %s", time.Now())
	}
	d.until(0)
	d.each("held", (*contest).hold)
	d.until(d.times.suspend)
	d.each("suspended", func(c *contest) { c.suspend(true); d.suspend(c, true) })
	d.until(d.times.free)
	d.each("suspended", func(c *contest) { c.suspend(false); d.suspend(c, false) })
	d.each("held", func(c *contest) { c.free(); d.finish(c) })
	if d.times.on > 0 {
		d.until(d.times.off)
		d.control.Stop(d.t)
		d.each("", func(c *contest) {
			if err := c.now().proc.End(syscall.SIGTERM, time.Minute); err != nil {
				d.t.Error(err)
			}
		})
		d.until(d.times.on)
		d.control.Start(d.t)
		d.each("", func(c *contest) { c.begin(d.t) })
	}
	d.until(d.times.end)
}

// each does something to all rows that are hindered so, or to all.
func (d *duel) each(hindered string, do func(*contest)) {
	for _, c := range d.cells {
		if hindered == "" || c.hindered == hindered {
			do(c)
		}
	}
}
