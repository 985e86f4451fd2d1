package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

const (
	// hashBudget bounds one member's HashKV: it reads all keys under the member's lock, and
	// with cold pages 2.2 GB held a put for 51 s.
	hashBudget = 60 * time.Second
	// bigLeader is the size in use from which a leader is not asked by itself.
	bigLeader = 1 << 30
)

// prove reads the spool's facts and compares its HashKV with the live member's.
func (r *run) prove(ctx context.Context, c *etcd.Cluster, conn *etcd.Conn, t *taken) error {
	quick, err := r.Child.Inspect(ctx, t.raw.File(), dbfile.Query{Quick: true})
	if err != nil {
		return err
	}
	// The member is asked while its pages are warm, and meanwhile the file is walked.
	asked := make(chan []said, 1)
	go func() { asked <- r.ask(ctx, c, conn, t, quick.Revision) }()
	t.facts, err = r.Child.Inspect(ctx, t.raw.File(), dbfile.Query{})
	answers := <-asked
	if err != nil {
		return err
	}
	if after, err := conn.Status(ctx); err == nil && (after.MemberID != t.member.ID || after.ClusterID != c.ID) {
		return fmt.Errorf("%s: member %s answers after the stream, %s did before: %w", conn.Endpoint(), etcd.HexID(after.MemberID), etcd.HexID(t.member.ID), etcd.ErrUnavailable)
	}
	if t.outcome, err = r.compare(ctx, c, t, answers); err != nil {
		return err
	}
	r.Log.Info("snapshot proven", "member", t.member.Name, "revision", t.facts.Revision, "stage", "prove", "reason", string(t.outcome.Outcome))
	return nil
}

// said is one member's answer about its keys, or why there is none.
type said struct {
	member etcd.Member
	hash   etcd.HashKV
	err    error
}

// ask asks the members that Compare names, the one that served the stream first.
func (r *run) ask(ctx context.Context, c *etcd.Cluster, conn *etcd.Conn, t *taken, revision int64) []said {
	if why := r.quiet(t); why != "" {
		return []said{{member: t.member, err: errors.New(why)}}
	}
	out := []said{askOne(ctx, conn, t.member, revision)}
	if r.Compare != CompareAll {
		return out
	}
	for _, m := range c.Members {
		if m.ID == t.member.ID || m.Learner || m.Err != nil || m.Status.IsLeader() {
			continue
		}
		other, err := c.Connect(ctx, m)
		if err != nil {
			out = append(out, said{member: m, err: err})
			continue
		}
		answer := askOne(ctx, other, m, revision)
		answer.err = errors.Join(answer.err, other.Close())
		out = append(out, answer)
	}
	return out
}

// quiet is why nobody is asked, or "".
func (r *run) quiet(t *taken) string {
	switch {
	case r.Compare == CompareOff:
		return "switched off"
	case r.Compare == CompareAuto && t.before.IsLeader() && t.before.InUseBytes > bigLeader:
		return fmt.Sprintf("leader with %d MiB in use is not asked, --compare all asks it", t.before.InUseBytes>>20)
	}
	return ""
}

// askOne waits for a member that has not applied the revision yet, a second at a time.
func askOne(ctx context.Context, conn *etcd.Conn, m etcd.Member, revision int64) said {
	ctx, stop := context.WithTimeout(ctx, hashBudget)
	defer stop()
	for {
		h, err := conn.HashKV(ctx, revision)
		if !errors.Is(err, etcd.ErrFuture) {
			return said{m, h, err}
		}
		select {
		case <-ctx.Done():
			return said{m, h, err}
		case <-time.After(time.Second):
		}
	}
}

// compare weighs the answers against the file's own HashKV.
func (r *run) compare(ctx context.Context, c *etcd.Cluster, t *taken, answers []said) (catalog.HashKV, error) {
	out := catalog.HashKV{Hash: t.facts.HashKV, Revision: t.facts.HashRevision, CompactRevision: t.facts.HashCompact,
		Agreed: []string{}, Differed: []string{}}
	if r.Compare == CompareOff {
		out.Outcome = catalog.Off
		return out, nil
	}
	verdicts := make([]verdict, len(answers))
	for i, a := range answers {
		v, err := r.weigh(ctx, t, a)
		if err != nil {
			return out, err
		}
		verdicts[i] = v
		switch v.outcome {
		case catalog.Equal:
			out.Agreed = append(out.Agreed, etcd.HexID(a.member.ID))
		case catalog.Unequal:
			out.Differed = append(out.Differed, etcd.HexID(a.member.ID))
		}
	}
	out.Outcome, out.Why = conclude(verdicts, voters(c))
	return out, nil
}

// verdict is how one member's answer fits the file.
type verdict struct {
	outcome catalog.Outcome
	why     string
}

// weigh compares one answer. For a member compacted beyond what the file shows the file is
// hashed again as if it were compacted there too.
func (r *run) weigh(ctx context.Context, t *taken, a said) (verdict, error) {
	if a.err != nil {
		return verdict{catalog.Inconclusive, a.err.Error()}, nil //nolint:nilerr // no answer is an answer
	}
	f := t.facts
	if at := a.hash.CompactRevision; at > f.HashCompact && at < f.HashRevision && !f.TooMany {
		var err error
		f, err = r.Child.Inspect(ctx, t.raw.File(), dbfile.Query{Revision: f.HashRevision, CompactRevision: at})
		if err != nil {
			return verdict{}, err
		}
	}
	fit, why := f.Fits(a.hash.Hash, a.hash.CompactRevision)
	switch fit {
	case dbfile.Equal:
		return verdict{catalog.Equal, ""}, nil
	case dbfile.Unequal:
		return verdict{catalog.Unequal, "member " + a.member.Name + ": " + why}, nil
	}
	return verdict{catalog.Inconclusive, "member " + a.member.Name + ": " + why}, nil
}

// conclude decides over the verdicts, the serving member's first. The snapshot must equal the
// member it came from; where some differ from it, a majority of voters must agree with it.
func conclude(verdicts []verdict, voters int) (catalog.Outcome, string) {
	first := verdicts[0]
	if first.outcome != catalog.Equal {
		return first.outcome, first.why
	}
	agree, differ, why := 0, 0, ""
	for _, v := range verdicts {
		switch v.outcome {
		case catalog.Equal:
			agree++
		case catalog.Unequal:
			differ, why = differ+1, v.why
		case catalog.Inconclusive, catalog.Off:
		}
	}
	if differ > 0 && 2*agree <= voters {
		return catalog.Unequal, why
	}
	return catalog.Equal, why
}

func voters(c *etcd.Cluster) int {
	n := 0
	for _, m := range c.Members {
		if !m.Learner {
			n++
		}
	}
	return n
}
