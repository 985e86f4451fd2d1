package defrag

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/defrag/rule"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
)

// decide looks and chooses, before the lock is taken: samples take their time. A cluster that is not
// well while another holds the lock most likely is so by that one's work: then its holder is the
// answer, by the policy, and once it is gone all begins anew.
func (r *run) decide(ctx context.Context) (scene, error) {
	for {
		s, err := r.wellScene(ctx)
		if err == nil {
			s, err = r.choose(ctx, s)
		}
		if !errors.Is(err, ErrUnhealthy) {
			return s, err
		}
		if waited, refusal := r.behind(ctx); !waited {
			if refusal != nil {
				err = refusal
			}
			return s, err
		}
		if r.report.Skip {
			return s, nil
		}
	}
}

// decideAgain looks and chooses once more with the lock in hand: it may have been waited for, and its
// last holder may have done what was to be done. For how long the rule has said yes is not asked again.
func (r *run) decideAgain(ctx context.Context) (scene, error) {
	s, err := r.wellScene(ctx)
	if err != nil {
		r.leave("not begun: " + err.Error())
		return s, err
	}
	if err := r.weighAll(ctx, s); err != nil {
		return s, err
	}
	if r.held == nil && !r.forced {
		r.todo = nil
		for i := range r.report.Members {
			r.report.Members[i].Verdict, r.report.Members[i].Reason = Skipped, "the alarm NOSPACE has ended meanwhile"
		}
	}
	return s, nil
}

// choose settles which members are to be defragmented, and tells of all. With an alarm NOSPACE these
// are all voters; else those of which the rule says yes, for as long as it must, and which do not cool
// down. It returns the scene that was looked at last.
func (r *run) choose(ctx context.Context, s scene) (scene, error) {
	if err := r.single(s); err != nil {
		return s, err
	}
	if !s.noSpace() {
		var err error
		if s, err = r.sustained(ctx, s); err != nil {
			return s, err
		}
	}
	return s, r.weighAll(ctx, s)
}

// weighAll decides on all members by one scene.
func (r *run) weighAll(ctx context.Context, s scene) error {
	r.todo, r.doubts, r.report.Members, r.forced = nil, nil, []MemberReport{}, s.noSpace()
	r.tellOf(s)
	for _, m := range r.eligible(s) {
		if r.forced {
			r.plan(m, "alarm NOSPACE")
			continue
		}
		r.weigh(ctx, m)
	}
	return r.wrongMember(s)
}

func (s scene) corrupt() bool {
	return slices.ContainsFunc(s.cluster.Alarms(), func(a etcd.Alarm) bool { return a.Kind == etcd.Corrupt })
}

// single refuses the only voter, unless told.
func (r *run) single(s scene) error {
	if len(s.voters()) > 1 {
		return nil
	}
	r.tellOf(s)
	if r.AllowSingle {
		r.warn("the cluster has one voter: nothing is served while it defragments")
		return nil
	}
	return fmt.Errorf("%w: the cluster has one voter, and serves nothing while that defragments: --allow-single", ErrRefused)
}

// wrongMember refuses a --member that is none, or that etcd does not defragment.
func (r *run) wrongMember(s scene) error {
	if r.Member == "" {
		return nil
	}
	i := slices.IndexFunc(s.seen, r.isAsked)
	switch {
	case i < 0:
		return fmt.Errorf("%w: no member has the name or id %q", ErrRefused, r.Member)
	case s.seen[i].isLearner():
		return fmt.Errorf("%w: %s is a learner: etcd defragments none", ErrRefused, about(s.seen[i].Member))
	}
	return nil
}

// isAsked says whether --member means m: its name, or its id, hexadecimal or decimal.
func (r *run) isAsked(m seen) bool {
	return r.Member == "" || r.Member == m.Name || r.Member == etcd.HexID(m.ID) || r.Member == strconv.FormatUint(m.ID, 10)
}

// eligible are the voters that are asked for. Why others are not is told.
func (r *run) eligible(s scene) (out []seen) {
	for _, m := range s.seen {
		line := r.of(m.ID)
		switch {
		case !r.isAsked(m):
			line.Reason = "not asked for"
		case m.isLearner():
			line.Reason = "a learner: etcd defragments none"
		default:
			out = append(out, m)
		}
	}
	return out
}

// plan puts m onto the list.
func (r *run) plan(m seen, why string) {
	r.todo = append(r.todo, m.ID)
	line := r.of(m.ID)
	line.Verdict, line.Reason, line.Block = Planned, why, r.block(m).Seconds()
}

// numbers are what the rule asks about.
func (r *run) numbers(m seen) rule.Numbers {
	quota := m.Status.EffectiveQuota(m.metrics)
	if quota == 0 {
		quota = r.Quota
	}
	return rule.Numbers{Size: m.Status.DBBytes, InUse: m.Status.InUseBytes, Quota: quota}
}

