package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// TestALostConnectionStaysLost cuts a connection between two calls: each call after it fails at
// once, and no other connection is made, however well the member is again.
func TestALostConnectionStaysLost(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		for name, how := range map[string]etcdtest.Cut{"reset": etcdtest.RST, "ended": etcdtest.FIN} {
			t.Run(fmt.Sprintf("%s,secure=%v", name, secure), func(t *testing.T) {
				t.Parallel()
				c := etcdtest.Start(t, etcdtest.Options{Proxied: true, TLS: secure})
				proxy := c.Members[0].Proxy
				conn := open(t, configOf(c))
				if _, err := conn.Status(t.Context()); err != nil {
					t.Fatalf("Status before the cut: %v", err)
				}
				before := proxy.Connections()
				proxy.CutAfter(0, how)
				waitUntil(t, "the cut", func() bool { return proxy.Cuts() > 0 })
				wantLost(t, conn)
				proxy.Heal(t)
				wantLost(t, conn)
				if got := proxy.Connections(); got != before {
					t.Errorf("%d connections were made, want the first alone", got)
				}
			})
		}
	}
}

// wantLost makes every kind of call.
func wantLost(t *testing.T, conn *Conn) {
	t.Helper()
	calls := map[string]func() error{
		"Status":     func() error { _, err := conn.Status(t.Context()); return err },
		"HashKV":     func() error { _, err := conn.HashKV(t.Context(), 1); return err },
		"members":    func() error { _, err := conn.members(t.Context()); return err },
		"Snapshot":   func() error { return conn.Snapshot(t.Context(), Stream{To: &sink{}}) },
		"Defragment": func() error { return conn.Defragment(t.Context()) },
		"MoveLeader": func() error { return conn.MoveLeader(t.Context(), 1) },
		"Compact":    func() error { return conn.Compact(t.Context(), 1, true) },
		"Alarms":     func() error { _, err := conn.Alarms(t.Context()); return err },
		"Disarm":     func() error { return conn.Disarm(t.Context(), Alarm{Member: 1, Kind: NoSpace}) },
	}
	for name, call := range calls {
		within(t, 2*time.Second, name, func() {
			if err := call(); !errors.Is(err, ErrConnectionLost) || !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s on a lost connection: %v, want ErrConnectionLost and ErrUnavailable", name, err)
			} else if strings.Contains(err.Error(), "instead of") {
				t.Errorf("%s on a lost connection: %v, which blames the scheme", name, err)
			}
		})
	}
}

// TestACallThatOurSideCutIsLost: gRPC closes a connection whose keepalive ping was not answered, and tells the
// calls on it in words of its own. None of that is the member's answer.
func TestACallThatOurSideCutIsLost(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	conn := open(t, configOf(c))
	err := conn.open(t.Context(), "call", func(context.Context) error {
		conn.wire.conn.Close()
		return status.Error(codes.Unavailable, "keepalive ping failed to receive ACK within timeout")
	})
	if !errors.Is(err, ErrConnectionLost) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("open: %v, want ErrConnectionLost and ErrUnavailable", err)
	}
}

// TestAMemberThatDiesEndsItsConnection kills the server behind a connection that is idle, and
// starts it again at the same address.
func TestAMemberThatDiesEndsItsConnection(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	conn := open(t, configOf(c))
	c.Members[0].Kill(t)
	wantLost(t, conn)
	c.Members[0].Restart(t)
	wantLost(t, conn)
}

// TestAFrozenMemberCostsACallItsTimeout: its connection stays open and nothing answers.
func TestAFrozenMemberCostsACallItsTimeout(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	cfg := configOf(c)
	cfg.Timeout = time.Second
	conn := open(t, cfg)
	c.Members[0].Pause(t)
	within(t, 3*time.Second, "Status", func() {
		_, err := conn.Status(t.Context())
		wantFault(t, err, "no answer in time")
	})
	c.Members[0].Resume(t)
	waitUntil(t, "Status after the freeze", func() bool { _, err := conn.Status(t.Context()); return err == nil })
}

func TestConnectRefusesAnotherMember(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	got := discover(t, configOf(c))
	m := got.Members[0]
	m.at, m.ClientURLs = got.Members[1].at, nil
	_, err := got.Connect(t.Context(), m)
	wantFault(t, err, HexID(m.ID)+" was expected")
}

// TestHashKVEqualsTheTestsOwn compares with etcd's own client, at each revision.
func TestHashKVEqualsTheTestsOwn(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Version: version, TLS: true, Auth: true})
			c.Put(t, filler(20, 10))
			conn := open(t, configOf(c))
			s, err := conn.Status(t.Context())
			if err != nil || s.Revision < 20 {
				t.Fatalf("Status = %+v, %v", s, err)
			}
			if _, err := c.Client(t).Compact(t.Context(), 5); err != nil {
				t.Fatalf("Compact: %v", err)
			}
			for rev := int64(6); rev <= s.Revision; rev++ {
				h, err := conn.HashKV(t.Context(), rev)
				hash, compacted := c.HashKV(t, 0, rev)
				if err != nil || h != (HashKV{MemberID: c.Members[0].ID, Hash: hash, CompactRevision: compacted}) {
					t.Errorf("HashKV(%d) = %+v, %v; want %d at %d", rev, h, err, hash, compacted)
				}
			}
			if _, err := conn.HashKV(t.Context(), s.Revision+1); !errors.Is(err, ErrFuture) {
				t.Errorf("HashKV of a revision to come: %v, want ErrFuture", err)
			}
			if _, err := conn.HashKV(t.Context(), 4); err == nil || errors.Is(err, ErrFuture) {
				t.Errorf("HashKV of a compacted revision: %v, want an error that is not ErrFuture", err)
			}
		})
	}
}

func TestCloseMayBeCalledAfterALoss(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	conn := open(t, configOf(c))
	c.Members[0].Kill(t)
	wantLost(t, conn)
	if err := conn.Close(); err != nil {
		t.Errorf("Close of a lost connection: %v", err)
	}
}

// TestFillWritesAllPairs, and tells where one was not written.
func TestFillWritesAllPairs(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{TLS: true, Auth: true})
	if err := Fill(t.Context(), configOf(c), filler(300, 100)); err != nil {
		t.Fatalf("Fill: %v", err)
	}
	resp, err := c.Client(t).Get(t.Context(), "/registry/filler/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || resp.Count != 300 {
		t.Errorf("after Fill there are %d keys, %v; want 300", resp.Count, err)
	}
	nameless := func(yield func(string, []byte) bool) { _ = yield("a", nil) && yield("", nil) }
	if err := Fill(t.Context(), configOf(c), nameless); err == nil {
		t.Error("Fill with an empty key = nil, want an error")
	}
	reader := configOf(c)
	reader.User, reader.Password = etcdtest.ReaderUser, etcdtest.ReaderPassword
	if err := Fill(t.Context(), reader, filler(1, 1)); err == nil {
		t.Error("Fill as a user who may only read = nil, want an error")
	}
}
