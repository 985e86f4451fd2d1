package etcdtest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// A link is one connection through a proxy: two sockets, and a goroutine for each direction.
type link struct {
	p              *Proxy
	client, server *net.TCPConn
	carried        int64 // from the server since the fault was set; guarded by p.mu
}

// carry passes bytes from src to dst by the rules of the moment, until either ends.
func (l *link) carry(src, dst *net.TCPConn, down bool) {
	buf := make([]byte, 32<<10)
	var held []byte // read, and not yet allowed or able to pass
	var end error   // as held, of the stream's end
	for !l.p.done() {
		// First the deadlines, then the rules: who changes rules does it the other way round,
		// so that none is missed.
		_ = src.SetReadDeadline(time.Time{})
		_ = dst.SetWriteDeadline(time.Time{})
		r := l.p.rules(l, down, len(held))
		if r.room == 0 {
			if r.fault.action == cut && l.p.claim(r.fault) {
				l.cut(r.fault.cut)
				return
			}
			l.wait(r.changed, nil)
			continue
		}
		if end != nil {
			l.ended(dst, end)
			return
		}
		if len(held) == 0 {
			n, err := src.Read(buf[:min(int64(len(buf)), r.room, chunk(r.rate))])
			held = buf[:n]
			if n == 0 && !errors.Is(err, os.ErrDeadlineExceeded) {
				end = err
			}
			continue // the rules may have changed while we read
		}
		n, err := dst.Write(held[:r.grant])
		held = held[n:]
		if down {
			l.p.wrote(l, r, n)
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			l.unheard(src, down)
			return
		}
		l.pace(n, r)
	}
}

// chunk is what may pass at once under a rate: a fiftieth of a second's worth.
func chunk(rate int64) int64 {
	if rate == 0 {
		return 32 << 10
	}
	return max(1, rate/50)
}

// pace waits for as long as n bytes take.
func (l *link) pace(n int, r rules) {
	if r.rate == 0 {
		return
	}
	timer := time.NewTimer(time.Duration(n) * time.Second / time.Duration(r.rate))
	defer timer.Stop()
	l.wait(r.changed, timer.C)
}

func (l *link) wait(changed <-chan struct{}, timer <-chan time.Time) {
	select {
	case <-changed:
	case <-timer:
	case <-l.p.closed:
	}
}

// ended hands an end on as it came: orderly, or as a reset.
func (l *link) ended(dst *net.TCPConn, err error) {
	if errors.Is(err, io.EOF) {
		_ = dst.CloseWrite()
		return
	}
	l.reset()
}

// unheard follows a write that failed. A server that writes to nobody is cut off; a client
// whose server is gone, as after a FIN on purpose, may end in an orderly way: closing its
// socket with bytes unread would send it a reset after all.
func (l *link) unheard(src *net.TCPConn, down bool) {
	if down {
		l.reset()
		return
	}
	_ = src.SetReadDeadline(time.Time{})
	_, _ = io.Copy(io.Discard, src)
}

// cut ends the connection on purpose.
func (l *link) cut(how Cut) {
	if how == FIN {
		_ = l.client.CloseWrite()
		_ = l.server.Close()
		return
	}
	l.drain()
	l.reset()
}

// drain waits until the client's side has all that was written: a reset throws away what is
// still in our send buffer, and a test counts on its n bytes.
func (l *link) drain() {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Second)
	defer stop()
	_ = child.Poll(ctx, time.Millisecond, func() error {
		if unsent(l.client) > 0 && !l.p.done() {
			return os.ErrDeadlineExceeded
		}
		return nil
	})
}

// unsent is how many bytes the other side has not confirmed; none of a closed connection.
func unsent(c *net.TCPConn) (bytes int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { bytes, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return bytes
}

// interrupt wakes both directions out of a read or write.
func (l *link) interrupt() {
	now := time.Now()
	_, _ = l.client.SetDeadline(now), l.server.SetDeadline(now)
}

func (l *link) reset() {
	reset(l.client)
	reset(l.server)
}

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
