package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Conn is one connection to one member. Its calls fail with ErrConnectionLost once the
// connection ends. Close it. It is safe for several goroutines.
type Conn struct {
	cfg    Config
	addr   address
	client *clientv3.Client
	remote pb.MaintenanceClient
	wire   *wire
	alive  context.Context //nolint:containedctx // ends with the connection, not with a call
	first  Status
}

// Status is what one member says of itself.
type Status struct {
	ClusterID, MemberID uint64
	Version             string
	Leader              uint64 // 0: it knows none
	Term                uint64
	Index, Applied      uint64
	Revision            int64
	DBBytes, InUseBytes int64
	Quota               int64 // bytes; 0 where it is not told, as by etcd 3.5; see EffectiveQuota
	Learner             bool
	Errors              []string // alarms and faults, in etcd's words
}

// IsLeader says whether the member leads.
func (s Status) IsLeader() bool { return s.Leader != 0 && s.Leader == s.MemberID }

// HexID is an id as etcdctl prints it.
func HexID(id uint64) string { return strconv.FormatUint(id, 16) }

// connect opens a connection to a, logs in, and asks who answers.
func connect(ctx context.Context, cfg Config, a address) (*Conn, error) {
	raw, err := openWire(ctx, cfg, a)
	if err != nil {
		return nil, cfg.explain(ctx, fmt.Sprintf("connect to %s", a), firstContact{err})
	}
	alive, lost := context.WithCancelCause(context.WithoutCancel(ctx))
	c := &Conn{cfg: cfg, addr: a, alive: alive, wire: &wire{conn: &watched{Conn: raw}, lost: lost}}
	if err := c.greet(ctx); err != nil {
		err = c.why(err)
		if refused := refusal(ctx, cfg, a); refused != nil && errors.Is(err, ErrConnectionLost) {
			err = refused
		}
		lost(ErrConnectionLost)
		return nil, errors.Join(cfg.explain(ctx, fmt.Sprintf("log in to %s", a), firstContact{err}), c.discard())
	}
	return c, nil
}

// firstContact marks an error of a connection that never served: there a scheme may be wrong.
type firstContact struct{ error }

func (f firstContact) Unwrap() error { return f.error }

// refusal is why a member refuses our certificate, or nil. In TLS 1.3 it says so only after the
// handshake, and a client that writes meanwhile may see a broken pipe instead.
func refusal(ctx context.Context, cfg Config, a address) error {
	if !a.secure || ctx.Err() != nil {
		return nil
	}
	conn, err := openWire(ctx, cfg, a)
	if err != nil {
		return nil
	}
	defer conn.Close() //nolint:errcheck // nothing was said
	if err := conn.SetReadDeadline(time.Now().Add(refusalWait)); err != nil {
		return nil
	}
	_, err = conn.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// refusalWait is how long a member may take to refuse a certificate.
const refusalWait = time.Second

// greet logs in and asks who answers.
func (c *Conn) greet(ctx context.Context) error {
	if err := c.login(ctx); err != nil {
		return err
	}
	inner, stop := c.bound(ctx)
	defer stop()
	inner, done := context.WithTimeout(inner, c.cfg.timeout())
	defer done()
	var err error
	c.first, err = c.status(inner)
	return err
}

// discard ends a connection that never served.
func (c *Conn) discard() error {
	var err error
	if c.client != nil {
		err = c.Close()
	}
	return errors.Join(err, c.wire.conn.discard())
}

// keepAlive is how often a silent connection is tried, and how long an answer may take. etcd
// refuses less than 5 s (--grpc-keepalive-min-time).
const keepAlive = 10 * time.Second

// login makes etcd's client over the wire. It is given a plain endpoint whatever the wire is:
// the handshake is done.
func (c *Conn) login(ctx context.Context) error {
	client, err := clientv3.New(clientv3.Config{
		Context:              c.alive,
		Endpoints:            []string{"http://" + c.addr.hostPort},
		DialTimeout:          c.cfg.timeout(),
		DialKeepAliveTime:    keepAlive,
		DialKeepAliveTimeout: keepAlive,
		Username:             c.cfg.User,
		Password:             string(c.cfg.Password),
		Logger:               zap.NewNop(),
		MaxUnaryRetries:      1,
		DialOptions:          []grpc.DialOption{grpc.WithContextDialer(c.wire.dial), grpc.WithNoProxy(), grpc.WithDisableServiceConfig()},
	})
	if err != nil {
		return err
	}
	c.client = client
	c.remote = pb.NewMaintenanceClient(client.ActiveConnection())
	return ctx.Err()
}

// why is the reason the connection ended, where it has, else err.
func (c *Conn) why(err error) error {
	if hintAuth(err.Error()) != "" {
		return err // etcd's own answer, after which its client hangs up
	}
	if c.alive.Err() != nil {
		return context.Cause(c.alive)
	}
	if errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded {
		return err // the call's own, after which etcd's client may hang up
	}
	if fault := c.wire.conn.fault(); fault != nil {
		return fmt.Errorf("%w: %w", ErrConnectionLost, fault)
	}
	if c.wire.conn.isClosed() {
		return fmt.Errorf("%w: %w", ErrConnectionLost, err)
	}
	return err
}

// MemberID is the member that answered when the connection was opened.
func (c *Conn) MemberID() uint64 { return c.first.MemberID }

// Endpoint is the URL that was dialled.
func (c *Conn) Endpoint() string { return c.addr.String() }

// Close ends the connection and whatever runs on it.
func (c *Conn) Close() error {
	if err := c.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("close connection to %s: %w", c.addr, err)
	}
	return nil
}

