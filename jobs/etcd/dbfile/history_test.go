package dbfile

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// histories is how many random histories each version is given; make soak asks for 200.
func histories(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("ETCDSAFE_TEST_HISTORIES"))
	if err != nil {
		return 12
	}
	return n
}

// TestHashKVEqualsLiveMembers compares our HashKV of a snapshot with what the member that gave
// it answers, over random histories: puts, deletes, transactions, compactions finished and
// scheduled, everything deleted and rewritten, asked at several revisions, with the member
// compacted further meanwhile.
func TestHashKVEqualsLiveMembers(t *testing.T) {
	for _, version := range etcdtest.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			sum := tally{}
			for i := range histories(t) {
				// A test of its own, so that its server ends with it.
				t.Run(strconv.Itoa(i), func(t *testing.T) { newHistory(t, version, uint64(i)).run(&sum) })
			}
			t.Logf("%s: %d histories, %d comparisons: %d equal, %d inconclusive in %d histories, %d in mid-compaction", version, sum.histories, sum.asked, sum.equal, sum.inconclusive, sum.doubtful, sum.scheduled)
			if sum.equal == 0 || sum.asked != sum.equal+sum.inconclusive {
				t.Errorf("%s: %+v, want all asked equal or inconclusive, and some equal", version, sum)
			}
			if 20*sum.doubtful > sum.histories+10 {
				t.Errorf("%s: %d of %d histories inconclusive, want at most about one in 20", version, sum.doubtful, sum.histories)
			}
		})
	}
}

type tally struct{ histories, asked, equal, inconclusive, doubtful, scheduled int }

type history struct {
	t       *testing.T
	rnd     *rand.Rand
	client  *clientv3.Client
	cluster *etcdtest.Cluster
	keys    int
	last    int64
	bound   int64 // compactions stay behind it; 0: anywhere, negative: there are none
}

func newHistory(t *testing.T, version string, seed uint64) *history {
	// One entry at a time, so that snapshots meet compactions half-way.
	args := []string{"--experimental-compaction-batch-limit=2", "--experimental-compaction-sleep-interval=20ms"}
	if version != "3.5" {
		args = []string{"--compaction-batch-limit=2", "--compaction-sleep-interval=20ms"}
	}
	if seed%2 == 0 {
		args = nil
	}
	c := etcdtest.Start(t, etcdtest.Options{Version: version, Args: args})
	rnd := rand.New(rand.NewPCG(seed, 7))
	return &history{t: t, rnd: rnd, cluster: c, client: c.Client(t), keys: 1 + rnd.IntN(40)}
}

func (h *history) key() string { return fmt.Sprintf("/registry/k%03d", h.rnd.IntN(h.keys)) }

func (h *history) must(rev int64, err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
	h.last = rev
}

// step does one thing to the store.
func (h *history) step() {
	ctx := h.t.Context()
	switch n := h.rnd.IntN(100); {
	case n < 60:
		r, err := h.client.Put(ctx, h.key(), strings.Repeat("v", h.rnd.IntN(200)))
		h.must(r.Header.Revision, err)
	case n < 80:
		r, err := h.client.Delete(ctx, h.key())
		h.must(r.Header.Revision, err)
	case n < 95:
		a := h.rnd.IntN(h.keys)
		r, err := h.client.Txn(ctx).Then(clientv3.OpPut(fmt.Sprintf("/registry/k%03d", a), "t"), clientv3.OpDelete(fmt.Sprintf("/registry/k%03d", (a+1)%(h.keys+1)))).Commit()
		h.must(r.Header.Revision, err)
	case n < 98:
		h.compact(h.rnd.IntN(2) == 0)
	default:
		r, err := h.client.Delete(ctx, "/registry/", clientv3.WithPrefix())
		h.must(r.Header.Revision, err)
	}
}

// compact compacts somewhere behind the last revision; physical waits until it is finished.
func (h *history) compact(physical bool) {
	at := h.last - h.rnd.Int64N(30)
	if h.bound != 0 {
		at = min(at, h.bound-h.rnd.Int64N(10))
	}
	if at <= 1 {
		return
	}
	var opts []clientv3.CompactOption
	if physical {
		opts = append(opts, clientv3.WithCompactPhysical())
	}
	if _, err := h.client.Compact(h.t.Context(), at, opts...); err != nil && !strings.Contains(err.Error(), "compacted") {
		h.t.Fatal(err)
	}
}

func (h *history) steps(n int) {
	for range n {
		h.step()
	}
}

// snapshot saves the stream as it is.
func (h *history) snapshot() *os.File {
	h.t.Helper()
	r, err := h.client.Snapshot(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(h.t.TempDir(), "db"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { f.Close() })
	if _, err := io.Copy(f, r); err != nil {
		h.t.Fatal(err)
	}
	return f
}

func (h *history) run(sum *tally) {
	h.steps(20 + h.rnd.IntN(300))
	if h.rnd.IntN(3) > 0 {
		h.compact(h.rnd.IntN(2) == 0)
		h.steps(h.rnd.IntN(5))
	}
	f := h.snapshot()
	// Few members are compacted further while they are asked about a snapshot: half of those
	// few behind its last revision, the others anywhere.
	switch h.rnd.IntN(30) {
	case 0:
	case 1:
		h.bound = h.last - 1
	default:
		h.bound = -1
	}
	h.steps(h.rnd.IntN(40))
	facts, err := inspect(f, Query{})
	if err != nil {
		h.t.Fatalf("inspect: %v", err)
	}
	sum.histories++
	if facts.ScheduledRev > facts.CompactRevision {
		sum.scheduled++
	}
	doubtful := false
	behind := max(1, facts.Revision-max(facts.CompactRevision, facts.ScheduledRev, 1))
	for _, rev := range []int64{facts.Revision, facts.Revision - h.rnd.Int64N(behind), facts.Revision - h.rnd.Int64N(behind)} {
		sum.asked++
		if h.equal(f, facts, rev) {
			sum.equal++
			continue
		}
		sum.inconclusive++
		doubtful = true
	}
	if doubtful {
		sum.doubtful++
	}
}

// equal compares at one revision; false is inconclusive: the answer or the file shows a
// compaction that reaches the revision.
func (h *history) equal(f *os.File, facts Facts, rev int64) bool {
	h.t.Helper()
	if rev <= max(facts.CompactRevision, facts.ScheduledRev, 1) {
		return false
	}
	res, err := h.client.Maintenance.HashKV(context.Background(), h.cluster.Endpoints()[0], rev)
	if err != nil && strings.Contains(err.Error(), "compacted") {
		return false
	}
	if err != nil {
		h.t.Fatalf("HashKV at %d: %v", rev, err)
	}
	ours, err := inspect(f, Query{Revision: rev, CompactRevision: res.CompactRevision})
	if err != nil {
		h.t.Fatalf("inspect at %d: %v", rev, err)
	}
	fit, why := ours.Fits(res.Hash, res.CompactRevision)
	if fit == Unequal {
		h.t.Errorf("HashKV at revision %d, compact revision %d: ours %d, live %d: %s (file: %+v)", rev, res.CompactRevision, ours.HashKV, res.Hash, why, facts)
	}
	return fit == Equal
}
