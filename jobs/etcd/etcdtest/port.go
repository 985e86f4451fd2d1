package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A port is a loopback port that stays ours until it is released, whether or not somebody
// listens on it. A bound socket that never listens holds it, and who listens says
// SO_REUSEPORT (etcd: --socket-reuse-port). Closing a listener and hoping that the number
// stays free is what others do, and where their tests flake: a restarted member finds its
// port taken by some client's connection.
type port struct {
	addr string
	fd   int
}

// reserve takes a free port of 127.0.0.1.
func reserve() (*port, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	p := &port{fd: fd}
	if p.addr, err = bind(fd); err != nil {
		return nil, errors.Join(err, p.release())
	}
	return p, nil
}

// ReservePort takes a port of 127.0.0.1 until the end of the test, for a server that says
// SO_REUSEPORT when it listens: kube-apiserver's --permit-port-sharing.
func ReservePort(t testing.TB) (addr string) {
	t.Helper()
	p, err := reserve()
	if err != nil {
		t.Fatalf("reserve a port: %v", err)
	}
	t.Cleanup(func() {
		if err := p.release(); err != nil {
			t.Errorf("release port %s: %v", p.addr, err)
		}
	})
	return p.addr
}

func bind(fd int) (string, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return "", fmt.Errorf("set SO_REUSEPORT: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", fmt.Errorf("bind: %w", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return "", fmt.Errorf("read the socket's name: %w", err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port), nil
}

// listen listens on the reserved port, as often as its listener was closed.
func (p *port) listen(ctx context.Context) (net.Listener, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var set error
		err := raw.Control(func(fd uintptr) {
			set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		return errors.Join(err, set)
	}}
	return c.Listen(ctx, "tcp", p.addr)
}

func (p *port) release() error {
	return unix.Close(p.fd)
}
