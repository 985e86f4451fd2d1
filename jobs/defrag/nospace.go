package defrag

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
)

// compact drops the history but for CompactKeep revisions, where told, and waits until every voter's
// pages are free: a defragmentation before that keeps them.
func (r *run) compact(ctx context.Context, s scene) error {
	if r.CompactKeep < 0 {
		return nil
	}
	leader, _ := s.member(s.leader())
	revision := leader.Status.Revision - r.CompactKeep
	if revision <= 1 {
		return nil
	}
	conn, err := s.cluster.Connect(ctx, leader.Member)
	if err != nil {
		return err
	}
	r.Log.Info("compaction begins", "revision", revision, "member", leader.Name)
	bounded, stop := context.WithTimeoutCause(ctx, r.GiveUp, fmt.Errorf("compaction at revision %d goes on in the server: %w", revision, ErrRunning))
	defer stop()
	err = conn.Compact(bounded, revision, true)
	if err = errors.Join(err, conn.Close()); err != nil {
		if bounded.Err() != nil {
			err = context.Cause(bounded)
		}
		return fmt.Errorf("compact but for %d revisions: %w", r.CompactKeep, err)
	}
	r.report.Compacted = revision
	return r.settle(ctx, s)
}

// settleTime is how long pages of a compaction may go on to be freed on members that did not answer
// for it.
const settleTime = 2 * time.Minute

// settle waits until no voter's bytes in use fall any more, from one look to the next.
func (r *run) settle(ctx context.Context, s scene) error {
	for began := r.Now(); r.Now().Sub(began) < settleTime; {
		if err := r.pause(ctx, r.pace.settle); err != nil {
			return err
		}
		now, err := r.look(ctx)
		if err != nil {
			return err
		}
		falls := false
		for _, m := range now.voters() {
			was, _ := s.member(m.ID)
			falls = falls || m.Status.InUseBytes < was.Status.InUseBytes
		}
		if !falls {
			return nil
		}
		s = now
	}
	return nil
}

// roomShare is the part of the quota below which every member must be before NOSPACE is disarmed: else
// it would be back in no time.
const roomShare = 0.8

// disarm ends the alarms NOSPACE, where told and where there is room by now; else it says what to do.
func (r *run) disarm(ctx context.Context) error {
	if !r.forced {
		return nil
	}
	s, err := r.wellScene(ctx)
	if err != nil || !s.noSpace() {
		return err
	}
	if len(r.todo) > 0 || r.Member != "" || r.MaxMembers > 0 && len(s.voters()) > r.MaxMembers {
		r.report.Blame(jobs.CauseCluster, "alarm NOSPACE is active: not all members were defragmented in this run")
		return nil
	}
	if full := r.full(s); len(full) > 0 {
		r.report.Blame(jobs.CauseCluster, fmt.Sprintf("alarm NOSPACE stays: %s; drop history (--compact-keep), delete keys, or raise etcd's --quota-backend-bytes", strings.Join(full, "; ")))
		return nil
	}
	if !r.Disarm {
		r.report.Blame(jobs.CauseCluster, "alarm NOSPACE is still active, and there is room now: etcdsafe defrag --disarm, or etcdctl alarm disarm")
		return nil
	}
	if err := r.prove(ctx, s); err != nil {
		return err
	}
	return r.disarmAll(ctx, s)
}

// full names the members that fill too much of their quota, or of which it is not known. A learner counts
// too: etcd raises the alarm for any member.
func (r *run) full(s scene) (out []string) {
	for _, m := range s.seen {
		n, kind := r.numbers(m), ""
		if m.isLearner() {
			kind = ", a learner, which etcd does not defragment"
		}
		switch {
		case m.Err != nil:
			out = append(out, fmt.Sprintf("%s does not answer%s", about(m.Member), kind))
		case n.Quota == 0:
			out = append(out, fmt.Sprintf("the quota of %s is not known (--quota)", about(m.Member)))
		case n.Quota > 0 && float64(n.Size) >= roomShare*float64(n.Quota):
			out = append(out, fmt.Sprintf("%s fills %.0f %% of its quota%s", about(m.Member), 100*float64(n.Size)/float64(n.Quota), kind))
		}
	}
	return out
}

func (r *run) disarmAll(ctx context.Context, s scene) error {
	leader, _ := s.member(s.leader())
	conn, err := s.cluster.Connect(ctx, leader.Member)
	if err != nil {
		return err
	}
	var faults []error
	for _, a := range s.cluster.Alarms() {
		if a.Kind != etcd.NoSpace {
			continue
		}
		err := conn.Disarm(ctx, a)
		if err == nil {
			r.report.Disarmed = append(r.report.Disarmed, a.String())
			r.Log.Info("alarm disarmed", "reason", a.String())
		}
		faults = append(faults, err)
	}
	if err := errors.Join(append(faults, conn.Close())...); err != nil {
		return err
	}
	return r.stays(ctx)
}

// heardOf is how many looks members are given to hear that an alarm was disarmed.
const heardOf = 5

// stays looks whether the alarm is gone: a member may hear of that after the leader has answered.
func (r *run) stays(ctx context.Context) error {
	for range heardOf {
		s, err := r.wellScene(ctx)
		if err != nil || !s.noSpace() {
			return err
		}
		if err := r.pause(ctx, r.pace.again); err != nil {
			return err
		}
	}
	r.report.Blame(jobs.CauseCluster, "alarm NOSPACE came back at once: the cluster is written full")
	return nil
}
