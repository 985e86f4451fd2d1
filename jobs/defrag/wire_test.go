package defrag

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

// TestALoginThatExpiresInALongCall: tokens live for a second, the call for four.
func TestALoginThatExpiresInALongCall(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, Auth: true, Failpoints: true, Args: []string{"--auth-token-ttl=1"}})
	r.fragment(2)
	r.slow(4*time.Second, r.followers()[0])
	r.Wait = 2 * time.Second
	report := r.must()
	if got := verdicts(report); got != "m0 defragmented, m1 defragmented, m2 defragmented" || len(r.oneAtATime()) != 3 {
		t.Errorf("verdicts: %s", got)
	}
}

// TestAProxyThatClosesIdleConnections costs no more than an answer: the call is silent for longer than it
// allows, and the member's metrics tell the end.
func TestAProxyThatClosesIdleConnections(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, Failpoints: true})
	r.fragment(2)
	r.slow(4*time.Second, r.followers()[0])
	r.Etcd.Endpoints = nil
	for _, m := range r.c.Members {
		r.Etcd.Endpoints = append(r.Etcd.Endpoints, closesIdle(t, strings.TrimPrefix(m.ListenURL, "http://"), 1500*time.Millisecond))
	}
	r.Lock = lock.Etcd(r.Etcd, lock.Options{Lease: 10 * time.Second})
	report := r.must()
	if got := verdicts(report); got != "m0 defragmented, m1 defragmented, m2 defragmented" || len(r.oneAtATime()) != 3 {
		t.Errorf("verdicts: %s", got)
	}
	if !strings.Contains(r.log.String(), "defragmentation was not answered") {
		t.Errorf("nothing was closed:\n%s", r.log)
	}
}

// closesIdle is the address of a proxy that ends each connection that carried nothing for so long.
func closesIdle(t *testing.T, target string, allowed time.Duration) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { carry(client, target, allowed) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		all.Wait()
	})
	return listener.Addr().String()
}

func carry(client net.Conn, target string, allowed time.Duration) {
	defer client.Close()
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	for from, to := range map[net.Conn]net.Conn{client: server, server: client} {
		both.Go(func() {
			buffer := make([]byte, 32<<10)
			for {
				n, err := from.Read(buffer)
				for _, c := range []net.Conn{from, to} {
					_ = c.SetReadDeadline(time.Now().Add(allowed))
				}
				if _, wrong := to.Write(buffer[:n]); err != nil || wrong != nil {
					_, _ = from.Close(), to.Close()
					return
				}
			}
		})
	}
	both.Wait()
}
