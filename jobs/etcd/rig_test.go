package etcd

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// configOf reaches c as an operator would: all endpoints, its certificates, root's login.
func configOf(c *etcdtest.Cluster) Config {
	return Config{
		Endpoints: c.Endpoints(), CACert: c.CA, Cert: c.ClientCert, Key: c.ClientKey,
		User: c.User, Password: Password(c.Password),
	}
}

// discover fails the test where there is no answer.
func discover(t *testing.T, cfg Config) *Cluster {
	t.Helper()
	c, err := Discover(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Discover(%q): %v", cfg.Endpoints, err)
	}
	return c
}

// open connects to the only member behind cfg's first endpoint.
func open(t *testing.T, cfg Config) *Conn {
	t.Helper()
	at, err := parseEndpoint(cfg.Endpoints[0], cfg.hasTLS())
	if err != nil {
		t.Fatalf("parseEndpoint: %v", err)
	}
	conn, err := connect(t.Context(), cfg, at)
	if err != nil {
		t.Fatalf("connect to %s: %v", at, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// member is the one of that id.
func member(t *testing.T, c *Cluster, id uint64) Member {
	t.Helper()
	i := c.index(id)
	if i < 0 {
		t.Fatalf("member %s is not among %d members", HexID(id), len(c.Members))
	}
	return c.Members[i]
}

// names tells candidates by name, in order.
func names(list []Candidate) []string {
	var out []string
	for _, c := range list {
		out = append(out, c.Member.Name)
	}
	return out
}

// within fails the test where f takes longer.
func within(t *testing.T, most time.Duration, what string, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > most {
		t.Errorf("%s took %s, want at most %s", what, took.Round(time.Millisecond), most)
	}
}

// waitUntil asks often, for half a minute at most.
func waitUntil(t *testing.T, what string, ready func() bool) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within 30 s", what)
		case <-tick.C:
		}
	}
}

// silent accepts connections and never says a word.
func silent(t *testing.T) (hostPort string) {
	t.Helper()
	return listen(t, "tcp4", "127.0.0.1:0", func(c net.Conn, _ int) { _, _ = io.Copy(io.Discard, c) })
}

// balancer hands each new connection to the next of the targets, as a load balancer does.
func balancer(t *testing.T, network, addr string, urls ...string) (hostPort string) {
	t.Helper()
	var targets []string
	for _, u := range urls {
		targets = append(targets, u[strings.LastIndex(u, "/")+1:])
	}
	return listen(t, network, addr, func(c net.Conn, n int) {
		server, err := net.DialTimeout("tcp", targets[n%len(targets)], 5*time.Second)
		if err != nil {
			return
		}
		defer server.Close()
		var up sync.WaitGroup
		up.Go(func() {
			_, _ = io.Copy(server, c)
			_ = server.(*net.TCPConn).CloseWrite()
		})
		_, _ = io.Copy(c, server)
		_ = c.Close()
		up.Wait()
	})
}

// listen serves the connections of one address, numbered from 0, until the test ends.
func listen(t *testing.T, network, addr string, serve func(c net.Conn, n int)) (hostPort string) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), network, addr)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			tasks.Go(func() { serve(c, n); _ = c.Close() })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		tasks.Wait()
	})
	return ln.Addr().String()
}

// deadPort is an address where nothing listens.
func deadPort(t *testing.T) string {
	t.Helper()
	p := etcdtest.NewProxy(t, "127.0.0.1:1")
	p.Refuse()
	return p.Addr
}

// filler yields n pairs of size bytes each.
func filler(n, size int) func(yield func(string, []byte) bool) {
	value := slices.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
	return func(yield func(string, []byte) bool) {
		for i := range n {
			if !yield(fmt.Sprintf("/registry/filler/%05d", i), value) {
				return
			}
		}
	}
}

// sink counts what comes, and calls at once when the first byte does.
type sink struct {
	n     atomic.Int64
	first func()
	once  sync.Once
}

func (s *sink) Write(p []byte) (int, error) {
	if s.first != nil {
		s.once.Do(s.first)
	}
	s.n.Add(int64(len(p)))
	return len(p), nil
}

// versions are the etcds that a test is for; one of them in a short run.
func versions() []string {
	if testing.Short() {
		return etcdtest.Versions[1:2]
	}
	return etcdtest.Versions[:]
}
