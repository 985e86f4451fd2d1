package defrag

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

// rehearse is a dry run: it tells of each member what a run would do as things stand, and returns all that
// such a run would end with.
func (r *run) rehearse(ctx context.Context, s scene) error {
	if err := r.foresee(ctx); err != nil || r.report.Skip {
		return err
	}
	var faults []error
	done := 0
	for _, id := range r.order(s) {
		m, _ := s.member(id)
		line := r.of(id)
		switch {
		case r.MaxMembers > 0 && done == r.MaxMembers:
			line.Reason += "; --max-members reached"
			continue
		case !r.MoveLeader && id == s.leader() && len(s.voters()) > 1:
			line.Verdict, line.Reason = Skipped, leaderStays
			continue
		}
		done++
		if err := r.objections(s, m); err != nil {
			faults = append(faults, r.refuse(m, err))
		}
	}
	return errors.Join(append(faults, r.undecided())...)
}

// order is that of the steps, if leadership stays where it is.
func (r *run) order(s scene) (ids []uint64) {
	for _, m := range s.seen {
		if slices.Contains(r.todo, m.ID) && m.ID != s.leader() {
			ids = append(ids, m.ID)
		}
	}
	if slices.Contains(r.todo, s.leader()) {
		ids = append(ids, s.leader())
	}
	return ids
}

// foresee is what a run would meet at the lock, without touching it.
func (r *run) foresee(ctx context.Context) error {
	state, err := r.Lock.Look(ctx)
	if err == nil {
		err = lock.Foresee(ctx, state, r.Policy)
	}
	switch {
	case r.skips(err):
		return nil
	case err != nil:
		r.leave("not begun: " + err.Error())
		return err
	case state.Held:
		r.warn(fmt.Sprintf("a run would wait: %s is held by %s", state.Where, state.Claim))
	case r.forced && r.Lock.Kind() == lock.KindEtcd && r.Member != "":
		return errMemberAlone
	case r.forced && r.Lock.Kind() == lock.KindEtcd:
		r.warn("the lock cannot be taken with an alarm NOSPACE: a run watches the members' own figures instead")
	}
	return nil
}
