package defrag

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
)

// scene is the cluster at one moment, as all its members tell it.
type scene struct {
	cluster *etcd.Cluster
	seen    []seen // by name, then id
}

// seen is a member, and what it tells of itself.
type seen struct {
	etcd.Member
	metrics etcd.Metrics
	blind   error // why there are no metrics
}

// look asks every member for its Status and its metrics, at once.
func (r *run) look(ctx context.Context) (scene, error) {
	c, err := etcd.Discover(ctx, r.Etcd)
	if err != nil {
		return scene{}, err
	}
	s := scene{cluster: c}
	for _, m := range c.Members {
		s.seen = append(s.seen, seen{Member: m})
	}
	s.readMetrics(ctx)
	if ctx.Err() != nil {
		return s, context.Cause(ctx)
	}
	return s, nil
}

// readMetrics asks all members at once.
func (s scene) readMetrics(ctx context.Context) {
	var wait sync.WaitGroup
	for i := range s.seen {
		m := &s.seen[i]
		wait.Go(func() { m.metrics, m.blind = s.cluster.Metrics(ctx, m.Member) })
	}
	wait.Wait()
}

// isLearner says whether it votes not yet.
func (m seen) isLearner() bool { return m.Learner || m.Status.Learner }

// voters are the members that count for a quorum.
func (s scene) voters() (out []seen) {
	for _, m := range s.seen {
		if !m.isLearner() {
			out = append(out, m)
		}
	}
	return out
}

// member is the one with that id; false: it is none any more.
func (s scene) member(id uint64) (seen, bool) {
	i := slices.IndexFunc(s.seen, func(m seen) bool { return m.ID == id })
	if i < 0 {
		return seen{}, false
	}
	return s.seen[i], true
}

// leader is who leads by the word of every voter that was reached; 0 where they differ.
func (s scene) leader() uint64 {
	var leader uint64
	for _, m := range s.voters() {
		switch {
		case m.Err != nil:
		case leader == 0:
			leader = m.Status.Leader
		case leader != m.Status.Leader:
			return 0
		}
	}
	return leader
}

// noSpace says whether an alarm NOSPACE is active.
func (s scene) noSpace() bool {
	return slices.ContainsFunc(s.cluster.Alarms(), func(a etcd.Alarm) bool { return a.Kind == etcd.NoSpace })
}

// maxLag is how many raft entries a voter may be behind the furthest one: more, and etcd sends it a
// snapshot instead of entries (server/etcdserver, DefaultSnapshotCatchUpEntries), which must not meet
// a defragmentation (etcd-io/etcd #20653).
const maxLag = 5000

// ills is what makes the cluster too weak to lose one member for a while; none: it is well.
func (s scene) ills() (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	var furthest, term uint64
	for _, m := range s.voters() {
		furthest, term = max(furthest, m.Status.Applied), max(term, m.Status.Term)
	}
	for _, m := range s.voters() {
		switch {
		case m.Err != nil:
			say("%s does not answer: %v", about(m.Member), m.Err)
			continue
		case m.Status.Leader == 0:
			say("%s knows no leader", about(m.Member))
		case m.Status.Term != term:
			say("%s is in term %d, others in %d", about(m.Member), m.Status.Term, term)
		case m.Status.Applied+maxLag < furthest:
			say("%s is %d entries behind", about(m.Member), furthest-m.Status.Applied)
		}
		if faults := m.Status.Faults(); len(faults) > 0 {
			say("%s reports %s", about(m.Member), strings.Join(faults, ", "))
		}
	}
	if s.leader() == 0 && len(out) == 0 {
		say("voters name different leaders")
	}
	return out
}

// tries is how often a scene is looked at before the cluster counts as not well: members answer at
// slightly different moments.
const tries = 3

// wellScene is a scene of a cluster that is well; else the error wraps ErrUnhealthy, or ErrRefused where
// an alarm CORRUPT is active.
func (r *run) wellScene(ctx context.Context) (scene, error) {
	for n := 1; ; n++ {
		s, err := r.look(ctx)
		if err != nil {
			return s, err
		}
		if s.corrupt() {
			r.tellOf(s)
			return s, fmt.Errorf("%w: alarm CORRUPT is active: members hold different data, and a person must find out which is right", ErrRefused)
		}
		ills := s.ills()
		if len(ills) == 0 {
			return s, r.confirm(ctx, s)
		}
		if n == tries {
			r.tellOf(s)
			return s, fmt.Errorf("%w: %s", ErrUnhealthy, strings.Join(ills, "; "))
		}
		if err := r.pause(ctx, r.pace.again); err != nil {
			return s, err
		}
	}
}

// confirm reads through the quorum: members may all name a leader that is just being lost.
func (r *run) confirm(ctx context.Context, s scene) error {
	if err := s.cluster.ReadsWithConsensus(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUnhealthy, err)
	}
	return nil
}

// tellOf puts each member into the report, as it was first seen.
func (r *run) tellOf(s scene) {
	for _, m := range s.seen {
		line := r.of(m.ID)
		if line.Verdict != "" {
			continue
		}
		line.Name, line.Leader, line.Verdict = m.Name, m.Err == nil && m.Status.IsLeader(), Skipped
		line.SizeBefore, line.InUse = m.Status.DBBytes, m.Status.InUseBytes
		if m.Err != nil {
			line.Reason = "does not answer"
		}
	}
}
