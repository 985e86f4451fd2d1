package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
	"github.com/etcdsafe/etcdsafe/jobs/lock/kubetest"
)

// TestTheLockMayBeALease: of a real API server, with no more rights than SECURITY.md says.
func TestTheLockMayBeALease(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	server := kubetest.Start(t, c)
	account := server.ServiceAccount(t, "backup", "etcdsafe", rbacv1.PolicyRule{
		APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"get", "create", "update"},
	})
	kubeconfig := server.Kubeconfig(t, account)
	u := newOperator(t, c.Endpoints()).with("ETCDSAFE_LOCK=kubernetes", "ETCDSAFE_LOCK_NAMESPACE=backup", "ETCDSAFE_KUBECONFIG="+kubeconfig,
		"KUBERNETES_SERVICE_HOST=10.96.0.1", "POD_NAME=snapshot-1", "POD_NAMESPACE=backup")
	if r := u.ok(t, "snapshot"); r.field(t, "lock") != "kubernetes" {
		t.Errorf("want the lock of Kubernetes\n%v", r)
	}
	l, err := lock.Kubernetes(lock.KubernetesConfig{Kubeconfig: kubeconfig, Namespace: "backup", Name: "etcdsafe-prod"}, lock.Options{})
	if err != nil {
		t.Fatal(err)
	}
	held, err := l.Take(t.Context(), lock.Claim{Holder: "h", Job: "defrag", Host: "node-1", Pod: "backup/defrag-1", Started: time.Now().UTC()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = held.Release(t.Context()) })
	if r := u.ok(t, "snapshot"); r.field(t, "result") != "skipped" || !strings.Contains(r.field(t, "reason"), "lease backup/etcdsafe-prod in Kubernetes: held by defrag of pod backup/defrag-1") {
		t.Errorf("want a skip that names the holder\n%v", r)
	}
	if r := u.ok(t, "defrag", "--rule", "dbSize > 0", "--sustain", "0", "--allow-single"); r.field(t, "result") != "skipped" || r.field(t, "lock") != "held" {
		t.Errorf("want that defrag stands back too\n%v", r)
	}
	if r := u.ok(t, "snapshot", "--lock-name", "another"); r.field(t, "lock") != "kubernetes" {
		t.Errorf("another Lease is another lock\n%v", r)
	}
	if r := u.ok(t, "lock", "show"); r.field(t, "claim.pod") != "backup/defrag-1" || r.field(t, "lock") != "kubernetes" {
		t.Error(r)
	}
	u.ok(t, "lock", "break", "--yes", "--reason", "hangs")
	if r := u.ok(t, "lock", "show"); r.field(t, "held") != "false" || r.field(t, "broken.reason") != "hangs" || !strings.HasSuffix(r.field(t, "broken.by"), "@backup/snapshot-1") {
		t.Error(r)
	}
	nobody := server.Kubeconfig(t, server.ServiceAccount(t, "backup", "nobody"))
	r := u.exits(t, exitPartial, "snapshot", "--kubeconfig", nobody)
	if r.field(t, "lock") != "unavailable" || r.field(t, "cause") != "cluster" || !strings.Contains(r.field(t, "warnings.0"), "forbidden") {
		t.Errorf("want a snapshot without a lock\n%v", r)
	}
	for said, args := range map[string][]string{
		"no such file":          {"--kubeconfig", u.path("missing")},
		"is no name of a Lease": {"--lock-name", "A_B"},
	} {
		if r := u.exits(t, exitConfig, append([]string{"snapshot"}, args...)...); !strings.Contains(r.stderr, said) {
			t.Errorf("stderr does not say %q\n%v", said, r)
		}
	}
	u.env = append(u.env, "ETCDSAFE_KUBECONFIG=")
	if r := u.exits(t, exitConfig, "lock", "show"); !strings.Contains(r.stderr, "--kubeconfig") {
		t.Error(r)
	}
}

// TestAHungHolderTurnsOthersTo11: a snapshot whose store says nothing renews its lock all the while.
// Others skip while it is young; when it is too old they end with 11, whatever they were told.
func TestAHungHolderTurnsOthersTo11(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, c.Endpoints())
	u.lease = 5 * time.Second
	addr, _ := silent(t)
	hung := u.start(t, "snapshot", "--stores", "gs://bucket/x?anonymous=true&endpoint=http://"+addr)
	hung.until(t, "members found", 1)
	if r := u.exits(t, exitOK, "snapshot"); r.field(t, "result") != "skipped" || !strings.Contains(r.field(t, "reason"), "held by snapshot of host") {
		t.Errorf("want a skip that names the holder\n%v", r)
	}
	wait(t, 2e9)
	r := u.inProcess(t.Context(), 0, "snapshot", "--max-lock-age", "1s")
	if r.code != exitLocked || r.field(t, "result") != "refused" || !strings.Contains(r.field(t, "error"), "still renewed, longer than 1s") {
		t.Errorf("want exit code %d\n%v", exitLocked, r)
	}
	hung.signal(t, syscall.SIGTERM)
	hung.ends(t)
	u.ok(t, "snapshot", "--max-lock-age", "1s")
}

// TestALockThatWasWaitedForInVainIsNoDeadline: 11 at the deadline, 143 when stopped.
func TestALockThatWasWaitedForInVainIsNoDeadline(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, c.Endpoints())
	addr, _ := silent(t)
	holder := u.start(t, "snapshot", "--stores", "gs://bucket/x?anonymous=true&endpoint=http://"+addr)
	holder.until(t, "members found", 1)
	u.exits(t, exitLocked, "snapshot", "--if-locked", "wait", "--deadline", "2s")
	waiting := u.start(t, "snapshot", "--if-locked", "wait")
	waiting.until(t, "lock waited for", 1)
	waiting.signal(t, syscall.SIGTERM)
	checkStopped(t, waiting.ends(t), exitTerminated, "stopped by SIGTERM")
	holder.signal(t, syscall.SIGTERM)
	checkStopped(t, holder.ends(t), exitTerminated, "stopped by SIGTERM")
	u.ok(t, "snapshot")
}
