package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// pod is a Pod that some object of the chart makes.
type pod struct {
	owner string // CronJob etcdsafe-snapshot
	corev1.PodTemplateSpec
	config string // the settings that it has
}

func (p pod) container() corev1.Container { return p.Spec.Containers[0] }

func pods(t *testing.T, all []object) []pod {
	t.Helper()
	var found []pod
	for _, o := range all {
		var at any
		switch o.kind() {
		case "CronJob":
			at = o.at("spec", "jobTemplate", "spec", "template")
		case "Deployment":
			at = o.at("spec", "template")
		case "Pod":
			at = map[string]any{"metadata": o["metadata"], "spec": o["spec"]}
		default:
			continue
		}
		p := pod{owner: o.kind() + " " + o.name()}
		text, err := json.Marshal(at)
		if err == nil {
			err = json.Unmarshal(text, &p.PodTemplateSpec)
		}
		if err != nil || len(p.Spec.Containers) != 1 {
			t.Fatalf("%s has %d containers, want 1: %v", p.owner, len(p.Spec.Containers), err)
		}
		p.config = configOf(p, all)
		found = append(found, p)
	}
	if len(found) == 0 {
		t.Fatal("no Pod was rendered")
	}
	return found
}

func configOf(p pod, all []object) string {
	for _, v := range p.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			for _, o := range all {
				if s.ConfigMap != nil && o.kind() == "ConfigMap" && o.name() == s.ConfigMap.Name {
					return o.at("data", s.ConfigMap.Items[0].Key).(string)
				}
			}
		}
	}
	return ""
}

// secrets are the names of those that a Pod has, in files or in variables.
func (p pod) secrets() []string {
	names := map[string]bool{}
	for _, v := range p.Spec.Volumes {
		if v.Secret != nil {
			names[v.Secret.SecretName] = true
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.Secret != nil {
				names[s.Secret.Name] = true
			}
		}
	}
	for _, f := range p.container().EnvFrom {
		if f.SecretRef != nil {
			names[f.SecretRef.Name] = true
		}
	}
	for _, e := range p.container().Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			names[e.ValueFrom.SecretKeyRef.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// holdsEtcdsKey tells whether a Pod can speak to etcd as the jobs do.
func (p pod) holdsEtcdsKey() bool {
	return slices.Contains(p.secrets(), "etcdsafe-etcd") ||
		slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.HostPath != nil })
}

// mayDelete tells whether a Pod has what deletes archives: prune's Secret, prune's account, or prune to do.
func (p pod) mayDelete() bool {
	var config struct {
		Cron struct{ Schedules map[string]any }
	}
	_ = yaml.Unmarshal([]byte(p.config), &config) // TestEveryPodReadsItsSettings looks whether it is right
	_, prunes := config.Cron.Schedules["prune"]
	return prunes || p.container().Args[0] == "prune" || slices.Contains(p.secrets(), "etcdsafe-prune") || p.Spec.ServiceAccountName == "etcdsafe-prune"
}

func TestNoPodHoldsEtcdsKeyAndMayDelete(t *testing.T) {
	etcd, prune := 0, 0
	for name, values := range cases(t) {
		for _, p := range pods(t, render(t, values)) {
			both := p.holdsEtcdsKey() && p.mayDelete()
			if both != (name == "cron-single" && p.owner != "Pod etcdsafe-test") {
				t.Errorf("%s: %s holds etcd's key (%v) and may delete (%v)", name, p.owner, p.holdsEtcdsKey(), p.mayDelete())
			}
			if p.holdsEtcdsKey() {
				etcd++
			}
			if p.mayDelete() {
				prune++
			}
		}
	}
	if etcd < len(cases(t)) || prune < len(cases(t)) {
		t.Errorf("%d Pods hold etcd's key and %d may delete: the test does not see them all", etcd, prune)
	}
}

