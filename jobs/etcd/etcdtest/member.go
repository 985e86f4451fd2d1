package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// startWait is how long a cluster may take to become healthy on a busy machine.
const startWait = 60 * time.Second

// A Member is one etcd server: its process comes and goes, its URLs and folder stay.
type Member struct {
	Name       string
	ID         uint64 // known once it was healthy
	ClientURL  string // what it advertises: the proxy's where there is one
	ListenURL  string // where it listens to clients itself
	PeerURL    string
	MetricsURL string // plain HTTP without a certificate: /metrics, /health
	DataDir    string
	Proxy      *Proxy // nil unless Options.Proxied
	Learner    bool   // has no vote; a test that promotes it clears this

	Version string   // of the binary at the next start
	Args    []string // flags of this member alone at the next start

	c     *Cluster
	join  []string // how it finds the others when its folder is new
	ports []*port
	fail  string // where its failpoints are set, "" without any

	mu     sync.Mutex
	proc   *child.Process
	paused bool
}

// Stop asks the member to end, as an operator would, and waits for it.
func (m *Member) Stop(t testing.TB) {
	t.Helper()
	if err := m.end(syscall.SIGTERM, 30*time.Second); err != nil {
		t.Fatalf("stop member %s: %v", m.Name, err)
	}
}

// Kill ends the member as a lack of memory would.
func (m *Member) Kill(t testing.TB) {
	t.Helper()
	if err := m.end(syscall.SIGKILL, 10*time.Second); err != nil {
		t.Fatalf("kill member %s: %v", m.Name, err)
	}
}

// Pause makes the member stand still: its connections stay open and nothing answers. When it
// returns all of the member's threads have stopped.
func (m *Member) Pause(t testing.TB) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc == nil {
		t.Fatalf("pause member %s: it does not run", m.Name)
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if err := m.proc.Freeze(ctx); err != nil {
		t.Fatalf("pause member %s: %v", m.Name, err)
	}
	m.paused = true
}

// Resume lets a paused member go on; it does not wait for its health.
func (m *Member) Resume(t testing.TB) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc == nil {
		t.Fatalf("resume member %s: it does not run", m.Name)
	}
	if err := m.proc.Signal(syscall.SIGCONT); err != nil {
		t.Fatalf("resume member %s: %v", m.Name, err)
	}
	m.paused = false
}

// Restart starts the member again, after stopping it where it still runs. With a quorum it
// waits until the member is healthy, without one until it answers at all.
func (m *Member) Restart(t testing.TB) {
	t.Helper()
	m.Stop(t)
	m.start(t)
	if m.c.hasQuorum() {
		m.WaitHealthy(t)
		return
	}
	m.await(t, "answers", m.alive)
}

// Running says whether the member's process is there and not paused.
func (m *Member) Running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proc != nil && !m.paused && !m.proc.Ended()
}

// Log is all that the member's processes have written so far.
func (m *Member) Log() string {
	text, err := os.ReadFile(m.logFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("read log: %v", err)
	}
	return string(text)
}

func (m *Member) logFile() string { return filepath.Join(m.c.dir, m.Name+".log") }

func (m *Member) excerpt() string { return child.Excerpt(m.Log()) }

// reserve takes a port that stays the member's until the end of the test.
func (m *Member) reserve(t testing.TB) string {
	t.Helper()
	p, err := reserve()
	if err != nil {
		t.Fatalf("reserve a port: %v", err)
	}
	m.ports = append(m.ports, p)
	return p.addr
}

func (m *Member) start(t testing.TB) {
	t.Helper()
	binary := Tool(t, m.binary())
	log, err := os.OpenFile(m.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("open the log of member %s: %v", m.Name, err)
	}
	defer log.Close() // the process has its own copy
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc != nil {
		t.Fatalf("start member %s: it runs already", m.Name)
	}
	if m.proc, err = child.Start(binary, m.c.flags(m), m.env(), log); err != nil {
		t.Fatalf("start member %s: %v", m.Name, err)
	}
	m.paused = false
}

// end does nothing where no process is.
func (m *Member) end(s syscall.Signal, wait time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc == nil {
		return nil
	}
	if err := m.proc.End(s, wait); err != nil {
		return err
	}
	m.proc, m.paused = nil, false
	return nil
}

// hasQuorum says whether more than half of the voters run.
func (c *Cluster) hasQuorum() bool {
	voters, running := 0, 0
	for _, m := range c.Members {
		if m.Learner {
			continue
		}
		voters++
		if m.Running() {
			running++
		}
	}
	return running > voters/2
}
