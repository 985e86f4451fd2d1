package kubetest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// Controllers is a kube-controller-manager beside a server, with the controllers that were named and no others.
type Controllers struct {
	flags []string
	log   string
	proc  *child.Process
}

// Controllers starts one, e.g. with cronjob-controller. It ends with the test, before the server does. What controllers
// make stays as they made it: no kubelet runs, so Pods stay pending.
func (s *Server) Controllers(t testing.TB, names ...string) *Controllers {
	t.Helper()
	c := &Controllers{log: filepath.Join(t.TempDir(), "kube-controller-manager.log"), flags: []string{
		"--kubeconfig=" + s.Kubeconfig(t, s.Admin()),
		"--controllers=" + strings.Join(names, ","),
		"--leader-elect=false",
		"--secure-port=0",
	}}
	c.Start(t)
	t.Cleanup(func() {
		c.Stop(t)
		if t.Failed() {
			text, _ := os.ReadFile(c.log) // that it is not there tells enough
			t.Logf("kube-controller-manager wrote:\n%s", child.Excerpt(string(text)))
		}
	})
	return c
}

// Start starts it again after Stop. It does not wait until anything is done.
func (c *Controllers) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("make the log of kube-controller-manager: %v", err)
	}
	defer log.Close() // the process has its own copy
	if c.proc, err = child.Start(child.Tool(t, "kube", "kube-controller-manager"), c.flags, nil, log); err != nil {
		t.Fatalf("kube-controller-manager: %v", err)
	}
}

// Stop ends it, as a machine that fails would.
func (c *Controllers) Stop(t testing.TB) {
	t.Helper()
	if err := c.proc.End(syscall.SIGKILL, 10*time.Second); err != nil {
		t.Errorf("end kube-controller-manager: %v", err)
	}
}
