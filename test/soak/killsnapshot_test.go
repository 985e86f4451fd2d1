package soak

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// TestKilledSnapshotsLeaveOnlyWholeArchives kills snapshots in every stage. After each kill all
// that is listed opens, nothing half-done is listed, no plaintext, spool or process is left, and
// the next snapshot succeeds.
func TestKilledSnapshotsLeaveOnlyWholeArchives(t *testing.T) {
	size := scaleOf(t)
	sum := newSummary(t, "kills-snapshot")
	s := &snapshotKills{rig: newRig(t, "-bytes", size.killBytes), seen: map[string]bool{}, opened: map[catalog.ID]bool{}}
	defer func() { s.sum(sum) }()
	s.calibrate()
	for runs := 0; s.plan.kills() < size.snapshotKills || runs < 2*size.snapshotKills && len(s.plan.lacking(size.hitsEach)) > 0; runs++ {
		if runs > 3*size.snapshotKills {
			t.Fatalf("%d of %d runs were killed", s.plan.kills(), runs)
		}
		s.killOne()
		if t.Failed() {
			return
		}
	}
	// A few kills may all have missed a child: it runs for most of its stage, not for all of it.
	for tries := 0; s.orphaned == 0 && size.hitsEach > 0 && tries < 20 && !t.Failed(); tries++ {
		s.killOneWithAChild()
	}
	if s.orphaned == 0 && size.hitsEach > 0 {
		t.Errorf("no kill fell while a child process ran: that children die with their parent was not shown")
	}
	if lacking := s.plan.lacking(size.hitsEach); len(lacking) > 0 {
		t.Errorf("stages %q were hit fewer than %d times: %v", lacking, size.hitsEach, s.plan.hits)
	}
	s.want(0, s.opening("verify", "all", "--level", "content")...)
}

type snapshotKills struct {
	*rig
	plan     *plan
	seen     map[string]bool
	opened   map[catalog.ID]bool // verified at level content
	last     census
	orphaned int // children that died with a killed run
	late     int // runs that ended before they were killed
	after    int // archives that a killed run had committed already
	began    time.Time
}

// calibrate watches one run, for how long the stages last.
func (s *snapshotKills) calibrate() {
	s.t.Helper()
	s.began = time.Now()
	h := &hunt{cmd: s.command(s.t.Context(), s.sealing()...), stages: snapshotStages, spare: true}
	began := time.Now()
	d := h.run(s.t)
	if d.code != 0 {
		s.t.Fatalf("snapshot exits with %d and says\n%s", d.code, d.stderr)
	}
	s.plan = newPlan(s.t, snapshotStages, d, time.Since(began))
	s.check()
}

func (s *snapshotKills) killOne() {
	s.t.Helper()
	s.kill(s.plan.draw())
}

// killOneWithAChild aims at the stage in which a child process works.
func (s *snapshotKills) killOneWithAChild() {
	s.t.Helper()
	aimed := slices.IndexFunc(s.plan.stages, func(st stage) bool { return st.child })
	s.kill(aimed, time.Duration(s.plan.rnd.Float64()*float64(s.plan.spans[aimed])))
}

// kill kills one run, looks at what it left, and lets the next one pass.
func (s *snapshotKills) kill(aimed int, delay time.Duration) {
	s.t.Helper()
	h := &hunt{cmd: s.command(s.t.Context(), s.sealing()...), stages: snapshotStages, stage: aimed, delay: delay}
	d := h.run(s.t)
	s.plan.note(aimed, d)
	if !d.killed {
		s.late++
		if d.code != 0 {
			s.t.Errorf("snapshot that was to be killed exits with %d and says\n%s", d.code, d.stderr)
		}
	}
	s.orphaned += s.orphans(d)
	s.alone()
	s.tidy()
	if committed := s.check(); committed > 0 && d.killed {
		s.after++
	}
	id := s.snapshot()
	s.check()
	if !s.opened[id] {
		s.t.Errorf("the next snapshot, %s, is not listed", id)
	}
	if s.t.Failed() {
		s.t.Logf("aimed at %s + %v, killed %v in %s; the run said\n%s", s.plan.stages[aimed].name, delay, d.killed, s.plan.stages[d.stage].name, d.stderr)
	}
}

// check opens what is listed and was not listed before, and counts it. Listed is what has a
// manifest, all of it, and each has its archive.
func (s *snapshotKills) check() (fresh int) {
	s.t.Helper()
	all := s.list()
	for _, l := range all {
		if l.Error != "" || len(l.Flags) > 0 || l.HashKV != catalog.Equal {
			s.t.Errorf("list shows %+v", l)
		}
		if !s.opened[l.ID] {
			s.want(0, s.opening("verify", string(l.ID), "--level", "content")...)
			s.opened[l.ID] = true
			fresh++
		}
	}
	s.last = s.take(s.seen)
	if len(all) != len(s.last.manifests) || len(all) != len(s.opened) {
		s.t.Errorf("%d archives are listed, %d manifests lie in the store, %d archives were committed", len(all), len(s.last.manifests), len(s.opened))
	}
	for id := range s.last.manifests {
		if !s.last.archives[id] {
			s.t.Errorf("manifest %s has no archive", id)
		}
	}
	return fresh
}

func (s *snapshotKills) sum(out *summary) {
	if s.plan == nil {
		return
	}
	for _, line := range s.plan.table("snapshot") {
		out.add(line)
	}
	out.add("")
	out.add(fmt.Sprintf("%d snapshots killed by SIGKILL in %v (%d more ended before their kill), each followed by one that succeeded. "+
		"%d archives listed, each opened at level content, and all once more at the end; %d of them committed by a run that was then killed. "+
		"%d objects of garbage: %d archives without a manifest, %d parts. Spool, temporary and working folders empty after each; no process left, %d children died with them; no plaintext in %d objects.",
		s.plan.kills(), time.Since(s.began).Round(time.Second), s.late, len(s.opened), s.after,
		s.last.garbage(), s.last.garbage()-s.last.parts, s.last.parts, s.orphaned, len(s.seen)))
	if left, err := os.ReadDir(s.spool); err == nil && len(left) > 0 {
		out.add(fmt.Sprintf("%d files in the spool folder.", len(left)))
	}
}
