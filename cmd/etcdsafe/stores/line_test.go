package stores

import (
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// A line to a store resets each connection after so many bytes on the way up or down, as long as it
// is told to: toxiproxy may stand still where a toxic is taken away beneath a connection.
type line struct {
	endpoint string
	up, down atomic.Int64 // 0: never
}

func newLine(t *testing.T, endpoint string) *line {
	t.Helper()
	store := strings.TrimPrefix(endpoint, "http://")
	host, _, err := net.SplitHostPort(store)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	l := &line{endpoint: "http://" + ln.Addr().String()}
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			go l.serve(client.(*net.TCPConn), store)
		}
	}()
	return l
}

func (l *line) heal() {
	l.up.Store(0)
	l.down.Store(0)
}

// serve ends with either side.
func (l *line) serve(client *net.TCPConn, store string) {
	defer client.Close()
	upstream, err := net.Dial("tcp", store)
	if err != nil {
		return
	}
	defer upstream.Close()
	ends := make(chan bool, 2)
	go func() { ends <- carry(upstream, client, l.up.Load()) }()
	go func() { ends <- carry(client, upstream, l.down.Load()) }()
	if <-ends {
		_ = client.SetLinger(0) // makes Close a reset
		_ = upstream.(*net.TCPConn).SetLinger(0)
	}
}

// carry copies until the end, or for n bytes, and says whether these are through.
func carry(to io.Writer, from io.Reader, n int64) bool {
	if n == 0 {
		_, _ = io.Copy(to, from)
		return false
	}
	_, err := io.CopyN(to, from, n)
	return err == nil
}
