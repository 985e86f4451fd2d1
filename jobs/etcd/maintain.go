package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Defragment makes the member write its database anew, without the free pages; meanwhile it
// serves nobody, and Status hangs. The call has no deadline but ctx and is never sent twice. The
// server does not heed its client's end: after any error but a refusal the member may be at it
// still, which only its Metrics tell. Its answer does not say who gave it, so the member is asked
// once more who it is before. A learner refuses; with auth on, the role root is needed.
func (c *Conn) Defragment(ctx context.Context) error {
	if err := c.same(ctx); err != nil {
		return err
	}
	return c.open(ctx, fmt.Sprintf("defragment %s", c.addr), func(ctx context.Context) error {
		_, err := c.remote.Defragment(ctx, &pb.DefragmentRequest{})
		return err
	})
}

// same fails where another member answers than the one that did when the connection was opened:
// a balancer of requests, unlike one of connections, sends each to whom it likes.
func (c *Conn) same(ctx context.Context) error {
	s, err := c.Status(ctx)
	if err == nil && s.MemberID != c.MemberID() {
		return fmt.Errorf("%s: member %s answers, %s did before: %w", c.addr, HexID(s.MemberID), HexID(c.MemberID()), ErrUnavailable)
	}
	return err
}

// MoveLeader gives the lead to the voter of that id. The member of this connection must lead.
// When it returns without an error that member has seen the other lead; others may see it later.
// With auth on, the role root is needed.
func (c *Conn) MoveLeader(ctx context.Context, to uint64) error {
	return c.within(ctx, fmt.Sprintf("move leadership from %s to member %s", c.addr, HexID(to)), func(ctx context.Context) error {
		_, err := c.remote.MoveLeader(ctx, &pb.MoveLeaderRequest{TargetID: to})
		return err
	})
}

// Compact drops the cluster's history up to revision, which must not be newer than what Status
// told; a newer one is ErrFuture. One that is compacted already is no error. Where physical, the
// call returns once this member's database is rid of it, which can take minutes and has no
// deadline but ctx; it goes on in the server after an error.
func (c *Conn) Compact(ctx context.Context, revision int64, physical bool) error {
	what := fmt.Sprintf("compact %s at revision %d", c.addr, revision)
	call, options := c.within, []clientv3.CompactOption{}
	if physical {
		call, options = c.open, append(options, clientv3.WithCompactPhysical())
	}
	var future error
	err := call(ctx, what, func(ctx context.Context) error {
		_, err := c.client.Compact(ctx, revision, options...)
		switch {
		case errors.Is(err, rpctypes.ErrCompacted):
			return nil
		case errors.Is(err, rpctypes.ErrFutureRev):
			future = fmt.Errorf("%s: %w", what, ErrFuture)
			return nil
		}
		return err
	})
	return errors.Join(err, future)
}

// ReadsWithConsensus asks all voters that knew a leader at discovery, at once, for a read that a
// quorum must confirm. It is nil as soon as one answers, else why each did not, after two
// timeouts of the configuration at most.
func (c *Cluster) ReadsWithConsensus(ctx context.Context) error {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	answers, asked := make(chan error, len(c.Members)), 0
	for _, m := range c.Members {
		if !m.Learner && m.Err == nil && m.Status.Leader != 0 {
			asked++
			go func() { answers <- c.readsBy(inner, m) }() // all answers are waited for
		}
	}
	faults := []error{fmt.Errorf("no quorum confirms a read, %d voters were asked: %w", asked, ErrUnavailable)}
	good := false
	for range asked {
		err := <-answers
		if good = good || err == nil; good {
			stop()
		}
		faults = append(faults, err)
	}
	switch {
	case good:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return errors.Join(faults...)
}

// readsBy asks for the members as the quorum knows them: a read that needs no right to any key.
func (c *Cluster) readsBy(ctx context.Context, m Member) error {
	conn, err := c.Connect(ctx, m)
	if err != nil {
		return err
	}
	err = conn.short(ctx, "read with consensus", func(ctx context.Context) error {
		_, err := conn.client.MemberList(ctx)
		return err
	})
	return errors.Join(err, conn.Close())
}
