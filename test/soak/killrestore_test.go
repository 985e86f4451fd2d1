package soak

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// TestKilledRestoresLeaveNoHalfFolder kills restores in every stage, into a folder that is not
// there, an empty one, and one whose contents are to be moved aside. After each kill the final
// name is as it was or complete, what was to be moved aside is still somewhere, no plaintext,
// spool or process is left outside a scratch folder of mode 0700, and the next restore succeeds.
func TestKilledRestoresLeaveNoHalfFolder(t *testing.T) {
	size := scaleOf(t)
	sum := newSummary(t, "kills-restore")
	k := newRestoreKills(t, size)
	defer func() { k.sum(sum) }()
	k.calibrate()
	for runs := 0; k.plan.kills() < size.restoreKills || runs < 2*size.restoreKills && len(k.plan.lacking(size.hitsEach)) > 0; runs++ {
		if runs > 3*size.restoreKills {
			t.Fatalf("%d of %d runs were killed", k.plan.kills(), runs)
		}
		k.killOne()
		if t.Failed() {
			return
		}
	}
	if k.orphaned == 0 && size.hitsEach > 0 {
		t.Errorf("no kill fell while a child process ran: that children die with their parent was not shown")
	}
	if lacking := k.plan.lacking(size.hitsEach); len(lacking) > 0 {
		t.Errorf("stages %q were hit fewer than %d times: %v", lacking, size.hitsEach, k.plan.hits)
	}
}

// The states of a target before a restore.
var targetKinds = []string{"absent", "empty", "full"}

type restoreKills struct {
	*rig
	id       catalog.ID
	m        catalog.Manifest
	store    string // what lies in it
	plan     *plan
	runs     int
	orphaned int // children that died with a killed run
	late     int
	kinds    map[string]int // killed, by kind of target
	whole    int            // targets that were complete after a kill
	booted   int
	left     int // scratch folders
	began    time.Time
}

func newRestoreKills(t *testing.T, size scale) *restoreKills {
	t.Helper()
	k := &restoreKills{rig: newRig(t, "-bytes", size.killBytes), kinds: map[string]int{}, began: time.Now()}
	k.id = k.snapshot()
	k.m = k.manifest(k.id)
	k.store = strings.Join(files(t, k.inStore()), "\n")
	return k
}

// A target is one data folder to be, alone in a parent.
type target struct{ parent, dir, kind string }

const note = "somebody's"

func (k *restoreKills) target(kind string) target {
	k.t.Helper()
	k.runs++
	g := target{parent: filepath.Join(k.dir, fmt.Sprintf("restore%d", k.runs)), kind: kind}
	g.dir = filepath.Join(g.parent, "data")
	err := os.Mkdir(g.parent, 0o755)
	if kind != "absent" {
		err = errors.Join(err, os.Mkdir(g.dir, 0o755))
	}
	if kind == "full" {
		err = errors.Join(err, os.WriteFile(filepath.Join(g.dir, "note.txt"), []byte(note), 0o600))
	}
	if err != nil {
		k.t.Fatal(err)
	}
	return g
}

// args restore without a bump, so that HashKV can be compared.
func (k *restoreKills) args(g target) []string {
	args := k.opening("restore", string(k.id), "--data-dir", g.dir, "--bump-revision", "0")
	if g.kind == "full" {
		args = append(args, "--move-aside")
	}
	return args
}

// renamed is the path that the last rename makes.
func (g target) renamed() string {
	if g.kind == "empty" {
		return g.member()
	}
	return g.dir
}

func (g target) member() string { return filepath.Join(g.dir, "member") }

// complete says whether the restored database is under its final name, whole or not.
func (g target) complete() bool { return exists(g.member()) }

func (k *restoreKills) hunt(g target) *hunt {
	return &hunt{cmd: k.command(k.t.Context(), k.args(g)...), stages: restoreStages, renamed: g.renamed(), there: g.member()}
}

func (k *restoreKills) calibrate() {
	k.t.Helper()
	g := k.target("absent")
	h := k.hunt(g)
	h.spare = true
	began := time.Now()
	d := h.run(k.t)
	if d.code != 0 {
		k.t.Fatalf("restore exits with %d and says\n%s", d.code, d.stderr)
	}
	k.plan = newPlan(k.t, restoreStages, d, time.Since(began))
	// What looks for the canary in vain elsewhere would find it.
	if db := filepath.Join(g.member(), "snap", "db"); !k.holdsCanary(db) {
		k.t.Fatalf("%s does not hold the canary", db)
	}
	k.boot(g)
	k.clear(g)
}

func (k *restoreKills) killOne() {
	k.t.Helper()
	aimed, delay := k.plan.draw()
	g := k.target(targetKinds[k.runs%len(targetKinds)])
	h := k.hunt(g)
	h.stage, h.delay = aimed, delay
	d := h.run(k.t)
	k.plan.note(aimed, d)
	if d.killed {
		k.kinds[g.kind]++
	} else {
		k.late++
		if d.code != 0 {
			k.t.Errorf("restore that was to be killed exits with %d and says\n%s", d.code, d.stderr)
		}
	}
	k.orphaned += k.orphans(d)
	k.alone()
	k.tidy()
	k.check(g)
	if g.complete() {
		k.whole++
		k.want(13, k.opening("restore", string(k.id), "--data-dir", g.dir)...) // it is not empty
	} else {
		k.want(0, k.args(g)...)
	}
	k.check(g)
	if !g.complete() {
		k.t.Errorf("%s has no data folder after a whole restore", g.parent)
	}
	if k.whole < 3 {
		k.boot(g)
	}
	if k.t.Failed() {
		k.t.Logf("target %s, aimed at %s + %v, killed %v in %s; the run said\n%s", g.kind, k.plan.stages[aimed].name, delay, d.killed, k.plan.stages[d.stage].name, d.stderr)
		return
	}
	k.clear(g)
}

