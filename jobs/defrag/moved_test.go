package defrag

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

// TestLeadershipThatMovesRightBeforeTheStep to the member whose turn it is: no call was made, so all are
// looked at again, and that one comes last.
func TestLeadershipThatMovesRightBeforeTheStep(t *testing.T) {
	t.Parallel()
	for what, n := range map[string]int{"a follower's": 0, "the leader's": 2} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, etcdtest.Options{Members: 3})
			r.fragment(2)
			to := r.followers()[0]
			r.whenProven(n, func() {
				if n > 0 {
					to = r.followers()[1] // away from the one that is to give the lead away
				}
				r.c.MoveLeader(t, to)
			})
			report := r.must()
			if got := verdicts(report); got != "m0 defragmented, m1 defragmented, m2 defragmented" {
				t.Errorf("verdicts: %s", got)
			}
			if order := names(r.oneAtATime()); len(order) != 3 || n == 0 && order[2] != r.c.Members[to].Name {
				t.Errorf("order %q, with %s leading", order, r.c.Members[to].Name)
			}
			if !strings.Contains(r.log.String(), "members are looked at again") {
				t.Errorf("nothing moved:\n%s", r.log)
			}
		})
	}
}

// whenProven does something right before the lock is proven for a step, after so many others: with this
// lease the lock asks for the time when it is taken, and when it is proven.
func (r *rig) whenProven(after int, do func()) {
	var mu sync.Mutex
	asked := 0
	r.Lock = lock.Etcd(r.Etcd, lock.Options{Lease: 5 * time.Minute, Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked == 2+after {
			do()
		}
		return time.Now()
	}})
}
