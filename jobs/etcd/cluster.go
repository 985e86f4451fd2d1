package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Member is one member of a cluster, and how it was reached.
type Member struct {
	ID         uint64
	Name       string
	PeerURLs   []string
	ClientURLs []string
	Learner    bool

	Status Status // as of discovery, where Err is nil
	Err    error  // why it was not reached

	at address
}

// Endpoint is the URL by which the member was reached, or "".
func (m Member) Endpoint() string {
	if m.Err != nil {
		return ""
	}
	return m.at.String()
}

// Cluster is what the endpoints told of their cluster.
type Cluster struct {
	ID      uint64
	Members []Member // by name, then id
	Quorum  bool     // a majority of voters works together
	Faults  []error  // endpoints that did not answer

	cfg   Config
	tried map[address]error // and why they did not
	found sync.Map          // by a member's id, the address where its metrics are
}

// Discover asks all endpoints at once who they are and who else is there, then tries the
// members that no endpoint reached by their own client URLs. One dead endpoint costs the
// configuration's timeout; the error, which wraps ErrUnavailable, comes only when none
// answers. It needs no quorum.
func Discover(ctx context.Context, cfg Config) (*Cluster, error) {
	c := &Cluster{cfg: cfg, tried: map[address]error{}}
	answers, err := c.askEndpoints(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.merge(answers); err != nil {
		return nil, err
	}
	c.reachRest(ctx)
	c.Quorum = c.hasQuorum(ctx)
	slices.SortFunc(c.Members, func(a, b Member) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return c, ctx.Err()
}

// answer is what one endpoint told.
type answer struct {
	at      address
	status  Status
	members []Member
	err     error
}

func (c *Cluster) askEndpoints(ctx context.Context) ([]answer, error) {
	var at []address
	for _, text := range c.cfg.Endpoints {
		a, err := parseEndpoint(text, c.cfg.hasTLS())
		if err != nil {
			return nil, err
		}
		at = append(at, a)
	}
	answers := make([]answer, len(at))
	var wait sync.WaitGroup
	for i := range at {
		wait.Go(func() { answers[i] = c.ask(ctx, at[i]) })
	}
	wait.Wait()
	return answers, nil
}

func (c *Cluster) ask(ctx context.Context, at address) answer {
	conn, err := connect(ctx, c.cfg, at)
	if err != nil {
		return answer{at: at, err: err}
	}
	members, err := conn.members(ctx)
	if conn.first.Learner {
		err = nil // a learner answers Status and Snapshot alone
	}
	return answer{at: at, status: conn.first, members: members, err: errors.Join(err, conn.Close())}
}

// members asks for the member list as this member knows it: the default request goes through
// raft and hangs without a quorum.
func (c *Conn) members(ctx context.Context) ([]Member, error) {
	var out []Member
	err := c.short(ctx, "member list", func(ctx context.Context) error {
		r, err := c.client.MemberList(ctx, clientv3.WithSerializable())
		if err != nil {
			return err
		}
		for _, m := range r.Members {
			out = append(out, Member{ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs,
				Learner: m.IsLearner, Err: fmt.Errorf("not asked: %w", ErrUnavailable)})
		}
		return nil
	})
	return out, err
}

// merge ties the endpoints' answers to the members by id.
func (c *Cluster) merge(answers []answer) error {
	var newest *answer
	for i, a := range answers {
		if a.err != nil {
			c.Faults = append(c.Faults, a.err)
			c.tried[a.at] = a.err
			continue
		}
		if c.ID != 0 && c.ID != a.status.ClusterID {
			return fmt.Errorf("endpoint %s is of cluster %s, others are of %s: %w", a.at, HexID(a.status.ClusterID), HexID(c.ID), ErrUnavailable)
		}
		c.ID = a.status.ClusterID
		if len(a.members) > 0 && (newest == nil || a.status.Applied > newest.status.Applied) {
			newest = &answers[i]
		}
	}
	if newest == nil {
		return errors.Join(append([]error{fmt.Errorf("no endpoint told the members: %w", ErrUnavailable)}, c.Faults...)...)
	}
	c.Members = newest.members
	for _, a := range answers {
		if i := c.index(a.status.MemberID); a.err == nil && i >= 0 && c.Members[i].Err != nil {
			c.Members[i].at, c.Members[i].Status, c.Members[i].Err = a.at, a.status, nil
		}
	}
	return nil
}

func (c *Cluster) index(id uint64) int {
	return slices.IndexFunc(c.Members, func(m Member) bool { return m.ID == id })
}

// reachRest tries the members that no endpoint was, by the URLs that they advertise.
func (c *Cluster) reachRest(ctx context.Context) {
	var wait sync.WaitGroup
	for i := range c.Members {
		if c.Members[i].Err != nil {
			wait.Go(func() { c.Members[i].reach(ctx, c.cfg, c.tried) })
		}
	}
	wait.Wait()
}

// reach does not try again what did not answer a moment ago.
func (m *Member) reach(ctx context.Context, cfg Config, tried map[address]error) {
	if len(m.ClientURLs) == 0 {
		m.Err = fmt.Errorf("member %s has not started: %w", HexID(m.ID), ErrUnavailable)
		return
	}
	for _, text := range m.ClientURLs {
		at, err := parseEndpoint(text, cfg.hasTLS())
		if fault, was := tried[at]; err == nil && was {
			err = fault
		}
		if err != nil {
			m.Err = err
			continue
		}
		conn, err := connect(ctx, cfg, at)
		if err != nil {
			m.Err = err
			continue
		}
		id := conn.MemberID()
		m.at, m.Status, m.Err = at, conn.first, conn.Close()
		if id != m.ID {
			m.Err = fmt.Errorf("%s is advertised by member %s, but %s answers there: %w", at, HexID(m.ID), HexID(id), ErrUnavailable)
		}
		if m.Err == nil {
			return
		}
	}
}

// hasQuorum counts the voters that name the leader. Where we reach too few of them, a member
// that can still read with consensus has a quorum behind it.
func (c *Cluster) hasQuorum(ctx context.Context) bool {
	voters, agree := 0, map[uint64]int{}
	for _, m := range c.Members {
		if m.Learner {
			continue
		}
		voters++
		if m.Err == nil && m.Status.Leader != 0 {
			agree[m.Status.Leader]++
		}
	}
	for _, n := range agree {
		if 2*n > voters {
			return true
		}
	}
	return c.ReadsWithConsensus(ctx) == nil
}

// Connect opens a connection to m and checks that it is m that answers: by the URL that reached
// it at discovery, else by its own, else by the first again: a load balancer may need several
// tries until it chooses m.
func (c *Cluster) Connect(ctx context.Context, m Member) (*Conn, error) {
	if m.Err != nil {
		return nil, m.Err
	}
	var faults []error
	for _, at := range c.ways(m) {
		conn, err := connect(ctx, c.cfg, at)
		if err == nil && conn.MemberID() == m.ID {
			return conn, nil
		}
		if err == nil {
			err = errors.Join(fmt.Errorf("%s: member %s answers, %s was expected: %w", at, HexID(conn.MemberID()), HexID(m.ID), ErrUnavailable), conn.Close())
		} else if at == m.at {
			return nil, err // it is dead, not somebody else
		}
		faults = append(faults, err)
	}
	return nil, faults[0]
}

// ways lists how to reach m, best first.
func (c *Cluster) ways(m Member) []address {
	const again = 8 // by a balancer over three members, m is missed once in 25
	ways := []address{m.at}
	for _, text := range m.ClientURLs {
		at, err := parseEndpoint(text, c.cfg.hasTLS())
		if _, dead := c.tried[at]; err == nil && !dead && at != m.at {
			ways = append(ways, at)
		}
	}
	return append(ways, slices.Repeat([]address{m.at}, again)...)
}
