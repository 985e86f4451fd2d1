package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

// ErrSlow marks a stream that fell below its floor and was given up: while it is open the
// member holds a read transaction, and its file grows for good.
var ErrSlow = errors.New("stream is slower than the floor")

// Floor is the least that a stream must bring over each Window. The zero value asks nothing.
type Floor struct {
	BytesPerSecond int64
	Window         time.Duration
}

// Stream says how a snapshot is to be taken off a member.
type Stream struct {
	To       io.Writer
	Floor    Floor
	Progress func(done, remaining int64) // may be nil; called for each message
}

// Snapshot copies the member's snapshot to s.To and returns at the stream's end. The bytes are
// not checked: an error means that they are not whole, nil does not mean that they are. The
// error wraps ErrSlow, ErrUnavailable, or what s.To returned.
func (c *Conn) Snapshot(ctx context.Context, s Stream) error {
	inner, stop := c.bound(ctx)
	defer stop()
	inner, giveUp := context.WithCancelCause(inner)
	defer giveUp(nil)
	stream, err := c.client.ActiveConnection().NewStream(inner, &grpc.StreamDesc{ServerStreams: true},
		"/etcdserverpb.Maintenance/Snapshot", grpc.ForceCodecV2(chunkCodec{}), grpc.MaxCallRecvMsgSize(64<<20))
	if err == nil {
		err = openStream(stream)
	}
	if err != nil {
		return c.cfg.explain(ctx, fmt.Sprintf("open snapshot of %s", c.addr), c.why(err))
	}
	var got atomic.Int64
	watching := s.Floor.watch(inner, &got, giveUp)
	defer func() { giveUp(nil); <-watching }()
	if err := s.copy(stream, &got); err != nil {
		return c.streamError(ctx, inner, got.Load(), err)
	}
	return nil
}

// openStream sends the empty SnapshotRequest.
func openStream(stream grpc.ClientStream) error {
	if err := stream.SendMsg(nil); err != nil {
		return err
	}
	return stream.CloseSend()
}

func (c *Conn) streamError(ctx, inner context.Context, done int64, err error) error {
	what := fmt.Sprintf("snapshot of %s at byte %d", c.addr, done)
	var sink sinkError
	cause := context.Cause(inner)
	switch {
	case errors.As(err, &sink):
		return fmt.Errorf("%s: %w", what, sink.error)
	case errors.Is(cause, ErrSlow):
		return fmt.Errorf("%s: %w: %w", what, cause, ErrUnavailable)
	}
	return c.cfg.explain(ctx, what, c.why(err))
}

// sinkError tells the writer's errors from the stream's.
type sinkError struct{ error }

func (s Stream) copy(stream grpc.ClientStream, got *atomic.Int64) error {
	var m chunk
	for {
		err := stream.RecvMsg(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		n, err := m.writeTo(s.To)
		done := got.Add(n)
		m.free()
		if err != nil {
			return sinkError{err}
		}
		if s.Progress != nil {
			s.Progress(done, m.remaining)
		}
	}
}

// watch calls giveUp when less than the floor came within a window. The channel is closed when
// it has ended; it ends with ctx.
func (f Floor) watch(ctx context.Context, got *atomic.Int64, giveUp context.CancelCauseFunc) <-chan struct{} {
	ended := make(chan struct{})
	if f.BytesPerSecond <= 0 || f.Window <= 0 {
		close(ended)
		return ended
	}
	go func() {
		defer close(ended)
		tick := time.NewTicker(f.Window)
		defer tick.Stop()
		last := int64(0)
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now := got.Load()
			if float64(now-last) < float64(f.BytesPerSecond)*f.Window.Seconds() {
				giveUp(fmt.Errorf("%d bytes in %s, floor %d bytes a second: %w", now-last, f.Window, f.BytesPerSecond, ErrSlow))
				return
			}
			last = now
		}
	}()
	return ended
}
