package lock

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/jobs/lock/kubetest"
	"github.com/etcdsafe/etcdsafe/test/child"
)

// leaseName is the Lease of all these tests.
const leaseName = "etcdsafe-prod"

// rights are what SECURITY.md asks for.
func rights() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"get", "create", "update"}}
}

// kube is an API server with an account that may have the Lease, and the test's own look at it.
type kube struct {
	server  *kubetest.Server
	account *rest.Config
	config  KubernetesConfig
	leases  coordinationclient.LeaseInterface
}

func startKube(t *testing.T) kube {
	t.Helper()
	s := kubetest.Start(t, etcdtest.Start(t, etcdtest.Options{}))
	k := kube{server: s, account: s.ServiceAccount(t, "backup", "etcdsafe", rights())}
	k.config = KubernetesConfig{Kubeconfig: s.Kubeconfig(t, k.account), Namespace: "backup", Name: leaseName}
	client, err := coordinationclient.NewForConfig(s.Admin())
	if err != nil {
		t.Fatal(err)
	}
	k.leases = client.Leases("backup")
	return k
}

func (k kube) locker(t *testing.T, o Options) Locker {
	t.Helper()
	l, err := Kubernetes(k.config, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (k kube) rig(t *testing.T) rig {
	remove := func(t *testing.T) error {
		return k.leases.Delete(context.WithoutCancel(t.Context()), leaseName, metav1.DeleteOptions{})
	}
	change := func(t *testing.T, do func(*coordinationv1.Lease)) error {
		l, err := k.leases.Get(t.Context(), leaseName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		do(l)
		_, err = k.leases.Update(t.Context(), l, metav1.UpdateOptions{})
		return err
	}
	return rig{
		kind:    KindKubernetes,
		locker:  func() Locker { return k.locker(t, Options{Lease: shortLease}) },
		patient: func() Locker { return k.locker(t, Options{}) },
		out:     func(c Claim) outside { return outside{Claim: c, Lease: shortLease, Kubernetes: k.config} },
		vanish: map[string]func(t *testing.T) error{
			"deleted by hand": remove,
			"holder taken out": func(t *testing.T) error {
				return change(t, func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = nil })
			},
		},
		taken: map[string]func(t *testing.T) error{
			"taken by hand": func(t *testing.T) error {
				t.Cleanup(func() { _ = remove(t) })
				return change(t, func(l *coordinationv1.Lease) { *l.Spec.HolderIdentity = "me" })
			},
		},
	}
}

// TestLockInKubernetes holds the lock in a Lease to what every kind promises.
func TestLockInKubernetes(t *testing.T) {
	t.Parallel()
	k := startKube(t)
	testKind(t, k.rig(t))
	t.Run("reads well", func(t *testing.T) { testReadsWell(t, k) })
	t.Run("clocks", func(t *testing.T) { testClocks(t, k) })
	t.Run("another's changes", func(t *testing.T) { testAnothersChanges(t, k) })
	t.Run("cannot", func(t *testing.T) { testCannotInKubernetes(t, k) })
}

// testReadsWell: the fields are those that client-go fills, and kubectl shows who holds it.
func testReadsWell(t *testing.T, k kube) {
	_ = k.leases.Delete(t.Context(), leaseName, metav1.DeleteOptions{})
	ours := claim("snapshot")
	ours.Pod = "backup/snapshot-1"
	for transitions := range int32(2) {
		held := take(t, k.locker(t, Options{}), ours)
		l, err := k.leases.Get(t.Context(), leaseName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s := l.Spec
		if *s.HolderIdentity != "backup/snapshot-1_"+ours.Holder || *s.LeaseDurationSeconds != 60 || *s.LeaseTransitions != transitions ||
			time.Since(s.AcquireTime.Time).Abs() > time.Minute || time.Since(s.RenewTime.Time).Abs() > time.Minute {
			t.Errorf("the Lease is %+v", s)
		}
		if decodeClaim([]byte(l.Annotations[claimNote])) != ours {
			t.Errorf("annotations are %v", l.Annotations)
		}
		out, err := exec.CommandContext(t.Context(), child.Tool(t, "kube", "kubectl"), "--kubeconfig", k.config.Kubeconfig, "--cache-dir", t.TempDir(),
			"get", "lease", leaseName, "--namespace", "backup").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "backup/snapshot-1_") {
			t.Errorf("kubectl: %v\n%s", err, out)
		}
		release(t, held)
		if l, err = k.leases.Get(t.Context(), leaseName, metav1.GetOptions{}); err != nil || l.Spec.HolderIdentity != nil || l.Annotations[claimNote] != "" {
			t.Errorf("released, the Lease is %+v, %v", l, err)
		}
	}
}

// testClocks: a holder whose clock is an hour off lives as long as it renews, and no longer.
func testClocks(t *testing.T, k kube) {
	for name, off := range map[string]time.Duration{"behind": -time.Hour, "ahead": time.Hour} {
		t.Run(name, func(t *testing.T) {
			theirs := Options{Lease: shortLease, Now: func() time.Time { return time.Now().Add(off) }}
			held := take(t, k.locker(t, theirs), claim("defrag"))
			if _, err := k.locker(t, Options{Lease: shortLease}).Take(t.Context(), claim("snapshot")); !errors.Is(err, ErrHeld) {
				t.Errorf("Take = %v, want ErrHeld", err)
			}
			if err := held.Prove(t.Context()); err != nil {
				t.Errorf("Prove = %v", err)
			}
			release(t, held)
		})
	}
}

// testAnothersChanges: who annotates the Lease does not take it.
func testAnothersChanges(t *testing.T, k kube) {
	held := take(t, k.locker(t, Options{Lease: shortLease}), claim("defrag"))
	annotate := func() {
		t.Helper()
		l, err := k.leases.Get(t.Context(), leaseName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		l.Labels = map[string]string{"seen": time.Now().Format("150405.000000000")}
		if _, err := k.leases.Update(t.Context(), l, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	annotate()
	if err := held.Prove(t.Context()); err != nil {
		t.Errorf("Prove after another's change = %v", err)
	}
	annotate()
	release(t, held)
}

// testCannotInKubernetes: no right, no namespace, nobody there.
func testCannotInKubernetes(t *testing.T, k kube) {
	nobody := k.config
	nobody.Kubeconfig = k.server.Kubeconfig(t, k.server.ServiceAccount(t, "backup", "nobody"))
	elsewhere := k.config
	elsewhere.Kubeconfig, elsewhere.Namespace = k.server.Kubeconfig(t, k.server.Admin()), "no-such-namespace"
	gone := k.config
	away := k.server.Admin()
	away.Host = "https://127.0.0.1:1"
	gone.Kubeconfig = k.server.Kubeconfig(t, away)
	for want, c := range map[string]KubernetesConfig{"forbidden": nobody, "not found": elsewhere, "connection refused": gone} {
		l, err := Kubernetes(c, Options{Lease: shortLease})
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Take(t.Context(), claim("snapshot"))
		if !errors.Is(err, ErrCannot) || errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Take = %v, want ErrCannot with %q", err, want)
		}
	}
}

// TestWhereKubernetesIs: by a file, with its namespace unless another is given; else as the Pod.
func TestWhereKubernetesIs(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, "kubeconfig")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const whole = `{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}],
  users: [{name: a, user: {token: x}}], contexts: [{name: a, context: {cluster: a, user: a, namespace: backup}}]}`
	for namespace, want := range map[string]string{"": "backup/x", "own": "own/x"} {
		l, err := Kubernetes(KubernetesConfig{Kubeconfig: file(whole), Namespace: namespace, Name: "x"}, Options{})
		if err != nil || !strings.Contains(l.where, want) {
			t.Errorf("Kubernetes = %q, %v, want %q", l.where, err, want)
		}
	}
	for text, want := range map[string]string{"{": "kubeconfig", "{}": "invalid configuration"} {
		if _, err := Kubernetes(KubernetesConfig{Kubeconfig: file(text)}, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %s: %v, want %q", text, err, want)
		}
	}
	if _, err := Kubernetes(KubernetesConfig{Kubeconfig: filepath.Join(dir, "missing")}, Options{}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without the file: %v", err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := Kubernetes(KubernetesConfig{}, Options{}); err == nil || !strings.Contains(err.Error(), "in no Pod") {
		t.Errorf("outside: %v", err)
	}
}
