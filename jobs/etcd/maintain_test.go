package etcd

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// openTo connects to one member of c.
func openTo(t *testing.T, c *etcdtest.Cluster, member int) *Conn {
	t.Helper()
	cfg := configOf(c)
	cfg.Endpoints = cfg.Endpoints[member : member+1]
	return open(t, cfg)
}

// asReader is cfg for a user who may read all keys and no more.
func asReader(cfg Config) Config {
	cfg.User, cfg.Password = etcdtest.ReaderUser, etcdtest.ReaderPassword
	return cfg
}

// fragment leaves some MiB of free pages in each member.
func fragment(t *testing.T, c *etcdtest.Cluster, conn *Conn) {
	t.Helper()
	c.Put(t, filler(100, 100_000))
	if _, err := c.Client(t).Delete(t.Context(), "/registry/filler/", clientv3.WithPrefix()); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	s, err := conn.Status(t.Context())
	if err != nil {
		t.Fatalf("Status: %v", err)
	}
	if err := conn.Compact(t.Context(), s.Revision, true); err != nil {
		t.Fatalf("Compact: %v", err)
	}
	for deadline := time.Now().Add(20 * time.Second); s.InUseBytes > 1<<20; time.Sleep(50 * time.Millisecond) {
		c.Put(t, filler(1, 1)) // pages are free once a transaction after the compaction's was committed
		if s, err = conn.Status(t.Context()); err != nil || time.Now().After(deadline) {
			t.Fatalf("%d bytes in use, %v; want them free within 20 s", s.InUseBytes, err)
		}
	}
}

// TestDefragmentFreesTheFile on each version, with auth and mTLS: root alone may.
func TestDefragmentFreesTheFile(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Version: version, TLS: true, Auth: true})
			conn := openTo(t, c, 0)
			fragment(t, c, conn)
			wantFault(t, open(t, asReader(configOf(c))).Defragment(t.Context()), "the user lacks the right")
			before, err := conn.Status(t.Context())
			if err != nil || before.DBBytes < 9<<20 {
				t.Fatalf("before: %+v, %v; want a file of 9 MiB or more", before, err)
			}
			if err := conn.Defragment(t.Context()); err != nil {
				t.Fatalf("Defragment: %v", err)
			}
			after, err := conn.Status(t.Context())
			if err != nil || after.DBBytes > 1<<20 {
				t.Errorf("after Defragment: %d bytes, %v; want less than 1 MiB", after.DBBytes, err)
			}
			got := discover(t, configOf(c))
			if m := metricsOf(t, got, got.Members[0]); m.Defragmentations != 1 || m.DefragCalls != 0 {
				t.Errorf("the member made %d defragmentations, %d are open; want the one of root", m.Defragmentations, m.DefragCalls)
			}
		})
	}
}

// TestADefragmentationOutlivesItsCaller makes one last, by a snapshot stream that somebody else
// does not read: the member waits for that stream's read transaction. Nothing gives up by itself;
// and when the caller does, or its connection ends, the member's metrics tell that it goes on.
func TestADefragmentationOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Version: version, TLS: true, Auth: true, Proxied: true})
			c.Put(t, filler(400, 100_000)) // more than the buffers on the way hold
			cfg := configOf(c)
			cfg.Timeout = time.Second // of which Defragment must know nothing
			got := discover(t, cfg)
			stalled := stallStream(t, c)
			if m := metricsOf(t, got, got.Members[0]); m.SnapshotStreams != 1 || m.InDefrag() {
				t.Fatalf("Metrics = %+v, want one snapshot stream and no defragmentation", m)
			}

			conn := open(t, cfg)
			mine := errors.New("the run was stopped")
			ctx, stop := context.WithCancelCause(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- conn.Defragment(ctx) }()
			waitUntil(t, "the defragmentation", func() bool { return metricsOf(t, got, got.Members[0]).InDefrag() })
			select {
			case err := <-ended:
				t.Fatalf("Defragment gave up by itself: %v", err)
			case <-time.After(2 * cfg.Timeout):
			}
			wantFault(t, open2(t, cfg), "no answer in time") // Status hangs, and so no second one is sent

			stop(mine)
			within(t, 2*time.Second, "Defragment after its cancel", func() {
				if err := <-ended; !errors.Is(err, mine) {
					t.Errorf("Defragment = %v, want the cause of its end", err)
				}
			})
			if m := metricsOf(t, got, got.Members[0]); !m.Defragmenting || m.DefragCalls != 1 || m.SnapshotStreams != 1 {
				t.Errorf("after its client went: %+v, want the defragmentation in flight still", m)
			}
			if err := conn.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			c.Members[0].Proxy.CutAfter(0, etcdtest.RST)
			waitUntil(t, "the cut", func() bool { return c.Members[0].Proxy.Cuts() > 0 })
			c.Members[0].Proxy.Heal(t)

			stalled.readOn()
			waitUntil(t, "the end of the defragmentation", func() bool { return !metricsOf(t, got, got.Members[0]).InDefrag() })
			if m := metricsOf(t, got, got.Members[0]); m.Defragmentations != 1 || m.SnapshotStreams != 0 {
				t.Errorf("at last: %+v, want one defragmentation in all", m)
			}
			if n := strings.Count(c.Members[0].Log(), `"starting defragment"`); n != 1 {
				t.Errorf("the member began %d defragmentations, want 1", n)
			}
		})
	}
}

