package chart

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestHelmLints(t *testing.T) {
	for name, values := range cases(t) {
		if out, err := try(t, "helm", "helm", "lint", "--strict", chartDir, "--namespace", namespace, "--values", values); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestSuites(t *testing.T) {
	out, err := try(t, "helm", "helm-unittest", "--strict", "--file", "tests/*_test.yaml", chartDir)
	if err != nil || !regexp.MustCompile(`Tests: +[1-9]\d* passed`).MatchString(out) {
		t.Errorf("helm-unittest: %v\n%s", err, out)
	}
}

// Only what is GA, all in the release's namespace, and never a Secret.
func TestKindsThatAreMade(t *testing.T) {
	allowed := []string{
		"v1 ConfigMap", "v1 ServiceAccount", "v1 PersistentVolumeClaim", "v1 Pod", "batch/v1 CronJob", "apps/v1 Deployment",
		"rbac.authorization.k8s.io/v1 Role", "rbac.authorization.k8s.io/v1 RoleBinding", "networking.k8s.io/v1 NetworkPolicy",
	}
	seen := map[string]bool{}
	for name, values := range cases(t) {
		for _, o := range render(t, values) {
			kind := o["apiVersion"].(string) + " " + o.kind()
			seen[kind] = true
			if !slices.Contains(allowed, kind) {
				t.Errorf("%s makes a %s", name, kind)
			}
			if o.at("metadata", "namespace") != namespace {
				t.Errorf("%s: %s %s is in namespace %v", name, kind, o.name(), o.at("metadata", "namespace"))
			}
		}
	}
	if len(seen) != len(allowed) {
		t.Errorf("the cases make %v, want all of %v", seen, allowed)
	}
}

// A claim outlives the release, and with it the archives.
func TestTheClaimIsKept(t *testing.T) {
	for _, o := range render(t, "values/everything.yaml") {
		if o.kind() == "PersistentVolumeClaim" {
			if got := o.at("metadata", "annotations", "helm.sh/resource-policy"); got != "keep" {
				t.Errorf("helm.sh/resource-policy of the claim = %v, want keep", got)
			}
			return
		}
	}
	t.Error("no claim was made")
}

// Default schedules have one fixed minute each, so different minutes never coincide.
func TestSchedulesNeverCoincide(t *testing.T) {
	minutes := map[int]string{}
	for _, o := range render(t, "values/everything.yaml") {
		if o.kind() != "CronJob" || o.at("spec", "suspend") == true {
			continue
		}
		first, _, _ := strings.Cut(o.at("spec", "schedule").(string), " ")
		minute, err := strconv.Atoi(first)
		if err != nil {
			t.Errorf("%s begins at minute %q", o.name(), first)
		}
		if other, taken := minutes[minute]; taken || minute == 0 {
			t.Errorf("%s begins at minute %d, as does %s or everybody", o.name(), minute, other)
		}
		minutes[minute] = o.name()
	}
	if len(minutes) != 4 {
		t.Errorf("%d schedules, want 4", len(minutes))
	}
}
