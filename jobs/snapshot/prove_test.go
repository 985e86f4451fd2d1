package snapshot

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// lying is n members behind liars that tell the truth so far.
func lying(t *testing.T, n int) (*etcdtest.Cluster, *rig, map[string]*liar) {
	t.Helper()
	c := etcdtest.Start(t, etcdtest.Options{Members: n})
	c.Put(t, noise(20, 10_000))
	r := newRig(t, c)
	return c, r, liars(t, c, r)
}

func flipHash(r *pb.HashKVResponse) error { r.Hash ^= 1 << 7; return nil }

func TestLiarsThatTellTheTruthChangeNothing(t *testing.T) {
	t.Parallel()
	_, r, _ := lying(t, 3)
	names := order(t, r)
	report, m := r.taken()
	wantTaken(t, report, names[0], map[string]string{names[0]: "taken", names[1]: "candidate", names[2]: "candidate"})
	if m.HashKV.Outcome != catalog.Equal {
		t.Errorf("HashKV is %+v, want equal", m.HashKV)
	}
}

func TestAMemberThatDiffersFromItsSnapshotIsPassedOver(t *testing.T) {
	t.Parallel()
	_, r, lie := lying(t, 3)
	names := order(t, r)
	lie[names[0]].tell(func(l *liar) { l.hashKV = flipHash })
	report, m := r.taken()
	wantTaken(t, report, names[1], map[string]string{names[0]: "unequal", names[1]: "taken", names[2]: "candidate"})
	if m.HashKV.Outcome != catalog.Equal || len(m.Suspect) != 0 {
		t.Errorf("manifest says %+v, suspect %q; want equal and not suspect", m.HashKV, m.Suspect)
	}
}

// TestASnapshotThatNoMemberEqualsIsSuspect: it is committed, and never chosen.
func TestASnapshotThatNoMemberEqualsIsSuspect(t *testing.T) {
	t.Parallel()
	for _, compare := range []Compare{CompareAuto, CompareAll} {
		t.Run(string(compare), func(t *testing.T) {
			t.Parallel()
			_, r, lie := lying(t, 3)
			r.Compare = compare
			names := order(t, r)
			for _, l := range lie {
				l.tell(func(l *liar) { l.hashKV = flipHash })
			}
			report, err := r.run(t.Context())
			if !errors.Is(err, ErrSuspect) || !report.Committed {
				t.Fatalf("Run = %v, committed %v; want ErrSuspect, committed", err, report.Committed)
			}
			wantTaken(t, report, names[2], map[string]string{names[0]: "unequal", names[1]: "unequal", names[2]: "unequal"})
			m := r.manifestOf(report)
			if len(m.Suspect) == 0 || m.HashKV.Outcome != catalog.Unequal || len(m.HashKV.Differed) == 0 || m.HashKV.Why == "" || len(report.Archive.Suspect) == 0 {
				t.Errorf("manifest says %+v, suspect %q; want unequal and suspect", m.HashKV, m.Suspect)
			}
			wantNotLatest(t, r.Stores[0])
			if found, err := r.Stores[0].Find(t.Context(), string(m.ID), time.Time{}); err != nil || found.Manifest.ID != m.ID {
				t.Errorf("Find by id = %v, want the suspect archive", err)
			}
		})
	}
}

// TestASuspectSnapshotIsKeptWhereTheNextHasNoRoom: the disk has room for one at a time, and
// bytes at hand are worth more than none.
func TestASuspectSnapshotIsKeptWhereTheNextHasNoRoom(t *testing.T) {
	t.Parallel()
	c, r, lie := lying(t, 3)
	c.Put(t, noise(60, 100_000))
	for _, l := range lie {
		l.tell(func(l *liar) { l.hashKV = flipHash })
	}
	db := settled(t, r, 6_000_000)
	r.spool = disk(t, need(db)+2<<20, false)
	r.Place.Dir = r.spool
	report, err := r.run(t.Context())
	if !errors.Is(err, ErrSuspect) || !report.Committed {
		t.Fatalf("Run = %v, committed %v; want ErrSuspect, committed\n%s", err, report.Committed, r.log)
	}
	wantNotLatest(t, r.Stores[0])
}

