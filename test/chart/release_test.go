package chart

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
)

// liveAndGo installs the chart, changes its mode, takes that back and uninstalls it: what it made is gone then, but for
// the claim in which archives lie.
func liveAndGo(t *testing.T, core *coreclient.CoreV1Client, kubeconfig string) {
	const where = "release"
	helm := func(args ...string) string {
		return tool(t, "helm", slices.Concat(args, []string{"--kubeconfig", kubeconfig, "--namespace", where})...)
	}
	values := []string{release, chartDir, "--values", "values/external.yaml", "--set", "store.claim.create=true"}
	kinds := func() (names string) {
		out, err := try(t, "kube", "kubectl", "--kubeconfig", kubeconfig, "--namespace", where, "get", "cronjobs,deployments", "--output=name")
		if err != nil {
			t.Fatalf("get: %v\n%s", err, out)
		}
		return out
	}
	const jobs = "cronjob.batch/etcdsafe-prune\ncronjob.batch/etcdsafe-snapshot\n"
	const processes = "deployment.apps/etcdsafe-cron-prune\ndeployment.apps/etcdsafe-cron-snapshot\n"
	for _, step := range []struct {
		args []string
		want string
	}{
		{slices.Concat([]string{"install", "--create-namespace"}, values), jobs},
		{slices.Concat([]string{"upgrade", "--set", "mode=cron"}, values), processes},
		{[]string{"rollback", release, "1"}, jobs},
		{[]string{"uninstall", release}, ""},
	} {
		helm(step.args...)
		if got := kinds(); got != step.want {
			t.Errorf("after helm %s there are %q, want %q", step.args[0], got, step.want)
		}
	}
	claim, err := core.PersistentVolumeClaims(where).Get(t.Context(), "etcdsafe-store", metav1.GetOptions{})
	if err != nil || claim.DeletionTimestamp != nil { // what is deleted stays for as long as no controller says that nobody uses it
		t.Errorf("the claim goes with the release: deleted at %v, %v", claim.DeletionTimestamp, err)
	}
}
