package defrag

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
)

// each defragments one member after the other. The first that does not end well ends it.
func (r *run) each(ctx context.Context) error {
	for done := 0; len(r.todo) > 0; done++ {
		if r.MaxMembers > 0 && done == r.MaxMembers {
			r.leave("--max-members reached")
			r.todo = nil
			return nil
		}
		if done > 0 {
			if err := r.rest(ctx); err != nil {
				r.leave("not begun: " + err.Error())
				return err
			}
		}
		if err := r.turn(ctx); err != nil {
			return err
		}
	}
	return nil
}

// errMoved says that leadership moved between the look at the whole and the step, which was not made.
var errMoved = errors.New("leadership moved meanwhile")

// turns is how often leadership may move before a step: by then something is wrong with it.
const turns = 5

// turn is the next member's step; none where the list changed. Where leadership moved before the step
// was made, all are looked at again.
func (r *run) turn(ctx context.Context) error {
	for try := 1; ; try++ {
		s, err := r.wellScene(ctx)
		var m *seen
		if err == nil {
			m, err = r.next(ctx, &s)
		}
		if err == nil && m != nil {
			err = r.step(ctx, s, *m)
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errMoved) && try < turns:
			r.Log.Info("members are looked at again", "reason", err.Error())
			continue
		case m != nil && (r.of(m.ID).Verdict == Failed || r.of(m.ID).Verdict == Running):
			r.leave("not begun, since " + about(m.Member) + " did not end well")
		default:
			r.leave("not begun: " + err.Error())
		}
		return err
	}
}

// rest waits between two members, for Wait and until the cluster is well again, which may take a
// while: a member that restarted replays its log. What no wait mends, as an alarm CORRUPT, ends it at once.
func (r *run) rest(ctx context.Context) error {
	r.Log.Info("pause", "reason", "between two members", "took", r.Wait)
	if err := r.pause(ctx, r.Wait); err != nil {
		return err
	}
	for began := r.Now(); ; {
		_, err := r.wellScene(ctx)
		mends := errors.Is(err, ErrUnhealthy) || errors.Is(err, etcd.ErrUnavailable)
		if !mends || ctx.Err() != nil || r.Now().Sub(began) > r.pace.recover {
			return err
		}
		r.Log.Warn("cluster is not well", "err", err)
		if err := r.pause(ctx, r.pace.unwell); err != nil {
			return err
		}
	}
}

// leaderStays is why a member is left out.
const leaderStays = "it leads, and --move-leader=false"

// next is the member whose turn it is: the first follower on the list, and the leader when there is no
// other, after leadership moved away from it; s is then the scene after that. nil: the list changed.
func (r *run) next(ctx context.Context, s *scene) (*seen, error) {
	r.dropUnneeded(*s)
	for _, m := range s.seen {
		if slices.Contains(r.todo, m.ID) && m.ID != s.leader() {
			return &m, nil
		}
	}
	if len(r.todo) == 0 {
		return nil, nil
	}
	leader, is := s.member(s.leader())
	if !is || !slices.Contains(r.todo, leader.ID) {
		for _, id := range r.todo {
			r.of(id).Verdict, r.of(id).Reason = Skipped, "no member any more"
		}
		r.todo = nil
		return nil, nil
	}
	if len(s.voters()) == 1 {
		return &leader, r.single(*s)
	}
	if !r.MoveLeader {
		r.drop(leader.ID)
		r.of(leader.ID).Verdict, r.of(leader.ID).Reason = Skipped, leaderStays
		return nil, nil
	}
	if err := r.objections(*s, leader); err != nil {
		return nil, r.refuse(leader, err)
	}
	if err := r.prove(ctx, *s); err != nil {
		return nil, err
	}
	after, err := r.leadAway(ctx, *s, leader)
	if errors.Is(err, errMoved) {
		return nil, err
	}
	if err != nil {
		return nil, r.refuse(leader, err)
	}
	*s = after
	m, is := after.member(leader.ID)
	if !is {
		return nil, fmt.Errorf("%w: %s left the cluster", ErrUnhealthy, about(leader.Member))
	}
	return &m, nil
}

// dropUnneeded takes members off the list of which the rule says no by now: somebody else may have
// defragmented them in a pause.
func (r *run) dropUnneeded(s scene) {
	for _, m := range s.seen {
		if r.forced || !slices.Contains(r.todo, m.ID) {
			continue
		}
		yes, err := r.Rule.Decide(r.numbers(m))
		switch {
		case err != nil:
			r.drop(m.ID)
			r.doubts = append(r.doubts, fmt.Errorf("%s: %w", about(m.Member), err))
			r.of(m.ID).Verdict, r.of(m.ID).Reason = Skipped, "cannot decide by now: "+err.Error()
		case !yes:
			r.drop(m.ID)
			r.of(m.ID).Verdict, r.of(m.ID).Reason = Skipped, "the rule says no by now: "+r.Rule.Explain(r.numbers(m))
		}
	}
}

// drop takes a member off the list.
func (r *run) drop(id uint64) {
	r.todo = slices.DeleteFunc(r.todo, func(other uint64) bool { return other == id })
}

// refuse tells why a member is not defragmented.
func (r *run) refuse(m seen, err error) error {
	r.drop(m.ID)
	line := r.of(m.ID)
	line.Verdict, line.Reason = Refused, err.Error()
	return fmt.Errorf("%s: %w", about(m.Member), err)
}

