package defrag

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

// afterTheFirst does something once one member is done, in the pause before the next.
func (r *rig) afterTheFirst(do func()) (wait func()) {
	var all sync.WaitGroup
	all.Go(func() {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if strings.Contains(r.log.String(), "has been defragmented") {
				do()
				return
			}
		}
		r.t.Error("no member was defragmented")
	})
	return all.Wait
}

// TestALearnerThatIsPromotedInThePause counts for the quorum from then on, and is not done in this run.
func TestALearnerThatIsPromotedInThePause(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	learner := r.c.AddLearner(t)
	r.fragment(2)
	r.Wait = 3 * time.Second
	client := r.c.Client(t, 0)
	wait := r.afterTheFirst(func() {
		if _, err := client.MemberPromote(t.Context(), learner.ID); err != nil {
			t.Errorf("promote: %v", err)
		}
	})
	report := r.must()
	wait()
	if got := verdicts(report); strings.Count(got, "defragmented") != 3 || !strings.Contains(got, learner.Name+" skipped") || len(r.oneAtATime()) != 3 {
		t.Errorf("verdicts: %s", got)
	}
}

// TestAMemberThatJoinsInThePause is waited for, since its cluster is not well until it has started.
func TestAMemberThatJoinsInThePause(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(2)
	r.Wait = 3 * time.Second
	var joined *etcdtest.Member
	wait := r.afterTheFirst(func() {
		joined = r.c.AddLearner(t)
		if _, err := r.c.Client(t, 0).MemberPromote(t.Context(), joined.ID); err != nil {
			t.Errorf("promote: %v", err)
		}
	})
	report := r.must()
	wait()
	if got := verdicts(report); got != "m0 defragmented, m1 defragmented, m2 defragmented" {
		t.Errorf("verdicts: %s", got)
	}
	if all := r.oneAtATime(); len(all) != 3 || strings.Contains(strings.Join(names(all), " "), joined.Name) {
		t.Errorf("defragmented %q, want the three that were there at first", names(all))
	}
}

// TestAMemberThatRestartsInThePause is waited for.
func TestAMemberThatRestartsInThePause(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(2)
	r.Wait = 2 * time.Second
	next := r.followers()[1]
	wait := r.afterTheFirst(func() {
		r.c.Members[next].Stop(t)
		r.wait("look at a cluster that is not well", func() bool { return strings.Contains(r.log.String(), "cluster is not well") })
		r.c.Members[next].Restart(t)
	})
	report := r.must()
	wait()
	if got := verdicts(report); strings.Count(got, "defragmented") != 3 || !strings.Contains(r.log.String(), "cluster is not well") {
		t.Errorf("verdicts: %s", got)
	}
	r.oneAtATime()
}

// TestAMemberThatIsRemovedAtWork either answers before it leaves, or nobody can tell of it any more:
// then no other is touched.
func TestAMemberThatIsRemovedAtWork(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, Failpoints: true})
	r.fragment(2)
	order := r.followers()
	r.slow(5*time.Second, order[0])
	r.GiveUp = 20 * time.Second
	client := r.c.Client(t, order[1])
	wait := r.whenBegun(order[0], func() {
		if _, err := client.MemberRemove(t.Context(), r.c.Members[order[0]].ID); err != nil {
			t.Errorf("remove: %v", err)
		}
	})
	report, err := r.run()
	wait()
	want := 3
	if err != nil {
		want = 1
	}
	if all := r.oneAtATime(); len(all) != want || names(all)[0] != r.c.Members[order[0]].Name {
		t.Errorf("Run = %v with defragmentations of %q, want %d, %+v", err, names(all), want, report)
	}
}

// TestAPauseAsksForLittle: fewer than 25 requests of each member in half a minute, pages of metrics and
// renewals of the lock among them, with a login for each connection.
func TestAPauseAsksForLittle(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, Auth: true})
	r.fragment(2)
	r.Wait = 30 * time.Second
	r.Lock = lock.Etcd(r.Etcd, lock.Options{})
	var asked [3]int
	wait := r.afterTheFirst(func() {
		for i := range asked {
			asked[i] = -r.requests(i)
		}
		time.Sleep(r.Wait)
		for i := range asked {
			asked[i] += r.requests(i)
		}
	})
	r.MaxMembers = 2
	r.must()
	wait()
	for i, n := range asked {
		if n == 0 || n >= 25 {
			t.Errorf("%s was asked %d times in %s, want 1 to 24", r.c.Members[i].Name, n, r.Wait)
		}
	}
}

// requests is how many a member has answered since its start, but for its fellows' and this one.
func (r *rig) requests(member int) (total int) {
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.c.Members[member].MetricsURL+"/metrics", nil)
	if err != nil {
		r.t.Error(err)
		return 0
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Error(err)
		return 0
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Error(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "grpc_server_started_total{") && !strings.HasPrefix(line, `promhttp_metric_handler_requests_total{code="200"}`) {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
		if err != nil {
			r.t.Errorf("line %q: %v", line, err)
		}
		total += int(n)
	}
	return total
}