// TestADivergedMemberIsFound changes one byte of a value in a follower's own file: its stream
// equals what it says, and only the others know better.
func TestADivergedMemberIsFound(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c.Put(t, noise(50, 500))
	r := newRig(t, c)
	r.Compare = CompareAll
	first := order(t, r)[0]
	_, m := named(t, c, first)
	m.Stop(t)
	flipValue(t, filepath.Join(m.DataDir, "member", "snap", "db"))
	m.Restart(t)
	c.WaitHealthy(t)
	if names := order(t, r); names[0] != first {
		t.Fatalf("%s is tried first, want the diverged %s", names[0], first)
	}
	report, err := r.run(t.Context())
	if report.Archive == nil {
		t.Fatalf("Run = %v without an archive", err)
	}
	got := r.manifestOf(report)
	if got.Member.Name == first && len(got.Suspect) == 0 {
		t.Errorf("the diverged member's snapshot was committed as sound: HashKV %+v, members %+v", got.HashKV, report.Members)
	}
	if err == nil {
		wantCause(t, report, jobs.CauseCluster, "members differ")
	}
}

// flipValue changes a byte of the last long value: that is the last field of a KeyValue.
func flipValue(t *testing.T, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("key"))
		c := b.Cursor()
		k, v := c.Last()
		for len(v) < 400 { // a probe's key has no value to speak of
			k, v = c.Prev()
		}
		v = bytes.Clone(v)
		v[len(v)-100] ^= 1
		return b.Put(bytes.Clone(k), v)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestWhatMakesAComparisonInconclusive: no proof is no fault. It is committed, chosen, and said.
func TestWhatMakesAComparisonInconclusive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		lie  func(l *liar)
		why  string
	}{
		{"compacted meanwhile", func(l *liar) {
			l.hashKV = func(*pb.HashKVResponse) error { return rpctypes.ErrGRPCCompacted }
		}, "compacted"},
		{"compacted beyond the snapshot", func(l *liar) {
			l.hashKV = func(r *pb.HashKVResponse) error { r.CompactRevision = 1 << 40; return nil }
		}, "is compacted at"},
		{"a big leader", func(l *liar) {
			l.status = func(r *pb.StatusResponse) { r.DbSizeInUse = 2 << 30 }
		}, "is not asked"},
		{"refused", func(l *liar) {
			l.hashKV = func(*pb.HashKVResponse) error { return rpctypes.ErrGRPCPermissionDenied }
		}, "role root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, r, lie := lying(t, 1)
			lie["m0"].tell(c.lie)
			report, m := r.taken()
			if m.HashKV.Outcome != catalog.Inconclusive || !strings.Contains(m.HashKV.Why, c.why) || report.Archive.HashKV.Why != m.HashKV.Why {
				t.Errorf("HashKV is %+v, want inconclusive for %q, in manifest and report", m.HashKV, c.why)
			}
			if report.Cause != "" || len(m.Suspect) != 0 {
				t.Errorf("cause is %q, suspect %q; want neither", report.Cause, m.Suspect)
			}
			if found, err := r.Stores[0].Find(t.Context(), catalog.Latest, time.Time{}); err != nil || found.Manifest.ID != m.ID {
				t.Errorf("Find(latest) = %v, want the archive", err)
			}
		})
	}
}

func TestCompareAllAsksABigLeader(t *testing.T) {
	t.Parallel()
	_, r, lie := lying(t, 1)
	lie["m0"].tell(func(l *liar) { l.status = func(r *pb.StatusResponse) { r.DbSizeInUse = 2 << 30 } })
	r.Compare = CompareAll
	if _, m := r.taken(); m.HashKV.Outcome != catalog.Equal {
		t.Errorf("HashKV is %+v, want equal", m.HashKV)
	}
}