// sustained samples until the rule has said yes of a member for as long as it must, or says it of
// none. The first sample may be all there is.
func (r *run) sustained(ctx context.Context, s scene) (scene, error) {
	every := min(sampleEvery, max(r.Sustain/5, time.Second))
	for began := r.Now(); ; {
		yes := 0
		for _, m := range s.voters() {
			says, err := r.Rule.Decide(r.numbers(m))
			r.Samples.Add(m.ID, r.Now(), says)
			if says && r.isAsked(m) && r.Samples.For(m.ID, r.Now()) < r.Sustain {
				yes++
			}
			if err != nil {
				r.Log.Warn("rule cannot decide", "member", m.Name, "err", err)
			}
		}
		if yes == 0 || r.Now().Sub(began) > r.Sustain+maxGap {
			return s, nil
		}
		if r.Now().Equal(began) || r.Now().Sub(began) < every {
			r.Log.Info("rule is sampled", "reason", "it must say yes for --sustain", "took", r.Sustain)
		}
		if err := r.pause(ctx, every); err != nil {
			return s, err
		}
		var err error
		if s, err = r.wellScene(ctx); err != nil {
			return s, err
		}
	}
}

// weigh decides on one voter by rule and cool-down.
func (r *run) weigh(ctx context.Context, m seen) {
	n, line := r.numbers(m), r.of(m.ID)
	line.SizeBefore, line.InUse = n.Size, n.InUse
	says, err := r.Rule.Decide(n)
	lasted := r.Samples.For(m.ID, r.Now())
	switch {
	case err != nil:
		line.Reason = "cannot decide: " + err.Error()
		r.doubts = append(r.doubts, fmt.Errorf("%s: %w", about(m.Member), err))
		return
	case !says:
		line.Reason = "the rule says no: " + r.Rule.Explain(n)
		return
	case lasted < r.Sustain && !r.lasted[m.ID]:
		line.Reason = fmt.Sprintf("the rule has said yes for %s of %s: %s", lasted, r.Sustain, r.Rule.Explain(n))
		return
	}
	r.lasted[m.ID] = true
	cools, why := r.coolsDown(ctx, m)
	switch {
	case cools:
		line.Reason = why
	default:
		if r.Sustain == 0 {
			why += "; by one look (--sustain 0)"
		}
		r.plan(m, "the rule says yes: "+r.Rule.Explain(n)+why)
	}
}

// undecided is the error of members of which the rule could not tell.
func (r *run) undecided() error { return errors.Join(r.doubts...) }

// note is what is kept in etcd of the last defragmentation of a member.
type note struct {
	Finished time.Time `json:"finished"`
	Running  bool      `json:"running,omitempty"` // it was not finished then: the run left it at work
	Before   int64     `json:"sizeBefore"`
	After    int64     `json:"sizeAfter"`
	Seconds  float64   `json:"seconds"`
	Host     string    `json:"host,omitempty"`
}

func noteKey(member uint64) string { return etcd.Prefix + "defragmented/" + etcd.HexID(member) }

// lastNote reads it; nil: there is none.
func (r *run) lastNote(ctx context.Context, member uint64) (*note, error) {
	key, err := r.keys.Get(ctx, noteKey(member))
	if err != nil || key.Created == 0 {
		return nil, err
	}
	var n note
	if err := json.Unmarshal(key.Value, &n); err != nil {
		return nil, fmt.Errorf("read key %s: %w", noteKey(member), err)
	}
	return &n, nil
}

// maxAhead is how far clocks may differ.
const maxAhead = 5 * time.Minute

// coolsDown says whether m was defragmented less than CoolDown ago: by the note that a run left, else
// by the member's own count since its process began. why is said of it, also where nothing is known.
func (r *run) coolsDown(ctx context.Context, m seen) (cools bool, why string) {
	if r.CoolDown <= 0 {
		return false, ""
	}
	n, err := r.lastNote(ctx, m.ID)
	now := r.Now()
	switch up := now.Sub(m.metrics.Started); {
	case n != nil && n.Finished.Sub(now) > maxAhead:
		return false, fmt.Sprintf("; its note is of the future (%s) and counts for nothing", n.Finished.UTC().Format(time.RFC3339))
	case n != nil && n.Running && now.Sub(n.Finished) < r.CoolDown:
		return true, fmt.Sprintf("cools down: at work when a run left it at %s, less than %s ago", n.Finished.UTC().Format(time.RFC3339), r.CoolDown)
	case n != nil && now.Sub(n.Finished) < r.CoolDown:
		return true, fmt.Sprintf("cools down: defragmented at %s, less than %s ago", n.Finished.UTC().Format(time.RFC3339), r.CoolDown)
	case n != nil:
		return false, ""
	case m.blind == nil && m.metrics.Defragmentations > 0 && up < r.CoolDown:
		return true, fmt.Sprintf("cools down: defragmented since its start at %s", m.metrics.Started.UTC().Format(time.RFC3339))
	case m.blind == nil && m.metrics.Defragmentations == 0 && up >= r.CoolDown:
		return false, ""
	case err != nil:
		return false, fmt.Sprintf("; no cool-down is known: %v", err)
	}
	return false, "; no cool-down is known: no run left a note"
}
