package defrag

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
)

// follow asks for the defragmentation and returns when it is over. An error wraps ErrFailed where the
// member tells that it is over and did not end well, and ErrRunning where it goes on or nobody can
// tell: after GiveUp, and where ctx ends, whose cause is then wrapped as well. Neither the call's
// answer nor its loss settles anything but success: that the member's own metrics do.
func (r *run) follow(ctx context.Context, s scene, m seen, conn *etcd.Conn) error {
	open, hangUp := context.WithCancel(context.WithoutCancel(ctx)) // whoever hangs up stops nothing in the server
	answer := make(chan error, 1)
	var call sync.WaitGroup
	call.Go(func() { answer <- conn.Defragment(open) })
	defer call.Wait()
	defer hangUp()

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
			if isGood(answer) {
				return nil
			}
			return f.left()
		case <-ctx.Done():
			if isGood(answer) {
				return nil
			}
			return errors.Join(context.Cause(ctx), f.left())
		case <-tick.C:
		}
		if over, err := f.over(ctx); over {
			return err
		}
	}
}

// isGood says whether the call was answered well by now: the answer may come together with what ends the waiting.
func isGood(answer <-chan error) bool {
	select {
	case err := <-answer:
		return err == nil
	default:
		return false
	}
}

// settled is how many looks in a row must tell that a call that was lost did nothing: it may still be on its way.
const settled = 3

// following is a defragmentation that was asked for and not answered yet.
type following struct {
	*run
	s       scene
	m       seen
	began   time.Time
	refused error // what the call ended in
	told    bool  // of one that goes on after that
	idle    int   // looks in a row at which the member served, and had done nothing
	silent  error // why the member's metrics were not had, at the last look
}

// left is the error of one whose end was not seen.
func (f *following) left() error {
	switch waited := f.Now().Sub(f.began).Round(time.Second); {
	case f.silent != nil:
		return fmt.Errorf("%s does not answer after %s, and nobody can tell whether it is %w: %s", about(f.m.Member), waited, ErrRunning, f.silent.Error())
	case f.m.blind != nil && f.idle > 0:
		return fmt.Errorf("%s serves after %s and its metrics cannot be read: nobody can tell whether it is %w: %s", about(f.m.Member), waited, ErrRunning, f.refused.Error())
	default:
		return fmt.Errorf("%s: %w after %s, and goes on in the server", about(f.m.Member), ErrRunning, waited)
	}
}

// over says whether the defragmentation has ended, and how.
func (f *following) over(ctx context.Context) (bool, error) {
	if f.m.blind != nil {
		return f.overBlind(ctx)
	}
	now, err := f.s.cluster.Metrics(ctx, f.m.Member)
	if err != nil {
		f.hush(ctx, err)
		return false, nil // nobody can tell
	}
	f.silent = nil
	if now.InDefrag() {
		f.tell()
		f.idle = 0
		return false, nil
	}
	_, err = statusOf(ctx, f.s.cluster, f.m.Member)
	if serves := err == nil; !serves {
		return false, nil
	}
	f.idle++
	switch waited := f.Now().Sub(f.began); {
	case !now.Started.Equal(f.m.metrics.Started):
		return true, fmt.Errorf("%s: %w: it restarted meanwhile", about(f.m.Member), ErrFailed)
	case now.Defragmentations > f.m.metrics.Defragmentations:
		return true, nil
	case f.no():
		return true, fmt.Errorf("%s was not defragmented: %w", about(f.m.Member), f.refused)
	case f.refused != nil && f.idle >= settled:
		return true, fmt.Errorf("%s: %w: %w", about(f.m.Member), ErrFailed, f.refused)
	case f.refused == nil && waited > f.pace.patience:
		return true, fmt.Errorf("%s: %w: after %s the member knows of none", about(f.m.Member), ErrFailed, f.pace.patience)
	}
	return false, nil
}

// no says whether etcd itself refused.
func (f *following) no() bool {
	return errors.Is(f.refused, etcd.ErrUnavailable) && !errors.Is(f.refused, etcd.ErrConnectionLost)
}

// tell says once of a defragmentation whose call is gone that it goes on: whoever reads the log must
// not take the lost answer for its end.
func (f *following) tell() {
	if f.refused != nil && !f.told {
		f.told = true
		f.Log.Warn("defragmentation goes on in the server", "member", f.m.Name, "took", f.Now().Sub(f.began))
	}
}

// hush says of a member, each time it falls silent, that nobody knows what it does.
func (f *following) hush(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if f.silent == nil {
		f.Log.Warn("member in defragmentation does not answer", "member", f.m.Name, "err", err)
	}
	f.silent, f.idle = err, 0
}

// overBlind goes by what else tells of a defragmentation: the member does not answer meanwhile, and is
// smaller afterwards. One that serves and is not may have done it, and may have it before it: nobody can tell. A call
// that is still open is waited for.
func (f *following) overBlind(ctx context.Context) (bool, error) {
	if f.refused == nil {
		return false, nil
	}
	after, err := statusOf(ctx, f.s.cluster, f.m.Member)
	switch {
	case err != nil:
		f.hush(ctx, err)
		return false, nil
	case after.DBBytes < f.m.Status.DBBytes:
		return true, nil
	case f.no():
		return true, fmt.Errorf("%s was not defragmented: %w", about(f.m.Member), f.refused)
	}
	f.silent = nil
	f.idle++
	return false, nil
}

// leaveNote writes down when m was defragmented, or was at it still when the run left it, for the
// cool-down of later runs. Where it cannot, as with an alarm NOSPACE, the member's own count is all
// that they have.
func (r *run) leaveNote(ctx context.Context, m seen, line MemberReport) {
	text, err := json.Marshal(note{Finished: r.Now().UTC(), Running: line.Verdict == Running, Before: line.SizeBefore, After: line.SizeAfter, Seconds: line.Seconds, Host: r.Claim.Host})
	if err == nil {
		err = r.keys.Put(ctx, noteKey(m.ID), text)
	}
	if err != nil {
		r.report.Warnings = append(r.report.Warnings, fmt.Sprintf("%s: no note of its defragmentation: %v", about(m.Member), err))
	}
}
