package etcd

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxLag is how many raft entries a follower may be behind the furthest one and still count
// as in sync. etcd itself lets a follower fall 5,000 behind before it sends it a snapshot
// (server/etcdserver, DefaultSnapshotCatchUpEntries).
const maxLag = 1000

// Candidate is a member that a snapshot may be taken from, and why it stands where it does.
type Candidate struct {
	Member Member
	Why    string
}

// Candidates orders the members for a snapshot: followers in sync first, then others, the
// leader last. Learners and members out of reach are left out and come back as the second
// list. Equal ones keep the order of their names.
func (c *Cluster) Candidates() (order, out []Candidate) {
	furthest := uint64(0)
	for _, m := range c.Members {
		if m.Err == nil {
			furthest = max(furthest, m.Status.Applied)
		}
	}
	ranks := map[uint64]int{}
	for _, m := range c.Members {
		rank, why := m.rank(furthest)
		if rank < 0 {
			out = append(out, Candidate{m, why})
			continue
		}
		ranks[m.ID] = rank
		order = append(order, Candidate{m, why})
	}
	slices.SortStableFunc(order, func(a, b Candidate) int { return cmp.Compare(ranks[a.Member.ID], ranks[b.Member.ID]) })
	return order, out
}

// rank is lower for better, negative for never.
func (m Member) rank(furthest uint64) (int, string) {
	switch {
	case m.Err != nil:
		return -1, "not reached: " + m.Err.Error()
	case m.Learner || m.Status.Learner:
		return -1, "a learner"
	case m.Status.IsLeader():
		return 3, "the leader"
	case len(m.Status.Errors) > 0:
		return 2, "follower that reports " + strings.Join(m.Status.Errors, ", ")
	case m.Status.Applied+maxLag < furthest:
		return 1, fmt.Sprintf("follower %d entries behind", furthest-m.Status.Applied)
	}
	return 0, "follower in sync"
}
