package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Keys is a few keys of a cluster as a whole, all below Prefix, and the leases that they lie under.
// Each call goes to one voter after another, the one that served last first, until one answers: a
// member that stands still or defragments costs twice the configuration's timeout at most and is
// passed over. Which voters there are is asked again once none has answered. Nothing stays open
// between two calls, so no login grows old and no connection is found dead when it is needed.
//
// It is safe for several goroutines.
type Keys struct {
	cfg Config

	mu      sync.Mutex
	cluster *Cluster // nil: to be discovered
	voters  []Member // of cluster, in the order in which they are asked
}

// NewKeys reaches nobody yet.
func NewKeys(cfg Config) *Keys { return &Keys{cfg: cfg} }

// errSlow ends an attempt with one voter.
var errSlow = fmt.Errorf("no answer in time: %w", ErrUnavailable)

// call makes one call to the first voter that answers. An answer is also one that says no for good
// (final): another voter would say the same. do may run several times, and an attempt that failed
// may have had its effect all the same.
func (k *Keys) call(ctx context.Context, do func(context.Context, *Conn) error) error {
	cluster, voters, err := k.ways(ctx)
	if err != nil {
		return err
	}
	var faults []error
	for _, m := range voters {
		err := k.through(ctx, cluster, m, do)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil || final(err) {
			k.prefer(m)
			return err
		}
		faults = append(faults, fmt.Errorf("%s: %w", m.Name, err))
	}
	k.forget(cluster)
	return unbroken{errors.Join(faults...)}
}

// unbroken prints what was joined on one line.
type unbroken struct{ error }

func (u unbroken) Error() string { return strings.ReplaceAll(u.error.Error(), "\n", "; ") }

func (u unbroken) Unwrap() error { return u.error }

func (k *Keys) through(ctx context.Context, cluster *Cluster, m Member, do func(context.Context, *Conn) error) error {
	ctx, stop := context.WithTimeoutCause(ctx, 2*k.cfg.timeout(), errSlow)
	defer stop()
	conn, err := cluster.Connect(ctx, m)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // what was asked is answered
	return do(ctx, conn)
}

// ways is whom to ask, in order: the leader at first, since it answers for leases by itself and is
// not defragmented while it leads.
func (k *Keys) ways(ctx context.Context) (*Cluster, []Member, error) {
	k.mu.Lock()
	cluster, voters := k.cluster, slices.Clone(k.voters)
	k.mu.Unlock()
	if cluster != nil {
		return cluster, voters, nil
	}
	cluster, err := Discover(ctx, k.cfg)
	if err != nil {
		return nil, nil, unbroken{err}
	}
	for _, m := range cluster.Members {
		if m.Err == nil && !m.Learner && !m.Status.Learner {
			voters = append(voters, m)
		}
	}
	if len(voters) == 0 {
		return nil, nil, fmt.Errorf("no voter was reached: %w", ErrUnavailable)
	}
	slices.SortStableFunc(voters, func(a, b Member) int { return cmp.Compare(rankOf(a), rankOf(b)) })
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cluster, k.voters = cluster, voters
	return cluster, slices.Clone(voters), nil
}

func rankOf(m Member) int {
	if m.Status.IsLeader() {
		return 0
	}
	return 1
}

// prefer puts m first.
func (k *Keys) prefer(m Member) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if i := slices.IndexFunc(k.voters, func(v Member) bool { return v.ID == m.ID }); i > 0 {
		k.voters = slices.Insert(slices.Delete(k.voters, i, i+1), 0, m)
	}
}

// forget lets the next call look for voters anew, unless another did so meanwhile.
func (k *Keys) forget(cluster *Cluster) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cluster == cluster {
		k.cluster, k.voters = nil, nil
	}
}