// TestAMemberBehindIsWaitedFor: one that has not applied the revision yet is asked again.
func TestAMemberBehindIsWaitedFor(t *testing.T) {
	t.Parallel()
	_, r, lie := lying(t, 1)
	late := 1
	lie["m0"].tell(func(l *liar) {
		l.hashKV = func(*pb.HashKVResponse) error {
			if late--; late >= 0 {
				return rpctypes.ErrGRPCFutureRev
			}
			return nil
		}
	})
	if _, m := r.taken(); m.HashKV.Outcome != catalog.Equal || lie["m0"].calls("HashKV") != 2 {
		t.Errorf("HashKV is %+v after %d calls, want equal after two", m.HashKV, lie["m0"].calls("HashKV"))
	}
}

// TestAFlippedByteOfTheStreamIsFound: a stream whose digest does not fit is never stored.
func TestAFlippedByteOfTheStreamIsFound(t *testing.T) {
	t.Parallel()
	flip := func() func(*pb.SnapshotResponse) {
		messages := 0
		return func(r *pb.SnapshotResponse) {
			if messages++; messages == 2 {
				r.Blob[len(r.Blob)/2] ^= 1
			}
		}
	}
	t.Run("of one member", func(t *testing.T) {
		t.Parallel()
		_, r, lie := lying(t, 3)
		names := order(t, r)
		lie[names[0]].tell(func(l *liar) { l.stream = flip() })
		report, _ := r.taken()
		wantTaken(t, report, names[1], map[string]string{names[0]: "failed", names[1]: "taken", names[2]: "candidate"})
	})
	t.Run("of all", func(t *testing.T) {
		t.Parallel()
		_, r, lie := lying(t, 3)
		for _, l := range lie {
			l.tell(func(l *liar) { l.stream = flip() })
		}
		if _, err := r.refused(); !errors.Is(err, archive.ErrCorrupt) {
			t.Errorf("Run = %v, want archive.ErrCorrupt", err)
		}
	})
	t.Run("a stream that lacks its end and says nothing", func(t *testing.T) {
		t.Parallel()
		_, r, lie := lying(t, 1)
		lie["m0"].tell(func(l *liar) {
			l.stream = func(r *pb.SnapshotResponse) {
				if r.RemainingBytes == 0 {
					r.Blob = nil
				}
			}
		})
		if _, err := r.refused(); !errors.Is(err, archive.ErrCorrupt) {
			t.Errorf("Run = %v, want archive.ErrCorrupt", err)
		}
	})
	t.Run("an empty stream", func(t *testing.T) {
		t.Parallel()
		_, r, lie := lying(t, 1)
		lie["m0"].tell(func(l *liar) { l.stream = func(r *pb.SnapshotResponse) { r.Blob = nil } })
		if _, err := r.refused(); !errors.Is(err, archive.ErrCorrupt) {
			t.Errorf("Run = %v, want archive.ErrCorrupt", err)
		}
	})
}

// TestAnotherMemberBehindTheSameAddressIsFound: the id changes while the stream runs.
func TestAnotherMemberBehindTheSameAddressIsFound(t *testing.T) {
	t.Parallel()
	_, r, lie := lying(t, 1)
	l := lie["m0"]
	r.inStream(func() {
		l.tell(func(l *liar) { l.status = func(r *pb.StatusResponse) { r.Header.MemberId++ } })
	})
	if _, err := r.refused(); !errors.Is(err, etcd.ErrUnavailable) || !strings.Contains(err.Error(), "answers after the stream") {
		t.Errorf("Run = %v, want ErrUnavailable for another member", err)
	}
}

