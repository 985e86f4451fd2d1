package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// ErrConnectionLost marks a call whose connection ended; no other is made in its place.
var ErrConnectionLost = errors.New("connection lost")

// wire is one TCP or TLS connection, handed to gRPC once. The second time gRPC asks, the wire
// is lost, and so are the calls on it.
type wire struct {
	conn *watched
	lost context.CancelCauseFunc

	mu    sync.Mutex
	taken bool
}

// openWire dials a and, where it is secure, shakes hands. All errors of the network and of the
// certificates come from here, with their types.
func openWire(ctx context.Context, c Config, a address) (net.Conn, error) {
	ctx, stop := context.WithTimeout(ctx, c.timeout())
	defer stop()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", a.hostPort)
	if err != nil {
		return nil, err
	}
	if !a.secure {
		return raw, nil
	}
	host, _, err := net.SplitHostPort(a.hostPort)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	settings, err := c.tls(host)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	conn := tls.Client(raw, settings)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

// dial is what gRPC calls.
func (w *wire) dial(context.Context, string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.taken {
		w.taken = true
		return w.conn, nil
	}
	err := ErrConnectionLost
	if fault := w.conn.fault(); fault != nil {
		err = fmt.Errorf("%w: %w", ErrConnectionLost, fault)
	}
	w.lost(err)
	return nil, err
}

// watched remembers the first error of a connection. A server that refuses our certificate
// says so only after a TLS 1.3 handshake, in the first read.
type watched struct {
	net.Conn
	mu     sync.Mutex
	err    error
	closed bool
}

// Close is called by gRPC too, before calls on the connection hear of it: also where a member that
// stands still answered no keepalive ping, which no read or write tells of.
func (w *watched) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	return w.Conn.Close()
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.note(err)
	return n, err
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.note(err)
	return n, err
}

func (w *watched) note(err error) {
	if err == nil || errors.Is(err, net.ErrClosed) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil || errors.Is(w.err, io.EOF) {
		w.err = err
	}
}

func (w *watched) fault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *watched) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// discard closes the connection, which gRPC may have closed before.
func (w *watched) discard() error {
	if err := w.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close connection: %w", err)
	}
	return nil
}
