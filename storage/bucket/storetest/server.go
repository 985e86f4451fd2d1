package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// startWait is how long a server may take to answer on a busy machine.
const startWait = 60 * time.Second

// A server is one process at one address.
type server struct {
	name string
	addr string // host:port
	log  string // the file that holds all it wrote
	proc *child.Process
}

// freeAddr is a port of a loopback address that nobody else is likely to have. Of 127.0.0.1 a
// port that was free a moment ago may be some client's by now; the kernel gives no client's
// connection another address than that.
func freeAddr(t testing.TB) string {
	t.Helper()
	host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
	var c net.ListenConfig
	ln, err := c.Listen(t.Context(), "tcp", host+":0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	return ln.Addr().String()
}

// start runs a server at addr until the test ends, and returns once it answers at ready, a path.
func start(t testing.TB, name, addr, ready string, command, env []string) {
	t.Helper()
	s := &server{name: name, addr: addr, log: filepath.Join(t.TempDir(), name+".log")}
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatalf("open the log of %s: %v", name, err)
	}
	defer log.Close() // the process has its own copy
	if s.proc, err = child.Start(command[0], command[1:], env, log); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() { s.end(t) })
	s.await(t, ready)
}

// end shows the log of a test that failed.
func (s *server) end(t testing.TB) {
	if err := s.proc.End(syscall.SIGKILL, startWait); err != nil {
		t.Errorf("end %s: %v", s.name, err)
	}
	if t.Failed() {
		t.Logf("%s wrote:\n%s", s.name, s.excerpt())
	}
}

func (s *server) await(t testing.TB, ready string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), startWait)
	defer stop()
	err := s.proc.Await(ctx, func(ctx context.Context) error { return answers(ctx, "http://"+s.addr+ready) })
	if err != nil {
		t.Fatalf("wait until %s answers: %v; it wrote:\n%s", s.name, err, s.excerpt())
	}
}

// answers wants any answer but a server's fault: Azurite has none for whom it does not know.
func answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return errors.New(resp.Status)
	}
	return nil
}

func (s *server) excerpt() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return child.Excerpt(string(text))
}

// randomName suits every store's rules for buckets, containers and users.
func randomName(prefix string) string {
	return fmt.Sprintf("%s-%016x", prefix, rand.Uint64())
}

// httpClient is a client of its own for one test, its connections closed when the test ends.
func httpClient(t testing.TB) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