// open2 asks for a connection to a member that serves nobody.
func open2(t *testing.T, cfg Config) error {
	t.Helper()
	at, err := parseEndpoint(cfg.Endpoints[0], cfg.hasTLS())
	if err != nil {
		t.Fatal(err)
	}
	_, err = connect(t.Context(), cfg, at)
	return err
}

// stalledStream is a snapshot stream whose client stopped reading.
type stalledStream struct {
	gate  chan struct{}
	ended chan error
}

func (s *stalledStream) Write(p []byte) (int, error) {
	<-s.gate
	return len(p), nil
}

func (s *stalledStream) readOn() { close(s.gate) }

// stallStream opens one past the proxy, and returns when the server has begun it. It ends by
// readOn, which must be called.
func stallStream(t *testing.T, c *etcdtest.Cluster) *stalledStream {
	t.Helper()
	cfg := configOf(c)
	cfg.Endpoints = []string{c.Members[0].ListenURL}
	conn := open(t, cfg)
	s := &stalledStream{make(chan struct{}), make(chan error, 1)}
	go func() { s.ended <- conn.Snapshot(t.Context(), Stream{To: s}) }()
	waitUntil(t, "the stream", func() bool {
		return c.Members[0].Metric(t, `grpc_server_started_total{grpc_method="Snapshot",grpc_service="etcdserverpb.Maintenance",grpc_type="server_stream"}`) == 1
	})
	return s
}

// TestDefragmentRefusesABalancerOfRequests: one connection, and each request goes to another
// member.
func TestDefragmentRefusesABalancerOfRequests(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	b := balanceRequests(t, c)
	conn := open(t, Config{Endpoints: []string{b.url}})
	wantFault(t, conn.Defragment(t.Context()), "did before")
	if n := b.defrags.Load(); n != 0 {
		t.Errorf("%d requests to defragment were sent, want none", n)
	}
}

// requestBalancer passes each call on to the next member, as a proxy that understands gRPC does.
type requestBalancer struct {
	pb.UnimplementedMaintenanceServer
	url      string
	backends []pb.MaintenanceClient
	n        atomic.Int64
	defrags  atomic.Int64
}

func (b *requestBalancer) next() pb.MaintenanceClient {
	return b.backends[int(b.n.Add(1))%len(b.backends)]
}

func (b *requestBalancer) Status(ctx context.Context, r *pb.StatusRequest) (*pb.StatusResponse, error) {
	return b.next().Status(ctx, r)
}

func (b *requestBalancer) Defragment(ctx context.Context, r *pb.DefragmentRequest) (*pb.DefragmentResponse, error) {
	b.defrags.Add(1)
	return b.next().Defragment(ctx, r)
}