// bound returns a context that ends with ctx or with the connection.
func (c *Conn) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.alive, func() { cancel(context.Cause(c.alive)) })
	return ctx, func() { stop(); cancel(nil) }
}

// short asks for something of the member, within the configuration's timeout.
func (c *Conn) short(ctx context.Context, what string, call func(context.Context) error) error {
	return c.within(ctx, fmt.Sprintf("%s of %s", what, c.addr), call)
}

// within makes one call that must be answered within the configuration's timeout; what says all
// that an error should.
func (c *Conn) within(ctx context.Context, what string, call func(context.Context) error) error {
	return c.open(ctx, what, func(ctx context.Context) error {
		ctx, done := context.WithTimeout(ctx, c.cfg.timeout())
		defer done()
		return call(ctx)
	})
}

// open makes one call that ends with ctx or the connection.
func (c *Conn) open(ctx context.Context, what string, call func(context.Context) error) error {
	inner, stop := c.bound(ctx)
	defer stop()
	if err := call(inner); err != nil {
		return c.cfg.explain(ctx, what, c.why(err))
	}
	return nil
}

// Status asks the member for its state. It hangs until the timeout while the member
// defragments.
func (c *Conn) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.short(ctx, "status", func(ctx context.Context) (err error) {
		s, err = c.status(ctx)
		return err
	})
	return s, err
}

func (c *Conn) status(ctx context.Context) (Status, error) {
	r, err := c.remote.Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return Status{}, err
	}
	return Status{
		ClusterID: r.GetHeader().GetClusterId(), MemberID: r.GetHeader().GetMemberId(),
		Version: r.GetVersion(), Leader: r.GetLeader(), Term: r.GetRaftTerm(),
		Index: r.GetRaftIndex(), Applied: r.GetRaftAppliedIndex(), Revision: r.GetHeader().GetRevision(),
		DBBytes: r.GetDbSize(), InUseBytes: r.GetDbSizeInUse(), Quota: r.GetDbSizeQuota(), Learner: r.GetIsLearner(), Errors: r.GetErrors(),
	}, nil
}

// HashKV is a member's answer about its keys at one revision.
type HashKV struct {
	MemberID        uint64
	Hash            uint32
	CompactRevision int64
}

// HashKV asks the member for its HashKV at revision. It reads all keys under the member's
// lock: the caller's ctx bounds it.
func (c *Conn) HashKV(ctx context.Context, revision int64) (HashKV, error) {
	inner, stop := c.bound(ctx)
	defer stop()
	r, err := c.remote.HashKV(inner, &pb.HashKVRequest{Revision: revision})
	what := fmt.Sprintf("HashKV of %s at revision %d", c.addr, revision)
	if err != nil && errors.Is(rpctypes.Error(err), rpctypes.ErrFutureRev) {
		return HashKV{}, fmt.Errorf("%s: %w", what, ErrFuture)
	}
	if err != nil {
		return HashKV{}, c.cfg.explain(ctx, what, c.why(err))
	}
	if id := r.GetHeader().GetMemberId(); id != c.MemberID() {
		return HashKV{}, fmt.Errorf("HashKV of %s: member %s answered for %s: %w", c.addr, HexID(id), HexID(c.MemberID()), ErrUnavailable)
	}
	return HashKV{MemberID: c.MemberID(), Hash: r.GetHash(), CompactRevision: r.GetCompactRevision()}, nil
}
