package defrag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// moveTime is how long a change of leadership may take to be seen by all: some elections.
const moveTime = 15 * time.Second

// leadAway moves leadership from leader to another voter and waits until all voters name that one. It
// returns the scene in which they do. The error wraps ErrUnhealthy where they never did, and errMoved as well
// where leader does not lead any more.
func (r *run) leadAway(ctx context.Context, s scene, leader seen) (scene, error) {
	to := r.heir(s, leader)
	conn, err := s.cluster.Connect(ctx, leader.Member)
	if err != nil {
		return s, err
	}
	r.Log.Info("leadership moves", "member", leader.Name, "reason", "to "+to.Name)
	if err := errors.Join(conn.MoveLeader(ctx, to.ID), conn.Close()); err != nil {
		if now, wrong := r.look(ctx); wrong == nil && now.leader() != 0 && now.leader() != leader.ID {
			err = fmt.Errorf("%w: %w", errMoved, err) // by another's hand, or the member lost it
		}
		return s, fmt.Errorf("%w: leadership did not move: %w", ErrUnhealthy, err)
	}
	for began := r.Now(); ; {
		s, err := r.look(ctx)
		if err != nil {
			return s, err
		}
		if s.leader() == to.ID && len(s.ills()) == 0 {
			return s, nil
		}
		if r.Now().Sub(began) > moveTime {
			return s, fmt.Errorf("%w: leadership did not move to %s within %s", ErrUnhealthy, about(to.Member), moveTime)
		}
		if err := r.pause(ctx, r.pace.again); err != nil {
			return s, err
		}
	}
}

// heir is who is to lead: a voter that needs no defragmentation any more in this run, the furthest
// one first.
func (r *run) heir(s scene, leader seen) seen {
	others := slices.DeleteFunc(s.voters(), func(m seen) bool { return m.ID == leader.ID })
	done := func(m seen) int { return map[bool]int{true: 0, false: 1}[r.own[m.ID] > 0] }
	return slices.MinFunc(others, func(a, b seen) int {
		return cmp.Or(cmp.Compare(done(a), done(b)), cmp.Compare(b.Status.Applied, a.Status.Applied), cmp.Compare(a.Name, b.Name))
	})
}
