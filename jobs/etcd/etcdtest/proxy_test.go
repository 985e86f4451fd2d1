package etcdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

func listenPlainly(t *testing.T, addr string) (net.Listener, error) {
	t.Helper()
	var c net.ListenConfig
	return c.Listen(t.Context(), "tcp", addr)
}

// serve answers each connection by what the test gives it to do, and waits for all at the end.
func serve(t *testing.T, answer func(c *net.TCPConn)) (addr string) {
	t.Helper()
	ln, err := listenPlainly(t, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() {
				defer c.Close()
				answer(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); tasks.Wait() })
	return ln.Addr().String()
}

// source sends the same bytes to everyone who asks by a byte, and then ends.
func source(t *testing.T, size int) (addr string, sent []byte) {
	t.Helper()
	sent = bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
	addr = serve(t, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, 1))
		_, _ = c.Write(sent)
	})
	return addr, sent
}

// fetch asks a source, and reads to the end. A reset may come while it still connects.
func fetch(t *testing.T, addr string) ([]byte, error) {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte{1}); err != nil {
		return nil, err
	}
	return io.ReadAll(c)
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func TestProxyPassesAllOnBothWays(t *testing.T) {
	echo := serve(t, func(c *net.TCPConn) {
		_, _ = io.Copy(c, c)
		_, _ = io.WriteString(c, "the end came through")
	})
	p := NewProxy(t, "http://"+echo)
	c := dial(t, p.Addr)
	sent := bytes.Repeat([]byte("abc"), 1<<20)
	go func() { // ends with the write, which the deadline bounds
		_, _ = c.Write(sent)
		_ = c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != string(sent)+"the end came through" {
		t.Errorf("%d bytes came back, %v; sent %d", len(got), err, len(sent))
	}
	if p.Bytes() != int64(len(got)) || p.Connections() != 1 || p.Cuts() != 0 {
		t.Errorf("counted %d bytes, %d connections, %d cuts; want %d, 1, 0", p.Bytes(), p.Connections(), p.Cuts(), len(got))
	}
}

func TestProxyCutsAtTheByte(t *testing.T) {
	addr, sent := source(t, 300_000)
	for _, n := range []int{0, 1, 1000, 32 << 10, 200_001} {
		for _, how := range []struct {
			cut  Cut
			want error
		}{{RST, syscall.ECONNRESET}, {FIN, nil}} {
			t.Run(fmt.Sprintf("%d/%d", n, how.cut), func(t *testing.T) {
				p := NewProxy(t, addr)
				p.CutAfter(int64(n), how.cut)
				for range 2 { // each connection
					got, err := fetch(t, p.Addr)
					if !bytes.Equal(got, sent[:n]) || !errors.Is(err, how.want) {
						t.Errorf("got %d bytes and %v, want %d and %v", len(got), err, n, how.want)
					}
				}
				if p.Cuts() != 2 || p.Bytes() != int64(2*n) {
					t.Errorf("counted %d cuts and %d bytes, want 2 and %d", p.Cuts(), p.Bytes(), 2*n)
				}
			})
		}
	}
}

func TestProxyCutsWithTheClientStillWriting(t *testing.T) {
	addr, sent := source(t, 5000)
	p := NewProxy(t, addr)
	p.CutAfter(1000, FIN)
	c := dial(t, p.Addr)
	if _, err := c.Write(make([]byte, 100_000)); err != nil {
		t.Fatalf("write: %v", err)
	}
	if got, err := io.ReadAll(c); !bytes.Equal(got, sent[:1000]) || err != nil {
		t.Errorf("got %d bytes and %v, want 1000 and an orderly end", len(got), err)
	}
	for range 50 { // more than all buffers on the way hold
		if _, err := c.Write(make([]byte, 1<<20)); err != nil {
			t.Fatalf("write after the orderly end: %v", err)
		}
	}
}

func TestProxyCutsAClientThatDoesNotRead(t *testing.T) {
	addr, _ := source(t, 64<<20)
	p := NewProxy(t, addr)
	c := dial(t, p.Addr)
	if _, err := c.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	before, same := int64(0), 0
	waitFor(t, "full buffers", func() bool {
		now := p.Bytes()
		if same++; now != before || now == 0 {
			before, same = now, 0
		}
		return same == 10 // a fifth of a second without a byte
	})
	p.CutAfter(1000, FIN) // a write is under way; what it did not write is not carried yet
	waitFor(t, "new count", func() bool { return p.Bytes() != before })
	want := p.Bytes()
	if want >= before+1000 || want < before-32<<10 {
		t.Errorf("counted %d before the fault, and then %d", before, want)
	}
	if got, err := io.ReadAll(c); int64(len(got)) != want || p.Bytes() != want || err != nil {
		t.Errorf("got %d bytes and %v, counted %d; want %d", len(got), err, p.Bytes(), want)
	}
}

func TestProxyCutsOpenConnectionsFromNowOn(t *testing.T) {
	more := make(chan int)
	addr := serve(t, func(c *net.TCPConn) {
		for n := range more {
			_, _ = c.Write(make([]byte, n))
		}
		_, _ = io.Copy(io.Discard, c)
	})
	p := NewProxy(t, addr)
	c := dial(t, p.Addr)
	more <- 500
	if _, err := io.ReadFull(c, make([]byte, 500)); err != nil {
		t.Fatalf("read before: %v", err)
	}
	p.CutAfter(300, RST) // counted from here
	more <- 500
	if got, err := io.ReadAll(c); len(got) != 300 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %d bytes more and %v, want 300 and a reset", len(got), err)
	}
	p.Heal(t)
	c = dial(t, p.Addr)
	close(more)
	waitFor(t, "connection", func() bool { return p.Connections() == 2 })
	p.CutAfter(0, RST) // an idle one, at once
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read of an idle connection: %v, want a reset", err)
	}
}

