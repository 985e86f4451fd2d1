package lock

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// holdCommand makes this binary a holder of the lock, for tests that stop it.
const holdCommand = "hold-lock"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == holdCommand {
		if err := holdOutside(os.Args[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// outside says where a holder in a process of its own finds the lock.
type outside struct {
	Claim      Claim
	Lease      time.Duration
	Endpoints  []string
	Kubernetes KubernetesConfig // where it has a name
}

func (o outside) locker() (Locker, error) {
	if o.Kubernetes.Name != "" {
		return Kubernetes(o.Kubernetes, Options{Lease: o.Lease})
	}
	return Etcd(etcd.Config{Endpoints: o.Endpoints}, Options{Lease: o.Lease}), nil
}

// holdOutside takes the lock, says so, and proves it for each line that it reads.
func holdOutside(text string) error {
	var o outside
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	l, err := o.locker()
	if err != nil {
		return err
	}
	held, err := l.Take(context.Background(), o.Claim)
	if err != nil {
		return err
	}
	fmt.Println("held")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := held.Prove(context.Background()); err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		fmt.Println("proven")
	}
	return held.Release(context.Background())
}

// holder is such a process.
type holder struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

func startHolder(t *testing.T, o outside) *holder {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	h := &holder{t: t, cmd: exec.Command("/proc/self/exe", holdCommand, string(text))}
	h.stdin, err = h.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.cmd.Stderr = os.Stderr
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.cmd.Process.Kill(); _ = h.cmd.Wait() })
	h.lines = bufio.NewScanner(stdout)
	if got := h.hears(); got != "held" {
		t.Fatalf("the holder says %q, want held", got)
	}
	return h
}

func (h *holder) hears() string {
	h.t.Helper()
	if !h.lines.Scan() {
		h.t.Fatalf("the holder has ended: %v", h.lines.Err())
	}
	return h.lines.Text()
}

func (h *holder) proves() string {
	h.t.Helper()
	if _, err := io.WriteString(h.stdin, "prove\n"); err != nil {
		h.t.Fatal(err)
	}
	return h.hears()
}

func (h *holder) signal(s syscall.Signal) {
	h.t.Helper()
	if err := h.cmd.Process.Signal(s); err != nil {
		h.t.Fatal(err)
	}
}

// shortLease is the least that etcd gives with its usual election timeout, and some.
const shortLease = 4 * time.Second

// rig is a place for the lock, whichever kind.
type rig struct {
	kind    string
	locker  func() Locker                       // a run of its own each time
	patient func() Locker                       // the same with the lease that is documented
	out     func(c Claim) outside               // the same for another process
	vanish  map[string]func(t *testing.T) error // ways to lose the claim by another's hand
	taken   map[string]func(t *testing.T) error // the same, so that somebody else holds the lock for good
}

func etcdRig(t *testing.T, c *etcdtest.Cluster) rig {
	cfg := configOf(c)
	return rig{
		kind:    KindEtcd,
		locker:  func() Locker { return Etcd(cfg, Options{Lease: shortLease}) },
		patient: func() Locker { return Etcd(cfg, Options{}) },
		out:     func(claim Claim) outside { return outside{Claim: claim, Lease: shortLease, Endpoints: cfg.Endpoints} },
		vanish: map[string]func(t *testing.T) error{
			"lease revoked": func(t *testing.T) error {
				r, err := c.Client(t).Get(t.Context(), lockKey)
				if err != nil {
					return err
				}
				_, err = c.Client(t).Lease.Revoke(t.Context(), leaseID(r.Kvs[0].Lease))
				return err
			},
			"deleted by hand": func(t *testing.T) error {
				_, err := c.Client(t).Delete(t.Context(), lockKey)
				return err
			},
		},
		taken: map[string]func(t *testing.T) error{
			"written by hand": func(t *testing.T) error {
				if _, err := c.Client(t).Delete(t.Context(), lockKey); err != nil {
					return err
				}
				_, err := c.Client(t).Put(t.Context(), lockKey, "mine")
				t.Cleanup(func() { _, _ = c.Client(t).Delete(context.WithoutCancel(t.Context()), lockKey) })
				return err
			},
		},
	}
}

func configOf(c *etcdtest.Cluster) etcd.Config {
	return etcd.Config{
		Endpoints: c.Endpoints(), CACert: c.CA, Cert: c.ClientCert, Key: c.ClientKey,
		User: c.User, Password: etcd.Password(c.Password),
	}
}

// claim is of a run of its own.
func claim(job string) Claim {
	return Claim{Holder: rand.Text(), Job: job, Cluster: "prod", Host: "node-1", Version: "v1.2.3", Started: time.Now().UTC().Truncate(time.Second)}
}

func take(t *testing.T, l Locker, c Claim) *Held {
	t.Helper()
	held, err := l.Take(t.Context(), c)
	if err != nil {
		t.Fatalf("Take: %v", err)
	}
	t.Cleanup(func() { _ = held.Release(t.Context()) })
	return held
}

func release(t *testing.T, h *Held) {
	t.Helper()
	if err := h.Release(t.Context()); err != nil {
		t.Fatalf("Release: %v", err)
	}
}

// eventually asks often, for so long at most.
func eventually(t *testing.T, most time.Duration, what string, ready func() bool) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), most)
	defer stop()
	for !ready() {
		pause(t, ctx, 50*time.Millisecond, what)
	}
}

func pause(t *testing.T, ctx context.Context, d time.Duration, what string) {
	t.Helper()
	select {
	case <-ctx.Done():
		t.Fatalf("%s: not in time", what)
	case <-time.After(d):
	}
}

func isLost(h *Held) bool {
	select {
	case <-h.Lost():
		return true
	default:
		return false
	}
}

// atOnce starts n of them at one moment and returns what each came to.
func atOnce[T any](n int, do func(i int) T) []T {
	out := make([]T, n)
	begin := make(chan struct{})
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() { <-begin; out[i] = do(i) })
	}
	close(begin)
	wait.Wait()
	return out
}
