package soak

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// TestInterleavingsKeepTheInvariants runs two snapshots, two prunes, a verify and a copy at once over
// two stores that hold archives of many days, again and again. Some are killed, in every stage, and
// some find a store missing, empty or read-only for a moment. After each such interleaving all that
// is listed is whole and as it was published, and what is gone went by the plan of all that ever
// was there. Then each job runs once more, undisturbed, and must end well.
func TestInterleavingsKeepTheInvariants(t *testing.T) {
	size := scaleOf(t)
	sum := newSummary(t, "stores")
	s := newInterleavings(t)
	defer func() { s.sum(sum) }()
	s.calibrate()
	// The short form has few kills: it goes on until each stage was met.
	for s.runs < size.interleavings || s.runs < 6*size.interleavings && len(s.lacking(size.hitsEach)) > 0 {
		s.one()
		if t.Failed() {
			t.Logf("interleaving %d; repeat with %s=%d", s.runs, seedName, s.seed)
			return
		}
	}
	if lacking := s.lacking(size.hitsEach); len(lacking) > 0 {
		t.Errorf("stages %q were hit fewer than %d times", lacking, size.hitsEach)
	}
}

const seedName = "ETCDSAFE_SOAK_SEED"

// A kind is one job, as it is run here and as it may end. A store that is gone for a moment is a
// partial success, or none; what nobody damaged is never found damaged.
type kind struct {
	name   string
	stages []stage
	repeat bool
	calm   []int // exit codes where the stores are as they should be
	faulty []int // and besides, where one was not
}

var kinds = []kind{
	{"snapshot", snapshotStages, false, []int{0}, []int{3, 15}},
	{"copy", copyStages, true, []int{0}, []int{1, 3, 15}}, // 1: nothing lies in what is empty for a moment
	{"prune", pruneStages, true, []int{0}, []int{3, 15}},
	{"verify", verifyStages, true, []int{0}, []int{1, 3, 15}},
}

type interleavings struct {
	*rig
	seed  uint64
	rnd   *rand.Rand
	first published // a real snapshot, of which the older ones are made
	plans map[string]*plan

	runs, jobs, killed, removed, copied, garbage, taken int
	ends                                                map[string]int // exit codes, by job
	faults                                              map[string]int
	began                                               time.Time
}

// published is an archive as it went to the store: the manifest's text, and the sealed bytes.
type published struct {
	m            catalog.Manifest
	text, sealed []byte
}

func newInterleavings(t *testing.T) *interleavings {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedName); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s is %q, want a number", seedName, text)
		}
	}
	t.Logf("seed %d", seed)
	s := &interleavings{rig: newRig(t, "-objects", "50"), seed: seed, rnd: rand.New(rand.NewPCG(seed, 3)), plans: map[string]*plan{},
		ends: map[string]int{}, faults: map[string]int{}, began: time.Now()}
	id := s.snapshot()
	s.first = s.read(s.store, id)
	return s
}

// read is an archive of a store's folder.
func (s *interleavings) read(store string, id catalog.ID) published {
	s.t.Helper()
	text, err := os.ReadFile(manifestIn(store, id))
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := catalog.DecodeManifest(text, clusterName, id)
	if err != nil {
		s.t.Fatalf("manifest in %s: %v", store, err)
	}
	sealed, err := os.ReadFile(archiveIn(store, id))
	if err != nil {
		s.t.Errorf("archive %s is listed in %s, and its bytes: %v", id, store, err)
	}
	return published{m, text, sealed}
}

func manifestIn(store string, id catalog.ID) string {
	return filepath.Join(store, clusterName, "manifests", string(id)+".json")
}

func archiveIn(store string, id catalog.ID) string {
	return filepath.Join(store, clusterName, "archives", string(id)+".db.zst.age")
}

// calibrate watches one run of each job, for how long its stages last.
func (s *interleavings) calibrate() {
	s.t.Helper()
	w := s.newWorld()
	for slices.Equal(w.stores[0].first, w.stores[1].first) {
		w.drop()
		w = s.newWorld() // one in which there is something to copy
	}
	defer w.drop()
	w.way, w.policy = 0, []string{"--keep-last", "2"} // so that something goes
	for _, k := range kinds {
		began := time.Now()
		h := &hunt{cmd: s.command(s.t.Context(), w.args(k.name)...), stages: k.stages, spare: true, repeat: k.repeat}
		d := h.run(s.t)
		if d.code != 0 {
			s.t.Fatalf("%s exits with %d and says\n%s", k.name, d.code, d.stderr)
		}
		s.plans[k.name] = newPlan(s.t, k.stages, d, time.Since(began))
		s.plans[k.name].rnd = s.rnd
	}
}

