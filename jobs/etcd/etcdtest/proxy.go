package etcdtest

import (
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Cut is how a proxy ends a connection towards the client.
type Cut int

// RST is a reset, as from a crash or a firewall; FIN is an orderly end.
const (
	RST Cut = iota
	FIN
)

// A Proxy stands before one TCP address, and passes all on until it is told to fail. Faults
// count the bytes from the server to the client, for each connection from the moment the
// fault was set (so from its start for one that comes later). A new fault replaces the one
// before; the rate is set apart. All methods may be called at any time, from any goroutine.
type Proxy struct {
	Addr string // host:port to connect to; it stays the same for the proxy's life

	target string
	port   *port
	tasks  sync.WaitGroup
	closed chan struct{}

	mu       sync.Mutex
	listener net.Listener // nil while it refuses
	fault    fault
	rate     int64         // bytes a second, 0 for no limit
	changed  chan struct{} // closed when fault or rate change
	links    map[*link]struct{}
	bytes    int64
	accepted int
	cuts     int
}

type action int

const (
	pass action = iota
	stall
	cut
)

// A fault is what happens to a connection once it has carried after bytes.
type fault struct {
	number int // of the call that set it, so that two alike are not taken for one
	action action
	cut    Cut
	once   bool
	after  int64
}

// NewProxy stands before target, a URL or host:port, until the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	if _, rest, ok := strings.Cut(target, "://"); ok {
		target = rest
	}
	port, err := reserve()
	if err != nil {
		t.Fatalf("proxy: reserve a port: %v", err)
	}
	p := &Proxy{
		Addr: port.addr, target: target, port: port, closed: make(chan struct{}),
		changed: make(chan struct{}), links: map[*link]struct{}{},
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Errorf("close proxy: %v", err)
		}
	})
	p.accept(t)
	return p
}

// CutAfter ends every connection once it has carried n bytes more, of which the client gets
// each: with 0 the open ones end now, and later ones before their first byte. A reset may
// then reach a client that still connects, and be its dial's error.
func (p *Proxy) CutAfter(n int64, how Cut) {
	p.set(fault{action: cut, cut: how, after: n})
}

// CutOnce ends the first connection that has carried n bytes more, and then passes all on.
func (p *Proxy) CutOnce(n int64, how Cut) {
	p.set(fault{action: cut, cut: how, after: n, once: true})
}

// StallAfter makes every connection stand still in both directions once it has carried n
// bytes more, as when a cable is pulled: not even its end gets through. Heal lets it go on.
func (p *Proxy) StallAfter(n int64) {
	p.set(fault{action: stall, after: n})
}

// Rate limits what each connection carries from the server, in bytes a second; 0 lifts it.
func (p *Proxy) Rate(bytesPerSecond int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = bytesPerSecond
	p.wake()
}

// Refuse makes new connections fail with "connection refused"; open ones live on.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close() // it ends the accept loop, and cannot fail in another way
		p.listener = nil
	}
}

// Heal ends faults, rate and refusal; what was cut stays cut.
func (p *Proxy) Heal(t testing.TB) {
	t.Helper()
	p.set(fault{})
	p.Rate(0)
	p.accept(t)
}

// Bytes is how many went from the server to clients.
func (p *Proxy) Bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// Connections is how many were accepted.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Cuts is how many connections a fault has ended.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

func (p *Proxy) set(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.number = p.fault.number + 1
	p.fault = f
	for l := range p.links {
		l.carried = 0
	}
	p.wake()
}

// wake makes each connection look at the rules again, whatever it waits for. Call with mu.
func (p *Proxy) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
	for l := range p.links {
		l.interrupt()
	}
}

// accept listens, unless it does already.
func (p *Proxy) accept(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return
	}
	// t's context would be over in a cleanup, and a listener needs none.
	ln, err := p.port.listen(t.Context())
	if err != nil {
		t.Fatalf("proxy: listen: %v", err)
	}
	p.listener = ln
	p.tasks.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return // closed by Refuse or close
			}
			p.tasks.Go(func() { p.connect(client.(*net.TCPConn)) })
		}
	})
}

// connect carries one connection from its start to its end.
func (p *Proxy) connect(client *net.TCPConn) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	server, err := dialer.Dial("tcp", p.target)
	if err != nil {
		reset(client) // as near as can be to the server's own refusal
		return
	}
	l := &link{p: p, client: client, server: server.(*net.TCPConn)}
	if !p.admit(l) {
		l.reset()
		return
	}
	var up sync.WaitGroup
	up.Go(func() { l.carry(client, l.server, false) })
	l.carry(l.server, client, true)
	up.Wait()
	_, _ = client.Close(), server.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// admit counts a connection in, unless the proxy is closing.
func (p *Proxy) admit(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done() {
		return false
	}
	p.accepted++
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) done() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}

// close ends all connections and waits for what served them.
func (p *Proxy) close() error {
	p.Refuse()
	p.mu.Lock()
	close(p.closed)
	for l := range p.links {
		l.reset()
	}
	p.mu.Unlock()
	p.tasks.Wait()
	if err := p.port.release(); err != nil {
		return fmt.Errorf("release port: %w", err)
	}
	return nil
}

// rules is what holds for a connection at one moment.
type rules struct {
	fault   fault
	room    int64 // bytes that may still pass in this direction
	grant   int64 // of those held, how many may pass now
	rate    int64
	changed <-chan struct{}
}

// rules tells what a connection may do next with the bytes that it holds. Up, from the
// client, only a stall that the other direction has reached matters. What is granted down
// counts at once: were it counted after the write, a client that has seen it could set a
// fault which then counts it again.
func (p *Proxy) rules(l *link, down bool, held int) rules {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := rules{fault: p.fault, room: math.MaxInt64, changed: p.changed}
	left := max(0, p.fault.after-l.carried)
	if p.fault.action != pass && (down || p.fault.action == stall && left == 0) {
		r.room = left
	}
	r.grant = min(r.room, int64(held))
	if down {
		r.rate = p.rate
		p.bytes += r.grant
		l.carried += r.grant
	}
	return r
}

// wrote takes back what was granted down and not written.
func (p *Proxy) wrote(l *link, r rules, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes -= r.grant - int64(n)
	if p.fault == r.fault { // else carried began again with the new one
		l.carried -= r.grant - int64(n)
	}
}

// claim says whether this connection is the one to cut; where the fault is to happen once,
// it is over with that.
func (p *Proxy) claim(f fault) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != f {
		return false
	}
	p.cuts++
	if f.once {
		p.fault = fault{number: f.number + 1}
		p.wake()
	}
	return true
}