func TestIdentitiesAreVerifysAlone(t *testing.T) {
	seen := 0
	for name, values := range cases(t) {
		for _, p := range pods(t, render(t, values)) {
			if !slices.Contains(p.secrets(), "etcdsafe-identities") {
				continue
			}
			seen++
			if p.holdsEtcdsKey() || p.mayDelete() || !strings.HasSuffix(p.owner, "-verify") {
				t.Errorf("%s: %s has the identities", name, p.owner)
			}
		}
	}
	if seen == 0 {
		t.Error("no Pod has identities")
	}
}

// class is the quality of service that Kubernetes gives a Pod.
func class(s corev1.PodSpec) corev1.PodQOSClass {
	guaranteed, best := true, true
	for _, c := range slices.Concat(s.InitContainers, s.Containers) {
		for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, asked := c.Resources.Requests[r]
			limit, limited := c.Resources.Limits[r]
			best = best && !asked && !limited
			guaranteed = guaranteed && limited && (!asked || request.Cmp(limit) == 0)
		}
	}
	switch {
	case best:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

func TestResourcesAreBounded(t *testing.T) {
	cpu, memory := resource.MustParse("100m"), resource.MustParse("128Mi")
	for name, values := range cases(t) {
		for _, p := range pods(t, render(t, values)) {
			want := corev1.PodQOSBurstable
			if strings.HasSuffix(p.owner, "-defrag") {
				want = corev1.PodQOSGuaranteed
			}
			if got := class(p.Spec); got != want {
				t.Errorf("%s: %s is %s, want %s", name, p.owner, got, want)
			}
			r := p.container().Resources
			if r.Requests.Cpu().Cmp(cpu) > 0 || r.Requests.Memory().Cmp(memory) > 0 || r.Limits.Cpu().IsZero() || r.Limits.Memory().IsZero() {
				t.Errorf("%s: %s requests %v and is limited to %v", name, p.owner, r.Requests, r.Limits)
			}
		}
	}
}

func TestEveryPodIsRestricted(t *testing.T) {
	for name, values := range cases(t) {
		for _, p := range pods(t, render(t, values)) {
			if faults := restricted(p, hostPKI(name) && p.holdsEtcdsKey(), strings.HasPrefix(name, "openshift")); len(faults) > 0 {
				t.Errorf("%s: %s: %s", name, p.owner, strings.Join(faults, ", "))
			}
		}
	}
}

// restricted tells what of a Pod is not as it should be; as root, uid 0 is. Where the platform chooses ids, none is set.
func restricted(p pod, root, chosen bool) []string {
	var faults []string
	claim := func(ok bool, what string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(what, args...))
		}
	}
	s, c := p.Spec.SecurityContext, p.container()
	claim(*s.RunAsNonRoot == !root, "runAsNonRoot is %v", *s.RunAsNonRoot)
	if chosen {
		claim(s.RunAsUser == nil && s.FSGroup == nil && s.RunAsGroup == nil, "sets ids")
	} else {
		claim((*s.RunAsUser == 0) == root && *s.FSGroup == 65532, "runs as %d", *s.RunAsUser)
	}
	claim(s.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault, "seccomp is %s", s.SeccompProfile.Type)
	claim(s.AppArmorProfile == nil && s.SELinuxOptions == nil, "sets AppArmor or SELinux")
	claim(!*c.SecurityContext.AllowPrivilegeEscalation && *c.SecurityContext.ReadOnlyRootFilesystem, "may escalate or write its root")
	claim(slices.Equal(c.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}) && c.SecurityContext.Capabilities.Add == nil, "has capabilities")
	claim(!*p.Spec.EnableServiceLinks, "has service links")
	claim(c.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError, "terminationMessagePolicy is %q", c.TerminationMessagePolicy)
	claim(p.Spec.AutomountServiceAccountToken != nil, "mounts a token as its account says")
	for _, m := range c.VolumeMounts {
		claim(m.ReadOnly || m.Name == "spool" || m.Name == "store" || m.Name == "scratch", "%s can be written to", m.Name)
	}
	for _, v := range p.Spec.Volumes {
		claim(v.HostPath == nil || root, "%s is the host's", v.Name)
		claim(v.EmptyDir == nil || v.EmptyDir.SizeLimit != nil || v.Name == "scratch", "%s has no bound", v.Name)
	}
	return faults
}
