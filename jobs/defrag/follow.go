package defrag

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
)

// follow asks for the defragmentation and returns when it is over. An error wraps ErrFailed where the
// member tells that it is over and did not end well, and ErrRunning where it goes on or nobody can
// tell: after GiveUp, and where ctx ends, whose cause is then wrapped as well. Neither the call's
// answer nor its loss settles anything but success: that the member's own metrics do.
func (r *run) follow(ctx context.Context, s scene, m seen, conn *etcd.Conn) error {
	open, hangUp := context.WithCancel(context.WithoutCancel(ctx)) // whoever hangs up stops nothing in the server
	defer hangUp()
	answer := make(chan error, 1)
	go func() { answer <- conn.Defragment(open) }()

	giveUp := time.NewTimer(r.GiveUp)
	defer giveUp.Stop()
	tick := time.NewTicker(r.pace.follow)
	defer tick.Stop()
	f := following{run: r, s: s, m: m, began: r.Now()}
	for {
		select {
		case err := <-answer:
			if err == nil {
				return nil
			}
			f.refused = err
			r.Log.Warn("defragmentation was not answered", "member", m.Name, "err", err)
		case <-giveUp.C:
			return fmt.Errorf("%s: %w after %s, and goes on in the server", about(m.Member), ErrRunning, r.GiveUp)
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), fmt.Errorf("%s: %w, and goes on in the server", about(m.Member), ErrRunning))
		case <-tick.C:
		}
		if over, err := f.over(ctx); over {
			return err
		}
	}
}

// following is a defragmentation that was asked for and not answered yet.
type following struct {
	*run
	s       scene
	m       seen
	began   time.Time
	refused error // what the call ended in
	told    bool  // of one that goes on after that
}

// over says whether the defragmentation has ended, and how.
func (f *following) over(ctx context.Context) (bool, error) {
	if f.m.blind != nil {
		return f.overBlind(ctx)
	}
	now, err := f.s.cluster.Metrics(ctx, f.m.Member)
	if told := err == nil; !told || now.InDefrag() {
		f.tell(told)
		return false, nil // nobody can tell, or it goes on
	}
	_, err = statusOf(ctx, f.s.cluster, f.m.Member)
	if serves := err == nil; !serves {
		return false, nil
	}
	switch waited := f.Now().Sub(f.began); {
	case !now.Started.Equal(f.m.metrics.Started):
		return true, fmt.Errorf("%s: %w: it restarted meanwhile", about(f.m.Member), ErrFailed)
	case now.Defragmentations > f.m.metrics.Defragmentations:
		return true, nil
	case f.refused != nil && errors.Is(f.refused, etcd.ErrUnavailable) && !errors.Is(f.refused, etcd.ErrConnectionLost):
		return true, fmt.Errorf("%s was not defragmented: %w", about(f.m.Member), f.refused) // etcd said no
	case f.refused != nil:
		return true, fmt.Errorf("%s: %w: %w", about(f.m.Member), ErrFailed, f.refused)
	case waited > f.pace.patience:
		return true, fmt.Errorf("%s: %w: after %s the member knows of none", about(f.m.Member), ErrFailed, f.pace.patience)
	}
	return false, nil
}

// tell says once of a defragmentation whose call is gone that it goes on: whoever reads the log must
// not take the lost answer for its end.
func (f *following) tell(known bool) {
	if known && f.refused != nil && !f.told {
		f.told = true
		f.Log.Warn("defragmentation goes on in the server", "member", f.m.Name, "took", f.Now().Sub(f.began))
	}
}

// overBlind goes by what else tells of a defragmentation: the member does not answer meanwhile. A call
// that is still open is waited for.
func (f *following) overBlind(ctx context.Context) (bool, error) {
	if f.refused == nil {
		return false, nil
	}
	after, err := statusOf(ctx, f.s.cluster, f.m.Member)
	switch serves := err == nil; {
	case !serves:
		return false, nil
	case after.DBBytes < f.m.Status.DBBytes:
		return true, nil
	}
	return true, fmt.Errorf("%s: %w: %w", about(f.m.Member), ErrFailed, f.refused)
}

// leaveNote writes down when m was defragmented, for the cool-down of later runs. Where it cannot, as
// with an alarm NOSPACE, the member's own count is all that they have.
func (r *run) leaveNote(ctx context.Context, m seen, line MemberReport) {
	text, err := json.Marshal(note{Finished: r.Now().UTC(), Before: line.SizeBefore, After: line.SizeAfter, Seconds: line.Seconds, Host: r.Claim.Host})
	if err == nil {
		err = r.keys.Put(ctx, noteKey(m.ID), text)
	}
	if err != nil {
		r.report.Warnings = append(r.report.Warnings, fmt.Sprintf("%s: no note of its defragmentation: %v", about(m.Member), err))
	}
}