func balanceRequests(t *testing.T, c *etcdtest.Cluster) *requestBalancer {
	t.Helper()
	b := &requestBalancer{}
	for _, m := range c.Members {
		to, err := grpc.NewClient(strings.TrimPrefix(m.ListenURL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = to.Close() })
		b.backends = append(b.backends, pb.NewMaintenanceClient(to))
	}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.url = "http://" + ln.Addr().String()
	server := grpc.NewServer()
	pb.RegisterMaintenanceServer(server, b)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(ln)
	}()
	t.Cleanup(func() { server.Stop(); <-served })
	return b
}

// TestMoveLeader on each version: from the leader, by root, to a voter.
func TestMoveLeader(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Version: version, Members: 3, TLS: true, Auth: true})
			from := c.Leader(t)
			to := (from + 1) % 3
			leader := openTo(t, c, from)
			id := c.Members[to].ID

			wantFault(t, openTo(t, c, to).MoveLeader(t.Context(), id), "not leader")
			wantFault(t, leader.MoveLeader(t.Context(), 1), "bad leader transferee")
			reader := asReader(configOf(c))
			reader.Endpoints = reader.Endpoints[from : from+1]
			wantFault(t, open(t, reader).MoveLeader(t.Context(), id), "the user lacks the right")
			if now := c.Leader(t); now != from {
				t.Fatalf("member %d leads after refusals, want %d", now, from)
			}

			if err := leader.MoveLeader(t.Context(), id); err != nil {
				t.Fatalf("MoveLeader: %v", err)
			}
			if s, err := leader.Status(t.Context()); err != nil || s.Leader != id {
				t.Errorf("after MoveLeader the old leader names %s, %v; want %s", HexID(s.Leader), err, HexID(id))
			}
		})
	}
}

func TestCompact(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Version: version, TLS: true, Auth: true})
			c.Put(t, filler(20, 10))
			conn := openTo(t, c, 0)
			s, err := conn.Status(t.Context())
			if err != nil || s.Revision < 21 {
				t.Fatalf("Status = %+v, %v; want a revision of 21 or more", s, err)
			}
			if err := conn.Compact(t.Context(), s.Revision+1, false); !errors.Is(err, ErrFuture) {
				t.Errorf("Compact at a revision to come: %v, want ErrFuture", err)
			}
			for _, physical := range []bool{false, true} {
				keep := s.Revision - 10
				if physical {
					keep += 5
				}
				for range 2 { // the second time it is compacted already
					if err := conn.Compact(t.Context(), keep, physical); err != nil {
						t.Fatalf("Compact(%d, %v): %v", keep, physical, err)
					}
				}
				if h, err := conn.HashKV(t.Context(), s.Revision); err != nil || h.CompactRevision != keep {
					t.Errorf("after Compact(%d, %v) the member is compacted at %d, %v", keep, physical, h.CompactRevision, err)
				}
			}
		})
	}
}

// TestReadsWithConsensus with all members, with a quorum, and without one.
func TestReadsWithConsensus(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3, TLS: true, Auth: true})
	cfg := configOf(c)
	cfg.Timeout = 2 * time.Second
	got := discover(t, cfg)
	leader := c.Leader(t)
	if err := got.ReadsWithConsensus(t.Context()); err != nil {
		t.Errorf("ReadsWithConsensus of three members = %v", err)
	}
	c.Members[(leader+1)%3].Pause(t)
	within(t, 5*time.Second, "ReadsWithConsensus of two members", func() {
		if err := got.ReadsWithConsensus(t.Context()); err != nil {
			t.Errorf("ReadsWithConsensus of two members = %v", err)
		}
	})
	c.Members[(leader+2)%3].Pause(t)
	within(t, 6*time.Second, "ReadsWithConsensus of one member", func() {
		wantFault(t, got.ReadsWithConsensus(t.Context()), "no quorum confirms a read, 3 voters were asked")
	})
	mine := errors.New("stopped by hand")
	ctx, stop := context.WithCancelCause(t.Context())
	stop(mine)
	if err := got.ReadsWithConsensus(ctx); !errors.Is(err, mine) {
		t.Errorf("ReadsWithConsensus after a cancel = %v, want its cause", err)
	}
	nobody := &Cluster{Members: []Member{{ID: 1, Learner: true}, {ID: 2}, {ID: 3, Err: ErrUnavailable, Status: Status{Leader: 1}}}}
	wantFault(t, nobody.ReadsWithConsensus(t.Context()), "0 voters were asked")
}