// check fails unless the final name is as it was or complete, and nothing strange lies about.
func (k *restoreKills) check(g target) {
	k.t.Helper()
	if g.complete() {
		k.opens(g)
	}
	if left := strings.Join(files(k.t, k.inStore()), "\n"); left != k.store {
		k.t.Errorf("store holds\n%s\nwant\n%s", left, k.store)
	}
	notes, scratches := 0, 0
	err := filepath.WalkDir(g.parent, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == g.parent {
			return err
		}
		switch name := e.Name(); {
		case e.IsDir() && strings.Contains(name, ".etcdsafe-"):
			scratches++
			return private(e)
		case name == "note.txt":
			notes++
		case path == g.dir, path == g.member(), e.IsDir() && strings.Contains(name, ".pre-restore-"):
		case strings.HasPrefix(path, g.member()+"/"):
		default:
			return fmt.Errorf("%s lies there", path)
		}
		return nil
	})
	if err != nil {
		k.t.Error(err)
	}
	if want := map[bool]int{true: 1}[g.kind == "full"]; notes != want {
		k.t.Errorf("what lay in the target is there %d times, want %d: %q", notes, want, files(k.t, g.parent))
	}
	k.left += scratches
}

// private passes by a scratch folder that is nobody else's to read.
func private(e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	if info.Mode().Perm() != 0o700 {
		return fmt.Errorf("scratch folder %s has mode %o", e.Name(), info.Mode().Perm())
	}
	return fs.SkipDir
}

// opens fails unless the folder holds what the manifest promises.
func (k *restoreKills) opens(g target) {
	k.t.Helper()
	k.holds(filepath.Join(g.member(), "snap", "db"), k.m)
	if wal, err := filepath.Glob(filepath.Join(g.member(), "wal", "*.wal")); err != nil || len(wal) == 0 {
		k.t.Errorf("%s has no write-ahead log", g.dir)
	}
}

// holds fails unless a database has the keys and the HashKV of a manifest.
func (r *rig) holds(path string, m catalog.Manifest) {
	r.t.Helper()
	db, err := os.Open(path)
	if err != nil {
		r.t.Error(err)
		return
	}
	defer db.Close()
	f, err := dbfile.Child{Exe: programs.etcdsafe}.Inspect(r.t.Context(), db, dbfile.Query{Revision: m.HashKV.Revision, CompactRevision: m.HashKV.CompactRevision})
	if err != nil || f.Keys != m.Snapshot.Keys || f.HashKV != m.HashKV.Hash {
		r.t.Errorf("%s: %v, keys %d, HashKV %d; the manifest has %d and %d", path, err, f.Keys, f.HashKV, m.Snapshot.Keys, m.HashKV.Hash)
	}
}

// boot starts an etcd on the folder, and compares its HashKV.
func (k *restoreKills) boot(g target) {
	k.t.Helper()
	k.booted++
	k.t.Run("boot", func(t *testing.T) {
		c := etcdtest.StartOnDataDir(t, version, g.dir)
		if hash, _ := c.HashKV(t, 0, k.m.HashKV.Revision); hash != k.m.HashKV.Hash {
			t.Errorf("etcd on %s has HashKV %d, the manifest %d", g.dir, hash, k.m.HashKV.Hash)
		}
		resp, err := c.Client(t).Get(t.Context(), "/registry/canary/after")
		if err != nil || len(resp.Kvs) != 1 || !bytes.Equal(resp.Kvs[0].Value, k.canary) {
			t.Errorf("etcd on %s gives %v, %v for the canary", g.dir, resp, err)
		}
	})
}

func (k *restoreKills) clear(g target) {
	k.t.Helper()
	if err := os.RemoveAll(g.parent); err != nil {
		k.t.Fatal(err)
	}
}

func (k *restoreKills) sum(out *summary) {
	if k.plan == nil {
		return
	}
	for _, line := range k.plan.table("restore") {
		out.add(line)
	}
	out.add("")
	out.add(fmt.Sprintf("%d restores killed by SIGKILL in %v (%d more ended before their kill): %d into a name that was free, %d into an empty folder, %d with --move-aside. "+
		"After %d of the kills the final name held the complete folder, else what it held before. Next restore well after each, every folder opened with the manifest's keys and HashKV, %d of them by etcd itself. "+
		"%d scratch folders of mode 0700 were left in the way of the next. Store unchanged; spool, temporary and working folders empty after each; no process left, %d children died with them.",
		k.plan.kills(), time.Since(k.began).Round(time.Second), k.late, k.kinds["absent"], k.kinds["empty"], k.kinds["full"], k.whole, k.booted, k.left, k.orphaned))
}
