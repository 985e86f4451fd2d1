package etcdtest

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// callWait bounds each call of the test's own.
const callWait = 30 * time.Second

// Client is the test's own look at the voters, or at some members by their place in Members:
// as root where auth is on, past the proxies, closed when the test ends. A learner takes no
// logins: with auth on, use ClientAs without a user for it.
func (c *Cluster) Client(t testing.TB, members ...int) *clientv3.Client {
	t.Helper()
	return c.ClientAs(t, c.User, c.Password, members...)
}

// ClientAs is Client for another user.
func (c *Cluster) ClientAs(t testing.TB, user, password string, members ...int) *clientv3.Client {
	t.Helper()
	client, done := c.dial(t, user, password, members...)
	t.Cleanup(done)
	return client
}

// dial is for calls that come often in one test: the caller closes the client by done.
func (c *Cluster) dial(t testing.TB, user, password string, members ...int) (client *clientv3.Client, done func()) {
	t.Helper()
	tls, err := c.tlsConfig()
	if err != nil {
		t.Fatalf("client: %v", err)
	}
	client, err = clientv3.New(clientv3.Config{
		Endpoints: c.listenURLs(members), TLS: tls, Username: user, Password: password,
		DialTimeout: callWait, Logger: zap.NewNop(), Context: t.Context(),
	})
	if err != nil {
		t.Fatalf("client: %v", err)
	}
	return client, func() { _ = client.Close() } // in a cleanup t's context is over, and Close says so
}

func (c *Cluster) listenURLs(members []int) []string {
	var urls []string
	for _, i := range members {
		urls = append(urls, c.Members[i].ListenURL)
	}
	if members != nil {
		return urls
	}
	for _, m := range c.Members {
		if !m.Learner {
			urls = append(urls, m.ListenURL)
		}
	}
	return urls
}

// HashKV asks one member for its hash at a revision, 0 for the newest.
func (c *Cluster) HashKV(t testing.TB, member int, rev int64) (hash uint32, compactRev int64) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), callWait)
	defer stop()
	client, done := c.dial(t, c.User, c.Password, member)
	defer done()
	resp, err := client.HashKV(ctx, c.Members[member].ListenURL, rev)
	if err != nil {
		t.Fatalf("HashKV of member %d at revision %d: %v", member, rev, err)
	}
	return resp.Hash, resp.CompactRevision
}

// Leader waits until a running member leads, and says which.
func (c *Cluster) Leader(t testing.TB) int {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), callWait)
	defer stop()
	leader := -1
	err := child.Poll(ctx, 20*time.Millisecond, func() error {
		for i, m := range c.Members {
			if !m.Running() {
				continue
			}
			if leads, err := m.metric(ctx, "etcd_server_is_leader"); err == nil && leads == 1 {
				leader = i
				return nil
			}
		}
		return fmt.Errorf("none of %d members leads", len(c.Members))
	})
	if err != nil {
		t.Fatalf("find the leader: %v", err)
	}
	return leader
}

// MoveLeader makes a member lead, and waits until it does.
func (c *Cluster) MoveLeader(t testing.TB, to int) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), callWait)
	defer stop()
	from := c.Leader(t)
	if from == to {
		return
	}
	client, done := c.dial(t, c.User, c.Password, from)
	defer done()
	if _, err := client.MoveLeader(ctx, c.Members[to].ID); err != nil {
		t.Fatalf("move leader from %d to %d: %v", from, to, err)
	}
	err := child.Poll(ctx, 20*time.Millisecond, func() error {
		leads, err := c.Members[to].metric(ctx, "etcd_server_is_leader")
		if err == nil && leads != 1 {
			err = fmt.Errorf("member %d does not lead", to)
		}
		return err
	})
	if err != nil {
		t.Fatalf("move leader from %d to %d: %v", from, to, err)
	}
}

// AddLearner adds and starts a member without a vote, and waits until it has caught up: most
// often 0.1 s, but 7 s where the leader's connection to it came too late for its first word.
func (c *Cluster) AddLearner(t testing.TB) *Member {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), callWait)
	defer stop()
	client, done := c.dial(t, c.User, c.Password)
	defer done()
	m := c.add(t, fmt.Sprintf("learner%d", len(c.all)))
	m.Learner = true
	m.join = []string{"--initial-cluster=" + c.InitialCluster(), "--initial-cluster-state=existing"}
	if _, err := client.MemberAddAsLearner(ctx, []string{m.PeerURL}); err != nil {
		t.Fatalf("add learner: %v", err)
	}
	m.start(t)
	m.WaitHealthy(t) // a read through the quorum, so it has all that was written before
	return m
}

// Put writes all pairs, some at a time, so their order is not that of the sequence.
func (c *Cluster) Put(t testing.TB, pairs iter.Seq2[string, []byte]) {
	t.Helper()
	client, done := c.dial(t, c.User, c.Password)
	defer done()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	type pair struct {
		key   string
		value []byte
	}
	queue := make(chan pair)
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for p := range queue {
				if _, err := client.Put(ctx, p.key, string(p.value)); err != nil {
					cancel(fmt.Errorf("put %q: %w", p.key, err))
				}
			}
		})
	}
	for key, value := range pairs {
		queue <- pair{key, value} // after a failure the writers still empty it, each put refused at once
		if ctx.Err() != nil {
			break
		}
	}
	close(queue)
	writers.Wait()
	if err := context.Cause(ctx); err != nil {
		t.Fatalf("put: %v", err)
	}
}

// enableAuth makes the two users, and waits until each member asks for a login.
func (c *Cluster) enableAuth(t testing.TB) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), callWait)
	defer stop()
	client := c.Client(t)
	for _, step := range []func() error{
		func() error { _, err := client.UserAdd(ctx, RootUser, RootPassword); return err },
		func() error { _, err := client.UserGrantRole(ctx, RootUser, "root"); return err },
		func() error { _, err := client.RoleAdd(ctx, "reader"); return err },
		func() error {
			_, err := client.RoleGrantPermission(ctx, "reader", "\x00", "\x00", clientv3.PermissionType(clientv3.PermRead))
			return err
		},
		func() error { _, err := client.UserAdd(ctx, ReaderUser, ReaderPassword); return err },
		func() error { _, err := client.UserGrantRole(ctx, ReaderUser, "reader"); return err },
		func() error { _, err := client.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Fatalf("enable auth: %v", err)
		}
	}
	c.User, c.Password = RootUser, RootPassword
	for i := range c.Members {
		// A client that logs in before the member has heard of auth goes on without a token.
		client := c.ClientAs(t, "", "", i)
		err := child.Poll(ctx, 20*time.Millisecond, func() error {
			_, err := client.Authenticate(ctx, RootUser, RootPassword)
			return err
		})
		if err != nil {
			t.Fatalf("log in to member %d: %v", i, err)
		}
	}
}
