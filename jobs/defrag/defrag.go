package defrag

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/defrag/rule"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

// What callers act on.
var (
	ErrRefused   = errors.New("refused")                // by a rule of safety that a person may lift
	ErrUnhealthy = errors.New("cluster is not well")    // enough to lose one member for a while
	ErrRunning   = errors.New("still defragmenting")    // as far as the member's metrics tell
	ErrFailed    = errors.New("defragmentation failed") // and is over
)

// Config says when, whom and how. Durations of 0 mean none, unless said otherwise.
type Config struct {
	Cluster string
	Etcd    etcd.Config
	Rule    rule.Rule
	// Sustain is for how long the rule must have said yes, by samples a minute apart.
	Sustain time.Duration
	Samples *Samples // taken before this run; nil: none
	// CoolDown is for how long a member is left alone after a defragmentation.
	CoolDown time.Duration
	// Wait is the least time between two members.
	Wait time.Duration
	// Watch is for how long, beyond Wait, members are watched where no lock can be had: 30 s where 0.
	Watch time.Duration
	// GiveUp is for how long a member in defragmentation is followed; it is left running then.
	GiveUp time.Duration
	// MaxBlock is how long a member may be expected not to serve.
	MaxBlock time.Duration

	MoveLeader  bool   // lead away from a leader; else it is left out
	AllowSingle bool   // defragment the only voter, which stops the cluster meanwhile
	Force       bool   // in spite of what is known of its version
	BlindOK     bool   // go on where a member's metrics cannot be read
	Member      string // this one alone, by name or id; empty: all
	MaxMembers  int    // at most so many in this run; 0: all
	CompactKeep int64  // compact first, but for so many revisions; below 0: do not compact
	Disarm      bool   // end alarms NOSPACE, at the end and where there is room
	Quota       int64  // bytes, of members that do not tell theirs; 0: unknown

	Lock   lock.Locker
	Claim  lock.Claim
	Policy lock.Policy

	DryRun bool
	Now    func() time.Time
	Log    *slog.Logger

	pace pace // users' where 0; tests have less time
}

// Report is what a run found and did.
type Report struct {
	jobs.Report
	Compacted int64          `json:"compacted,omitempty"` // the revision
	Disarmed  []string       `json:"disarmed,omitempty"`
	Members   []MemberReport `json:"members"`
}

// Verdict is what was decided on a member, or came of it.
type Verdict string

// The verdicts.
const (
	Planned      Verdict = "defragment" // a dry run, or a run that ended before it
	Defragmented Verdict = "defragmented"
	Skipped      Verdict = "skipped" // the rule says no, it cools down, it learns, it is not asked for
	Refused      Verdict = "refused" // it should be, and must not
	Failed       Verdict = "failed"
	Running      Verdict = "running" // still in the server
)

// MemberReport is one member.
type MemberReport struct {
	ID         string  `json:"id"` // hexadecimal, as etcdctl prints it
	Name       string  `json:"name"`
	Leader     bool    `json:"leader"` // when it was first looked at
	Verdict    Verdict `json:"verdict"`
	Reason     string  `json:"reason"`
	SizeBefore int64   `json:"sizeBefore"`
	SizeAfter  int64   `json:"sizeAfter,omitempty"`
	InUse      int64   `json:"inUse"`
	Block      float64 `json:"block,omitempty"`   // seconds for which it is expected not to serve
	Seconds    float64 `json:"seconds,omitempty"` // that it took
}

// Run defragments those members that need it. The report is filled as far as the run came; the
// caller ends it. Errors wrap ErrRefused, ErrUnhealthy, ErrRunning, ErrFailed, rule.ErrUndecided,
// the sentinels of lock and etcd, or the cause of ctx. After ErrRunning, and where ctx ended in the
// middle, a member works on; its verdict says so.
func Run(ctx context.Context, c Config) (Report, error) {
	r := &run{Config: c, keys: etcd.NewKeys(c.Etcd), own: map[uint64]int64{}, lasted: map[uint64]bool{}, pause: pause, jitter: jitter,
		report: Report{Members: []MemberReport{}, Report: jobs.Report{Job: "defrag", Cluster: c.Cluster, DryRun: c.DryRun, Started: c.Now().UTC()}}}
	r.pace = r.pace.orUsers()
	if r.Samples == nil {
		r.Samples = &Samples{}
	}
	err := r.do(ctx)
	for i := range r.report.Members {
		r.report.Members[i].Reason = strings.Join(strings.Fields(r.report.Members[i].Reason), " ")
	}
	return r.report, err
}

type run struct {
	Config
	report Report
	keys   *etcd.Keys
	held   *lock.Held              // nil: the lock could not be taken
	base   map[uint64]etcd.Metrics // without a lock: members' figures before the first step
	own    map[uint64]int64        // defragmentations of this run
	todo   []uint64                // members that are still to be defragmented
	forced bool                    // by NOSPACE: the rule is not asked
	lasted map[uint64]bool         // members of which the rule has said yes for as long as it must
	doubts []error                 // members of which the rule could not tell
	pause  func(context.Context, time.Duration) error
	jitter func(time.Duration) time.Duration
}

func (r *run) do(ctx context.Context) (err error) {
	s, err := r.decide(ctx)
	if err != nil || r.report.Skip {
		return err
	}
	if len(r.todo) == 0 {
		return r.nothing("no member needs it")
	}
	if r.DryRun {
		return r.rehearse(ctx, s)
	}
	if err := r.alone(ctx, s); err != nil || r.report.Skip {
		return err
	}
	defer func() { err = r.release(ctx, s, err) }()
	if s, err = r.decideAgain(ctx); err != nil {
		return err
	}
	if len(r.todo) == 0 {
		return r.nothing("no member needs it any more")
	}
	if err := r.compact(ctx, s); err != nil {
		return err
	}
	if err := r.each(ctx); err != nil {
		return err
	}
	return errors.Join(r.undecided(), r.disarm(ctx))
}

// nothing ends a run that has nothing to do, unless the rule could not tell.
func (r *run) nothing(why string) error {
	r.report.Skip, r.report.Reason = true, why
	return r.undecided()
}

// warn puts a text into the report, once.
func (r *run) warn(text string) {
	if !slices.Contains(r.report.Warnings, text) {
		r.report.Warnings = append(r.report.Warnings, text)
	}
}

// pause waits, or ends with ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// jitter is a random part of d.
func jitter(d time.Duration) time.Duration { return rand.N(max(d, 1)) } //nolint:gosec // no secret

// about names a member in errors and logs.
func about(m etcd.Member) string { return fmt.Sprintf("member %s (%s)", etcd.HexID(m.ID), m.Name) }

// of is the member's line of the report.
func (r *run) of(id uint64) *MemberReport {
	for i := range r.report.Members {
		if r.report.Members[i].ID == etcd.HexID(id) {
			return &r.report.Members[i]
		}
	}
	r.report.Members = append(r.report.Members, MemberReport{ID: etcd.HexID(id)})
	return &r.report.Members[len(r.report.Members)-1]
}