// objections is what speaks against a defragmentation of m right now; the cluster is well. The error
// wraps ErrRefused.
func (r *run) objections(s scene, m seen) error {
	var why []string
	for _, other := range s.voters() {
		switch {
		case other.blind != nil && !r.BlindOK:
			why = append(why, fmt.Sprintf("whether a defragmentation or a snapshot is in flight on %s cannot be checked: %v (--metrics optional goes on without)", about(other.Member), other.blind))
		case other.blind == nil && other.metrics.InDefrag():
			why = append(why, fmt.Sprintf("a defragmentation is in flight on %s", about(other.Member)))
		}
	}
	if m.blind == nil && m.metrics.SnapshotStreams > 0 {
		why = append(why, fmt.Sprintf("%d snapshot streams are open on it: it would stand still until they end", m.metrics.SnapshotStreams))
	}
	for _, trouble := range etcd.Known(m.Status.Version) {
		if trouble.Refuses() && !r.Force {
			why = append(why, trouble.String()+", and it runs "+m.Status.Version+" (--force goes on)")
		}
	}
	if block := r.block(m); r.MaxBlock > 0 && block > r.MaxBlock {
		why = append(why, fmt.Sprintf("it would not serve for %s, --max-block is %s", block.Round(time.Second), r.MaxBlock))
	}
	if len(why) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrRefused, strings.Join(why, "; "))
}

// bytesPerSecond is how fast etcd writes what is in use: 15 s for a GB, on a quiet machine with a local
// disk (measured: 1.6 GB in 18.6 s and more, with writers up to 38 s for a GB).
const bytesPerSecond = 1e9 / 15

// block is for how long m is expected not to serve.
func (r *run) block(m seen) time.Duration {
	return time.Duration(float64(m.Status.InUseBytes) / bytesPerSecond * float64(time.Second))
}

// step defragments one member, of which nothing is known to speak against it but what it is asked for
// here, last.
func (r *run) step(ctx context.Context, s scene, m seen) error {
	if err := r.objections(s, m); err != nil {
		return r.refuse(m, err)
	}
	line := r.of(m.ID)
	line.SizeBefore, line.InUse = m.Status.DBBytes, m.Status.InUseBytes
	conn, err := s.cluster.Connect(ctx, m.Member)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it may be broken by now
	if err := r.prove(ctx, s); err != nil {
		return err
	}
	if err := r.lastLook(ctx, s, m, conn); err != nil {
		return err
	}
	r.drop(m.ID)
	r.Log.Info("defragmentation begins", "member", m.Name, "bytes", m.Status.DBBytes, "took", r.block(m))
	began := r.Now()
	err = r.follow(ctx, s, m, conn)
	line.Seconds = r.Now().Sub(began).Seconds()
	switch {
	case errors.Is(err, ErrRunning):
		line.Verdict, line.Reason = Running, err.Error()
		last, stop := lastWords(ctx)
		defer stop()
		r.leaveNote(last, m, *line)
	case err != nil:
		line.Verdict, line.Reason = Failed, err.Error()
	default:
		r.own[m.ID]++
		return r.ended(ctx, s, m)
	}
	r.Log.Error(fmt.Sprintf("failed defrag on member: %s, memberID: %d: %v", m.Name, m.ID, err)) //nolint:sloglint // the phrase that alerts on OpenShift's operator look for
	return err
}

// lastLook is right before the call, since connecting and proving the lock take their time: whether m
// leads by now, and whether anything came to be in flight on any voter.
func (r *run) lastLook(ctx context.Context, s scene, m seen, conn *etcd.Conn) error {
	now, err := conn.Status(ctx)
	switch {
	case err != nil:
		return err
	case now.IsLeader() && len(s.voters()) > 1:
		return fmt.Errorf("%s leads by now: %w: %w", about(m.Member), ErrUnhealthy, errMoved)
	}
	fresh := scene{cluster: s.cluster, seen: slices.Clone(s.seen)}
	fresh.readMetrics(ctx)
	again, _ := fresh.member(m.ID)
	if err := r.objections(fresh, again); err != nil {
		return r.refuse(m, err)
	}
	return nil
}

// lastTime bounds what is still asked and written when a run was told to stop: a Pod has 30 s to end,
// and the release of the lock needs its part.
const lastTime = 15 * time.Second

func lastWords(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), lastTime)
}

// ended tells of a member that was defragmented and leaves the note, also where ctx has ended. The error
// is the cause of ctx.
func (r *run) ended(ctx context.Context, s scene, m seen) error {
	last, stop := lastWords(ctx)
	defer stop()
	line := r.of(m.ID)
	line.Verdict, line.Reason = Defragmented, strings.TrimPrefix(line.Reason, "; ")
	r.Log.Info(fmt.Sprintf("etcd member has been defragmented: %s, memberID: %d", m.Name, m.ID)) //nolint:sloglint // as above
	after, err := statusOf(last, s.cluster, m.Member)
	switch {
	case err != nil:
		r.report.Warnings = append(r.report.Warnings, fmt.Sprintf("%s: its size afterwards: %v", about(m.Member), err))
	case after.DBBytes >= m.Status.DBBytes:
		line.SizeAfter = after.DBBytes
		r.report.Warnings = append(r.report.Warnings, fmt.Sprintf("%s did not shrink: %d bytes before, %d after", about(m.Member), m.Status.DBBytes, after.DBBytes))
	default:
		line.SizeAfter = after.DBBytes
	}
	r.leaveNote(last, m, *line)
	return context.Cause(ctx)
}

func statusOf(ctx context.Context, c *etcd.Cluster, m etcd.Member) (etcd.Status, error) {
	conn, err := c.Connect(ctx, m)
	if err != nil {
		return etcd.Status{}, err
	}
	s, err := conn.Status(ctx)
	return s, errors.Join(err, conn.Close())
}