func TestADefragmentingMemberIsNotChosen(t *testing.T) {
	t.Parallel()
	for name, sample := range map[string]string{
		"at it": "\netcd_disk_defrag_inflight ",
		"waits": "\ngrpc_server_started_total{grpc_method=\"Defragment\",grpc_service=\"etcdserverpb.Maintenance\",grpc_type=\"unary\"} ",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, r, lie := lying(t, 3)
			names := order(t, r)
			lie[names[0]].tell(func(l *liar) {
				l.metrics = func(page string) string { return strings.Replace(page, sample+"0", sample+"1", 1) }
			})
			report, _ := r.taken()
			wantTaken(t, report, names[1], map[string]string{names[0]: "failed", names[1]: "taken", names[2]: "candidate"})
			if n := lie[names[0]].calls("Snapshot"); n != 0 || !strings.Contains(report.Members[0].Reason, "defragmentation") {
				t.Errorf("%d streams of the busy member were opened, reason %q; want none for a defragmentation", n, report.Members[0].Reason)
			}
		})
	}
}

// TestAChildThatDiesIsAFinding: whatever happens to the process that looks at the file, the run
// ends with what it was, and stores nothing.
func TestAChildThatDiesIsAFinding(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	for _, child := range []struct {
		name, script string
		want         error
	}{
		{"killed", "kill -KILL $$", dbfile.ErrChild},
		{"faults", "kill -SEGV $$", dbfile.ErrCrashed},
		{"panics", "echo panic: boom >&2; exit 2", dbfile.ErrCrashed},
		{"exits", "exit 1", dbfile.ErrChild},
		{"prints nonsense", "echo '{]'", dbfile.ErrChild},
		{"says nothing", "exit 0", dbfile.ErrChild},
	} {
		t.Run(child.name, func(t *testing.T) {
			r := newRig(t, c)
			r.Child.Exe = script(t, child.script)
			_, err := r.refused()
			if !errors.Is(err, child.want) || errors.Is(err, etcd.ErrUnavailable) {
				t.Errorf("Run = %v, want %v, and not etcd's fault", err, child.want)
			}
		})
	}
}

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "child")
	// A process forked meanwhile would hold the file open for writing, and then it cannot run.
	syscall.ForkLock.RLock()
	err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConclude is the verdict over members' answers as a table.
func TestConclude(t *testing.T) {
	e, u, i := verdict{outcome: catalog.Equal}, verdict{catalog.Unequal, "differs"}, verdict{catalog.Inconclusive, "unknown"}
	for _, c := range []struct {
		verdicts []verdict
		voters   int
		want     catalog.Outcome
	}{
		{[]verdict{e}, 1, catalog.Equal},
		{[]verdict{u}, 1, catalog.Unequal},
		{[]verdict{i}, 1, catalog.Inconclusive},
		{[]verdict{e, e}, 3, catalog.Equal},
		{[]verdict{e, i}, 3, catalog.Equal},
		{[]verdict{i, e}, 3, catalog.Inconclusive},
		{[]verdict{u, e, e}, 3, catalog.Unequal},
		{[]verdict{e, u, u}, 3, catalog.Unequal},
		{[]verdict{e, u}, 3, catalog.Unequal}, // one word against another: nobody knows who is right
		{[]verdict{e, u, e}, 3, catalog.Equal},
		{[]verdict{e, e, e, u}, 5, catalog.Equal},
		{[]verdict{e, u, u, e}, 5, catalog.Unequal},
		{[]verdict{e, u, u, u}, 5, catalog.Unequal},
	} {
		got, why := conclude(slices.Clone(c.verdicts), c.voters)
		if got != c.want {
			t.Errorf("conclude(%v, %d) = %q (%s), want %q", c.verdicts, c.voters, got, why, c.want)
		}
	}
}

func TestMemoryHoldsASpoolToo(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	c.Put(t, noise(20, 10_000))
	r := newRig(t, c)
	r.Place = spool.Place{Kind: spool.Memory, Dir: "/nowhere"}
	if _, m := r.taken(); m.HashKV.Outcome != catalog.Equal {
		t.Errorf("HashKV is %+v, want equal", m.HashKV)
	}
}
