//go:build e2e

package node

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestRestoreBringsTheClusterBack loses etcd's data and does what RESTORE.md says, in its own words: every command
// of the sections for one member, in their order, with nothing but the store's URL replaced.
func TestRestoreBringsTheClusterBack(t *testing.T) {
	r := newRelease(t, "restore")
	r.helm("install")
	other := newSpace(t, "kept")
	other.kubectl("create", "configmap", "kept", "--from-literal=a=1")
	other.kubectl("create", "secret", "generic", "kept", "--from-literal=a=1")
	other.kubectl("create", "deployment", "kept", "--image=node.local/pause:1")
	other.kubectl("wait", "--for=condition=available", "deployment/kept", "--timeout=60s")
	before := look(t)
	r.committed(r.trigger("snapshot", "before"))

	other.kubectl("delete", "configmap", "kept")
	other.kubectl("create", "configmap", "later", "--from-literal=a=1")
	highest := newestRevision(t)

	t.Log("the data of etcd is lost")
	for _, path := range []string{"member/wal", "member/snap"} {
		if err := os.RemoveAll(filepath.Join("/var/lib/etcd", path)); err != nil {
			t.Fatal(err)
		}
	}
	for _, section := range []string{"Before", "Choose", "One member", "After"} {
		r.follow(section)
	}

	eventually(t, "the node", func(ctx context.Context) error {
		_, err := n.Kubectl(ctx, "", "wait", "--for=condition=Ready", "node/node1", "--timeout=5s")
		return err
	})
	same(t, before, look(t))
	if got := newestRevision(t); got <= highest {
		t.Errorf("resource version %d, want one above %d, which clients saw before the loss", got, highest)
	}
	if left := other.kubectl("get", "configmaps", "-o", "name"); strings.Contains(left, "later") {
		t.Errorf("made after the snapshot, and there: %s", left)
	}

	t.Log("the cluster works")
	other.kubectl("rollout", "restart", "deployment/kept")
	other.kubectl("rollout", "status", "deployment/kept", "--timeout=120s")
	r.helm("upgrade", `config.ifLocked="wait"`)
	r.committed(r.trigger("snapshot", "after"))
}

// follow runs the indented lines of a section of RESTORE.md as a person would who is root on the node.
func (r release) follow(section string) {
	r.t.Helper()
	text, err := os.ReadFile("../../RESTORE.md")
	if err != nil {
		r.t.Fatal(err)
	}
	script := commands(string(text), section)
	if script == "" {
		r.t.Fatalf("RESTORE.md has no commands in section %q", section)
	}
	for from, to := range map[string]string{"file:///backups": "'" + r.stores + "'", "ETCDSAFE_CLUSTER=prod": "ETCDSAFE_CLUSTER=" + r.cluster} {
		if strings.Contains(script, "etcdsafe list") && !strings.Contains(script, from) {
			r.t.Fatalf("section %q does not say %s", section, from)
		}
		script = strings.ReplaceAll(script, from, to)
	}
	r.t.Logf("%s:\n%s", section, script)
	home := filepath.Dir(r.identity) // where identity.txt lies
	out, err := n.Run(r.t.Context(), "cd "+home+"\nset -x\n"+script, "env",
		"AWS_ACCESS_KEY_ID=access", "AWS_SECRET_ACCESS_KEY=secret-of-the-store",
		"ETCDSAFE_CLUSTER="+r.cluster, "ETCDSAFE_STORES="+r.stores, // as exported in Choose
		"ETCDCTL_ENDPOINTS=https://"+Address+":2379", "ETCDCTL_CACERT=/etc/kubernetes/pki/etcd/ca.crt",
		"ETCDCTL_CERT=/etc/kubernetes/pki/etcd/healthcheck-client.crt", "ETCDCTL_KEY=/etc/kubernetes/pki/etcd/healthcheck-client.key",
		"bash", "-euo", "pipefail", "-s")
	r.t.Log(out)
	if err != nil {
		r.t.Fatal(err)
	}
}

// commands are the indented lines under a heading of the second level.
func commands(text, heading string) string {
	var lines []string
	inside := false
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			inside = strings.TrimSpace(name) == heading
		} else if inside && strings.HasPrefix(line, "    ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

// kinds are those whose objects nothing changes by itself on a quiet cluster.
const kinds = "namespaces,serviceaccounts,configmaps,secrets,services,clusterroles,clusterrolebindings,roles,rolebindings," +
	"cronjobs,priorityclasses,apiservices,storageclasses,networkpolicies,limitranges,resourcequotas"

// seen is what a look at an object gives.
type seen struct {
	uid     string
	version int64
	digest  [sha256.Size]byte // of all but the two, and their bookkeeping
}

// look reads all objects of kinds, by kind, namespace and name.
func look(t *testing.T) map[string]seen {
	t.Helper()
	out, err := n.Kubectl(t.Context(), "", "get", kinds, "-A", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	all := map[string]seen{}
	for _, o := range list.Items {
		meta := o["metadata"].(map[string]any)
		version, err := strconv.ParseInt(meta["resourceVersion"].(string), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%v %v/%v", o["kind"], meta["namespace"], meta["name"])
		uid := meta["uid"].(string)
		delete(meta, "resourceVersion")
		text, err := json.Marshal(o) // sorted by keys
		if err != nil {
			t.Fatal(err)
		}
		all[name] = seen{uid: uid, version: version, digest: sha256.Sum256(text)}
	}
	return all
}

// newestRevision is that of the whole store, as clients see it.
func newestRevision(t *testing.T) int64 {
	t.Helper()
	out, err := n.Kubectl(t.Context(), "", "get", "--raw", "/api/v1/configmaps?limit=1")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Metadata struct {
			ResourceVersion int64 `json:"resourceVersion,string"`
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	return list.Metadata.ResourceVersion
}

// same compares every object of before.
func same(t *testing.T, before, after map[string]seen) {
	t.Helper()
	if len(before) < 100 {
		t.Errorf("%d objects were looked at, a cluster has more", len(before))
	}
	var faults []string
	for name, was := range before {
		is, ok := after[name]
		switch {
		case !ok:
			faults = append(faults, name+" is gone")
		case is.uid != was.uid:
			faults = append(faults, name+" has another uid")
		case is.version < was.version:
			faults = append(faults, fmt.Sprintf("%s went from version %d to %d", name, was.version, is.version))
		case is.digest != was.digest:
			faults = append(faults, name+" differs")
		}
	}
	slices.Sort(faults)
	if len(faults) > 0 {
		t.Errorf("of %d objects %d are not as they were:\n%s", len(before), len(faults), strings.Join(faults, "\n"))
	}
	t.Logf("%d objects are as they were", len(before))
}
