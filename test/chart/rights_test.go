package chart

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// situations are the columns of SECURITY.md's table, and what to set for each.
var situations = [][]string{
	{"--set", "config.lock=etcd"},
	{"--set", "config.lock=kubernetes"},
	{"--set", "config.lock=kubernetes,mode=cron"},
}

// rightsInSecurity reads the table: for each account its rights in each situation.
func rightsInSecurity(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	rights := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSuffix(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| `"+release+"-") || len(cells) != 2+len(situations) {
			continue
		}
		account := strings.Trim(cells[1], " `")
		for _, c := range cells[2:] {
			rights[account] = append(rights[account], strings.TrimSpace(c))
		}
	}
	if len(rights) != 4 {
		t.Fatalf("SECURITY.md has rights of %d accounts, want 4", len(rights))
	}
	return rights
}

// rightsOfAccounts compares what the server allows the chart's accounts with SECURITY.md.
func rightsOfAccounts(t *testing.T, core *coreclient.CoreV1Client, kubeconfig string) {
	table := rightsInSecurity(t)
	for i, set := range situations {
		where := fmt.Sprintf("rights-%d", i)
		made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: where}}
		if _, err := core.Namespaces().Create(t.Context(), made, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		roles := applyRights(t, kubeconfig, template(t, "values/cron.yaml", slices.Concat([]string{"--set", "mode=cronjob,cron.replicas=1,cron.strategy=Recreate", "--namespace", where}, set)...))
		everybody := canI(t, kubeconfig, where, "nobody")
		for _, account := range slices.Sorted(maps.Keys(table)) {
			want := table[account][i]
			if want != "" {
				roles--
			}
			if err := waitForRights(t, kubeconfig, where, account, everybody, want); err != nil {
				t.Errorf("%v: %s: %v, as SECURITY.md says", set, account, err)
			}
		}
		if roles != 0 { // one of which the authorizer may not have heard yet
			t.Errorf("%v: %d more roles than accounts with rights in SECURITY.md", set, roles)
		}
	}
}

// waitForRights waits until the authorizer has heard of the roles.
func waitForRights(t *testing.T, kubeconfig, where, account string, everybody map[string]bool, want string) error {
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	return child.Poll(ctx, 50*time.Millisecond, func() error {
		mine := canI(t, kubeconfig, where, account)
		maps.DeleteFunc(mine, func(right string, _ bool) bool { return everybody[right] })
		if got := strings.Join(slices.Sorted(maps.Keys(mine)), "; "); got != want {
			return fmt.Errorf("may %q, want %q", got, want)
		}
		return nil
	})
}

// applyRights makes the accounts and roles of what was rendered, and tells how many roles those are.
func applyRights(t *testing.T, kubeconfig, text string) (roles int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rights.yaml")
	var docs []string
	for _, o := range objects(t, text) {
		switch o.kind() {
		case "ServiceAccount", "Role", "RoleBinding":
			doc, err := yaml.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, string(doc))
			if o.kind() == "Role" {
				roles++
			}
		}
	}
	if err := os.WriteFile(file, []byte(strings.Join(docs, "---\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := try(t, "kube", "kubectl", "--kubeconfig", kubeconfig, "apply", "--filename", file); err != nil {
		t.Fatalf("apply: %v\n%s", err, out)
	}
	return roles
}

// listed is a line of `can-i --list`: resources, other URLs, names, verbs.
var listed = regexp.MustCompile(`^(\S*)\s+\[(.*?)\]\s+\[(.*?)\]\s+\[(.*?)\]`)

// canI is what `kubectl auth can-i --list` tells of an account, as SECURITY.md writes it.
func canI(t *testing.T, kubeconfig, where, account string) map[string]bool {
	t.Helper()
	user := "--as=system:serviceaccount:" + where + ":" + account
	out, err := try(t, "kube", "kubectl", "--kubeconfig", kubeconfig, "--namespace", where, user,
		"--as-group=system:serviceaccounts", "--as-group=system:authenticated", "auth", "can-i", "--list", "--no-headers")
	if err != nil {
		t.Fatalf("can-i: %v\n%s", err, out)
	}
	rights := map[string]bool{}
	for line := range strings.Lines(out) {
		if m := listed.FindStringSubmatch(line); m != nil {
			what := strings.TrimSuffix(m[1], ".coordination.k8s.io")
			if m[3] != "" {
				what += " " + strings.ReplaceAll(strings.ReplaceAll(m[3], " ", ", "), "prod", "CLUSTER")
			}
			rights[what+m[2]+": "+strings.ReplaceAll(m[4], " ", ", ")] = true
		}
	}
	return rights
}