func TestProxyCutsOnce(t *testing.T) {
	addr, sent := source(t, 100_000)
	p := NewProxy(t, addr)
	p.CutOnce(777, RST)
	if got, err := fetch(t, p.Addr); len(got) != 777 || err == nil {
		t.Errorf("first: %d bytes and %v", len(got), err)
	}
	if got, err := fetch(t, p.Addr); !bytes.Equal(got, sent) || err != nil {
		t.Errorf("second: %d bytes and %v", len(got), err)
	}
	if p.Cuts() != 1 {
		t.Errorf("%d cuts", p.Cuts())
	}
}

func TestProxyStallsUntilHealed(t *testing.T) {
	for _, said := range []string{"lost in the cable", ""} { // the end alone does not get through either
		heard := make(chan string, 1)
		sent := bytes.Repeat([]byte("x"), 50_000)
		addr := serve(t, func(c *net.TCPConn) {
			_, _ = c.Write(sent)
			all, _ := io.ReadAll(c)
			heard <- string(all)
		})
		p := NewProxy(t, addr)
		p.StallAfter(1234)
		c := dial(t, p.Addr)
		if _, err := io.ReadFull(c, make([]byte, 1234)); err != nil {
			t.Fatalf("read before the stall: %v", err)
		}
		if _, err := io.WriteString(c, said); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		checkSilence(t, c)
		if len(heard) > 0 {
			t.Error("the server heard the client's end in the stall")
		}
		p.Heal(t)
		if rest, err := io.ReadAll(c); len(rest) != len(sent)-1234 || err != nil {
			t.Errorf("after Heal: %d bytes and %v", len(rest), err)
		}
		waitFor(t, "end at the server", func() bool { return len(heard) > 0 })
		if got := <-heard; got != said {
			t.Errorf("the server heard %q, want %q", got, said)
		}
	}
}

// checkSilence reads for a moment, and wants nothing.
func checkSilence(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !isTimeout(err) {
		t.Errorf("read in the stall: %d bytes and %v", n, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestProxyLimitsTheRate(t *testing.T) {
	addr, sent := source(t, 100_000)
	p := NewProxy(t, addr)
	p.Rate(200_000)
	began := time.Now()
	got, err := fetch(t, p.Addr)
	if took := time.Since(began); took < 400*time.Millisecond || took > 4*time.Second {
		t.Errorf("100 kB at 200 kB/s took %v", took)
	}
	if !bytes.Equal(got, sent) || err != nil {
		t.Errorf("got %d bytes and %v", len(got), err)
	}
	p.Rate(100) // a quarter of an hour
	c := dial(t, p.Addr)
	if _, err := c.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	p.Rate(0)
	if rest, err := io.ReadAll(c); len(rest) != len(sent)-1 || err != nil {
		t.Errorf("after the limit was lifted: %d bytes and %v", len(rest), err)
	}
}

func TestProxyRefusesAndComesBackOnTheSamePort(t *testing.T) {
	addr, sent := source(t, 10)
	p := NewProxy(t, addr)
	for range 2 {
		p.Refuse()
		p.Refuse() // twice is as once
		var d net.Dialer
		if _, err := d.DialContext(t.Context(), "tcp", p.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial while it refuses: %v", err)
		}
		p.Heal(t)
		p.Heal(t)
		if got, err := fetch(t, p.Addr); !bytes.Equal(got, sent) || err != nil {
			t.Errorf("after Heal: %q and %v", got, err)
		}
	}
}

func TestProxyHandsOnTheServersReset(t *testing.T) {
	addr := serve(t, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, 1))
		reset(c)
	})
	c := dial(t, NewProxy(t, addr).Addr)
	if _, err := c.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want a reset", err)
	}
}

func TestProxyBeforeNothingResets(t *testing.T) {
	p, err := reserve()
	if err != nil {
		t.Fatal(err)
	}
	defer p.release()
	if _, err := fetch(t, NewProxy(t, p.addr).Addr); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want a reset", err)
	}
}

func TestSnapshotIsCutMidStream(t *testing.T) {
	c := Start(t, Options{Proxied: true, TLS: true})
	for i := range 8 {
		if _, err := c.Client(t).Put(t.Context(), fmt.Sprint(i), strings.Repeat("v", 1<<20)); err != nil {
			t.Fatalf("put: %v", err)
		}
	}
	tls, err := c.tlsConfig()
	if err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints(), TLS: tls, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	whole := readSnapshot(t, client, callWait)
	if whole.err != nil || whole.bytes < 8<<20 {
		t.Fatalf("snapshot through the proxy: %+v", whole)
	}
	proxy := c.Members[0].Proxy
	proxy.CutOnce(4<<20, RST)
	if broken := readSnapshot(t, client, callWait); broken.err == nil || broken.bytes > 4<<20 || broken.bytes < 3<<20 {
		t.Errorf("snapshot cut at 4 MiB: %+v", broken)
	}
	if again := readSnapshot(t, client, callWait); again.err != nil || again.bytes < 8<<20 {
		t.Errorf("snapshot after the cut: %+v", again)
	}
	proxy.Refuse()
	proxy.CutAfter(0, RST)
	if refused := readSnapshot(t, client, 500*time.Millisecond); refused.err == nil {
		t.Errorf("snapshot through a proxy that refuses: %+v", refused)
	}
	checkReachesAll(t, c) // the test's own look goes past the proxy
}

type stream struct {
	bytes int64
	err   error
}

func readSnapshot(t *testing.T, client *clientv3.Client, wait time.Duration) stream {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), wait)
	defer stop()
	r, err := client.Snapshot(ctx)
	if err != nil {
		return stream{err: err}
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	return stream{n, err}
}