func (s *interleavings) lacking(each int) (out []string) {
	for _, k := range kinds {
		for _, name := range s.plans[k.name].lacking(each) {
			out = append(out, k.name+" "+name)
		}
	}
	return out
}

// A job is one process of an interleaving.
type job struct {
	kind
	after time.Duration
	h     *hunt
	aimed int
	death death
}

// one is one interleaving, from fresh stores to the runs that follow it.
func (s *interleavings) one() {
	s.t.Helper()
	s.runs++
	w := s.newWorld()
	defer w.drop()
	jobs := s.draw(w)
	trouble := w.drawTrouble()
	var all sync.WaitGroup
	for _, j := range jobs {
		all.Go(func() {
			<-time.After(j.after)
			j.death = j.h.run(s.t)
		})
	}
	trouble.happen()
	all.Wait()
	trouble.end()
	for _, j := range jobs {
		s.note(j, trouble)
	}
	s.alone()
	s.tidy()
	w.check("after the interleaving")
	if !s.t.Failed() {
		w.calm()
	}
	if s.t.Failed() {
		for _, j := range jobs {
			s.t.Logf("%s after %v, aimed at %s + %v (spared %t), killed %t in %s, exit %d; trouble %s; it said\n%s\n%s", j.name, j.after, j.stages[j.aimed].name, j.h.delay, j.h.spare,
				j.death.killed, j.stages[j.death.stage].name, j.death.code, trouble.what, j.death.stderr, j.death.stdout)
		}
	}
}

// draw is two snapshots, two prunes, a verify and a copy. Half of them are to be killed.
func (s *interleavings) draw(w *world) []*job {
	var jobs []*job
	for _, n := range []int{0, 0, 1, 2, 2, 3} {
		k := kinds[n]
		j := &job{kind: k, after: time.Duration(s.rnd.IntN(200)) * time.Millisecond}
		j.h = &hunt{cmd: s.command(s.t.Context(), w.args(k.name)...), stages: k.stages, repeat: k.repeat, spare: s.rnd.IntN(2) == 0}
		if !j.h.spare {
			j.h.stage, j.h.delay = s.plans[k.name].draw()
			j.aimed = j.h.stage
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// note counts how a job ended, and fails for an end that it may not have.
func (s *interleavings) note(j *job, trouble *trouble) {
	s.t.Helper()
	s.jobs++
	if !j.h.spare {
		s.plans[j.name].note(j.aimed, j.death)
	}
	if j.death.killed {
		s.killed++
		return
	}
	s.ends[fmt.Sprintf("%s %d", j.name, j.death.code)]++
	if !slices.Contains(j.calm, j.death.code) && (trouble.what == calmStores || !slices.Contains(j.faulty, j.death.code)) {
		s.t.Errorf("%s exits with %d; trouble: %s", j.name, j.death.code, trouble.what)
	}
}

func (s *interleavings) sum(out *summary) {
	for _, k := range kinds {
		if p := s.plans[k.name]; p != nil {
			for _, line := range p.table(k.name) {
				out.add(line)
			}
			out.add("")
		}
	}
	var ends, faults []string
	for _, end := range slices.Sorted(maps.Keys(s.ends)) {
		ends = append(ends, fmt.Sprintf("%s: %d", end, s.ends[end]))
	}
	for _, what := range slices.Sorted(maps.Keys(s.faults)) {
		faults = append(faults, fmt.Sprintf("%s: %d", what, s.faults[what]))
	}
	out.add(fmt.Sprintf("%d interleavings of two snapshots, two prunes, a verify and a copy, each a process of its own, over two folders, in %v; seed %d. "+
		"Snapshots were taken of a real etcd, older archives made of one of them by another time in id and manifest. "+
		"%d runs, %d of them killed by SIGKILL; the others ended with (job, exit code: runs) %s. Stores were (while some ran) %s. "+
		"%d archives were taken, %d copied, %d removed, each by the plan of all that ever was there, and %d pieces of garbage. After each interleaving invariants 1, 2, 4 and 5 held: "+
		"all listed was byte for byte what was published, no manifest changed; newest, newest verified, held and floor were there, and garbage of less than a day. "+
		"Then prune, copy and verify at level content (invariant 3) ran undisturbed and ended with 0, and no old garbage was left.",
		s.runs, time.Since(s.began).Round(time.Second), s.seed, s.jobs, s.killed, strings.Join(ends, ", "), strings.Join(faults, ", "),
		s.taken, s.copied, s.removed, s.garbage))
}
