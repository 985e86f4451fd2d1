package kubetest

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/test/child"
	"github.com/etcdsafe/etcdsafe/test/doomed"
)

func leases(t *testing.T, config *rest.Config, namespace string) coordinationclient.LeaseInterface {
	t.Helper()
	client, err := coordinationclient.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client.Leases(namespace)
}

func lease(name, holder string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder}}
}

func TestServerKeepsLeasesInEtcd(t *testing.T) {
	began := time.Now()
	etcd := etcdtest.Start(t, etcdtest.Options{Members: 3, TLS: true})
	s := Start(t, etcd)
	t.Logf("ready after %v", time.Since(began))

	admin := leases(t, s.Admin(), "kube-system")
	made, err := admin.Create(t.Context(), lease("a", "me"), metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create a lease: %v", err)
	}
	if _, err := admin.Create(t.Context(), lease("a", "you"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("create it again: %v, want that it exists", err)
	}
	read, err := admin.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || *read.Spec.HolderIdentity != "me" {
		t.Fatalf("the lease read is %v, %v", read, err)
	}
	stale := made.DeepCopy()
	if _, err := admin.Update(t.Context(), read, metav1.UpdateOptions{}); err != nil {
		t.Fatalf("update: %v", err)
	}
	*stale.Spec.HolderIdentity = "you"
	stale.ResourceVersion = "1"
	if _, err := admin.Update(t.Context(), stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("update of an old version: %v, want a conflict", err)
	}
	kept, err := etcd.Client(t).Get(t.Context(), "/registry/leases/kube-system/a")
	if err != nil || len(kept.Kvs) != 1 {
		t.Errorf("etcd has %v, %v", kept, err)
	}
}

func TestServiceAccountMayWhatItsRulesSay(t *testing.T) {
	s := Start(t, etcdtest.Start(t, etcdtest.Options{}))
	rule := rbacv1.PolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create", "get"}}
	config := s.ServiceAccount(t, "backup", "etcdsafe", rule)
	nobody := s.ServiceAccount(t, "backup", "nobody")

	mine := leases(t, config, "backup")
	if _, err := mine.Create(t.Context(), lease("a", "me"), metav1.CreateOptions{}); err != nil {
		t.Errorf("create: %v", err)
	}
	if _, err := mine.Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
		t.Errorf("get: %v", err)
	}
	if err := mine.Delete(t.Context(), "a", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("delete: %v, want forbidden", err)
	}
	if _, err := leases(t, config, "kube-system").Get(t.Context(), "a", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("get in another namespace: %v, want forbidden", err)
	}
	if _, err := leases(t, nobody, "backup").Get(t.Context(), "a", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("get as nobody: %v, want forbidden", err)
	}
	if _, err := leases(t, s.config(), "backup").Get(t.Context(), "a", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("get without a token: %v, want forbidden", err)
	}

	for _, c := range []*rest.Config{config, s.Admin()} {
		path := s.Kubeconfig(t, c)
		loaded, err := clientcmd.BuildConfigFromFlags("", path)
		if err != nil {
			t.Fatalf("load %s: %v", path, err)
		}
		if _, err := leases(t, loaded, "backup").Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
			t.Errorf("get by a kubeconfig: %v", err)
		}
		said, err := exec.CommandContext(t.Context(), child.Tool(t, "kube", "kubectl"), "--kubeconfig", path, "--cache-dir", t.TempDir(), "get", "lease", "a", "--namespace", "backup").CombinedOutput()
		if err != nil || !strings.Contains(string(said), "me") {
			t.Errorf("kubectl: %v\n%s", err, said)
		}
	}
}

func TestStartTellsOfAServerThatEnds(t *testing.T) {
	s := &Server{log: t.TempDir() + "/log", admin: &rest.Config{Host: "http://127.0.0.1:1"}}
	if said := doomed.Said(t, func(t testing.TB) { s.run(t, []string{"--no-such-flag"}) }); !strings.Contains(said, "no-such-flag") {
		t.Errorf("it said %q", said)
	}
}
