package chart

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/jobs/lock/kubetest"
)

// TestKubernetesTakesTheChart asks one real server: its schemas, its validation, and its Pod Security admission.
func TestKubernetesTakesTheChart(t *testing.T) {
	server := kubetest.Start(t, etcdtest.Start(t, etcdtest.Options{}))
	core, err := coreclient.NewForConfig(server.Admin())
	if err != nil {
		t.Fatal(err)
	}
	prepare(t, core)
	t.Run("kubeconform", func(t *testing.T) { conform(t, server.Admin()) })
	kubeconfig := server.Kubeconfig(t, server.Admin())
	t.Run("apply", func(t *testing.T) { applyDry(t, kubeconfig) })
	t.Run("admission", func(t *testing.T) { admit(t, core) })
	t.Run("rights", func(t *testing.T) { rightsOfAccounts(t, core, kubeconfig) })
	t.Run("release", func(t *testing.T) { liveAndGo(t, core, kubeconfig) })
}

// prepare makes the namespace, restricted, and the accounts that Pods of the cases name.
func prepare(t *testing.T, core *coreclient.CoreV1Client) {
	t.Helper()
	labels := map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: labels}}
	if _, err := core.Namespaces().Create(t.Context(), made, metav1.CreateOptions{}); err != nil {
		t.Fatalf("make namespace: %v", err)
	}
	for _, job := range []string{"snapshot", "prune", "verify", "defrag"} {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: release + "-" + job}}
		if _, err := core.ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
			t.Fatalf("make account of %s: %v", job, err)
		}
	}
}

// conform checks what is rendered against the server's own schemas, in which no field may be unknown.
func conform(t *testing.T, config *rest.Config) {
	dir := schemas(t, config)
	check := func(text string) (string, error) {
		file := filepath.Join(t.TempDir(), "rendered.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return try(t, "helm", "kubeconform", "-strict", "-summary", "-schema-location", dir+"/{{ .ResourceKind }}{{ .KindSuffix }}.json", file)
	}
	for name, values := range cases(t) {
		if out, err := check(template(t, values)); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	misspelt := strings.ReplaceAll(template(t, "values/external.yaml"), "enableServiceLinks", "enableServicelinks")
	if out, err := check(misspelt); err == nil {
		t.Errorf("a misspelt field was taken: %s", out)
	}
}

// applyDry has kubectl send what is rendered, which the server defaults, validates and forgets.
func applyDry(t *testing.T, kubeconfig string) {
	for name, values := range cases(t) {
		file := filepath.Join(t.TempDir(), name+".yaml")
		var more []string
		if hostPKI(name) { // its test Pod has the host's network, which is refused here
			more = []string{"--skip-tests"}
		}
		if err := os.WriteFile(file, []byte(template(t, values, more...)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := try(t, "kube", "kubectl", "--kubeconfig", kubeconfig, "apply", "--dry-run=server", "--filename", file)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// admit sends each Pod as what it will be. Jobs and Deployments are only warned of.
func admit(t *testing.T, core *coreclient.CoreV1Client) {
	for name, values := range cases(t) {
		for _, p := range pods(t, render(t, values)) {
			refused := admitted(t, core, p)
			wants := hostPKI(name) && (p.holdsEtcdsKey() || p.Spec.HostNetwork)
			switch {
			case !wants && refused != nil:
				t.Errorf("%s: %s: %v", name, p.owner, refused)
			case wants && (refused == nil || !strings.Contains(refused.Error(), `violates PodSecurity "restricted`)):
				t.Errorf("%s: %s: %v, want it refused by Pod Security", name, p.owner, refused)
			}
		}
	}
}

// hostPKI tells of the cases that ask the namespace for more than restricted.
func hostPKI(name string) bool { return strings.Contains(name, "hostpki") }

// admitted creates the Pod dry.
func admitted(t *testing.T, core *coreclient.CoreV1Client, p pod) error {
	t.Helper()
	made := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod", Labels: p.Labels}, Spec: p.Spec}
	_, err := core.Pods(namespace).Create(t.Context(), made, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// schemas writes the server's own, one file for each kind, and gives their folder.
func schemas(t *testing.T, config *rest.Config) string {
	t.Helper()
	var doc struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	if err := json.Unmarshal(openapi(t, config), &doc); err != nil {
		t.Fatalf("openapi: %v", err)
	}
	closed := map[string]any{}
	for name, d := range doc.Definitions {
		closed[name] = closedSchema(name, d)
	}
	dir := t.TempDir()
	for name, d := range doc.Definitions {
		for _, kind := range kindsOf(d) {
			top := map[string]any{"$ref": "#/definitions/" + name, "definitions": closed}
			text, err := json.Marshal(top)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, kind+".json"), text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func openapi(t *testing.T, config *rest.Config) []byte {
	t.Helper()
	client, err := coreclient.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	text, err := client.RESTClient().Get().AbsPath("/openapi/v2").SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		t.Fatalf("ask for openapi: %v", err)
	}
	return text
}

// wanted are the kinds that the chart makes.
var wanted = map[string]bool{
	"ConfigMap": true, "ServiceAccount": true, "PersistentVolumeClaim": true, "Pod": true, "CronJob": true,
	"Deployment": true, "Role": true, "RoleBinding": true, "NetworkPolicy": true,
}

// kindsOf are the names that kubeconform asks for: cronjob-batch-v1.
func kindsOf(d map[string]any) []string {
	var names []string
	list, _ := d["x-kubernetes-group-version-kind"].([]any)
	for _, v := range list {
		gvk := v.(map[string]any)
		kind, group, _ := gvk["kind"].(string), gvk["group"].(string), 0
		if !wanted[kind] {
			continue
		}
		name := kind
		if group != "" {
			name += "-" + strings.SplitN(group, ".", 2)[0]
		}
		names = append(names, strings.ToLower(name+"-"+gvk["version"].(string)))
	}
	return names
}

// closedSchema makes of Swagger's definition one of JSON Schema that knows no further property.
func closedSchema(name string, d map[string]any) any {
	switch {
	case strings.HasSuffix(name, ".Quantity"):
		return map[string]any{"type": []string{"string", "number"}}
	case strings.HasSuffix(name, ".IntOrString"):
		return map[string]any{"type": []string{"string", "integer"}}
	}
	out := map[string]any{}
	for key, v := range d {
		if !strings.HasPrefix(key, "x-kubernetes") && key != "format" {
			out[key] = v
		}
	}
	if _, ok := d["properties"]; ok {
		out["additionalProperties"] = false
	}
	return out
}
