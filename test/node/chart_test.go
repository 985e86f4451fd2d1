//go:build e2e

package node

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

const chart = "../../chart/etcdsafe"

// restricted is a label by which the API server refuses Pods that could do more than they need.
const restricted = `"pod-security.kubernetes.io/enforce": restricted`

// values are the chart's defaults on a kubeadm cluster, with what has to be given.
const values = `preset: kubeadm
image: {repository: node.local/etcdsafe, tag: e2e, pullPolicy: Never}
config:
  cluster: %s
  stores: [%q]
  endpoints: ["https://` + Address + `:2379"]
  recipients: [%s]
etcd: {existingSecret: etcd}
store: {existingSecret: store}
prune: {store: {existingSecret: store-prune}}
`

// release is the chart installed as "etcdsafe", with what its user has.
type release struct {
	space
	cluster  string
	identity string // file with the private key
	stores   string
	values   string
}

// newRelease makes namespace, Secrets and keys as NOTES.txt tells, for a cluster of the namespace's name, and
// installs nothing yet.
func newRelease(t *testing.T, name string) release {
	t.Helper()
	r := release{space: newSpace(t, name, restricted), cluster: name, stores: fmt.Sprintf(store, name)}
	var recipient string
	r.identity, recipient = keys(t)
	r.values = fmt.Sprintf(values, name, r.stores, recipient)
	r.certificates("etcd")
	r.credentials("store")
	r.credentials("store-prune")
	return r
}

// helm installs or upgrades to the values with overrides, which are like --set-json's.
func (r release) helm(command string, overrides ...string) string {
	r.t.Helper()
	args := []string{"-n", r.name, command, "etcdsafe"}
	if command == "install" || command == "upgrade" {
		args = append(args, chart, "--values", r.file(), "--wait", "--timeout=120s")
	}
	for _, o := range overrides {
		args = append(args, "--set-json", o)
	}
	out, err := n.Run(r.t.Context(), "", "helm", args...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r release) file() string {
	r.t.Helper()
	path := r.t.TempDir() + "/values.yaml"
	if err := os.WriteFile(path, []byte(r.values), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// trigger starts a CronJob's Job now, as NOTES.txt tells, and waits for its end.
func (r release) trigger(cronjob, job string) outcome {
	r.t.Helper()
	r.kubectl("create", "job", "--from=cronjob/etcdsafe-"+cronjob, job)
	return r.ended(job)
}

// report is what tests read of the JSON that a run writes.
type report struct {
	Job      string
	Result   string
	Cause    string
	ExitCode int `json:"exitCode"`
	Archive  *struct{ ID string }
	Archives []struct{ ID, Level, Result string }
	Plan     []struct{ ID, Verdict string }
	Members  []struct{ Name, Verdict string }
	Jobs     []report
}

// report parses the last Pod's termination message.
func (o outcome) report(t *testing.T) report {
	t.Helper()
	var r report
	message := o.message()
	if len(message) > 4096 {
		t.Errorf("termination message has %d bytes", len(message))
	}
	if err := json.Unmarshal([]byte(message), &r); err != nil {
		t.Fatalf("termination message: %v: %q\n%s", err, message, o.log)
	}
	return r
}

// settings are those of a person on the node, who has the private key and the store's credentials.
func (r release) settings() []string {
	return []string{"AWS_ACCESS_KEY_ID=access", "AWS_SECRET_ACCESS_KEY=secret-of-the-store",
		"ETCDSAFE_CLUSTER=" + r.cluster, "ETCDSAFE_STORES=" + r.stores, "ETCDSAFE_IDENTITIES_FILE=" + r.identity, "ETCDSAFE_OUTPUT=json",
		"ETCDSAFE_ENDPOINTS=https://" + Address + ":2379", "ETCDSAFE_CACERT=/etc/kubernetes/pki/etcd/ca.crt",
		"ETCDSAFE_CERT=/etc/kubernetes/pki/etcd/healthcheck-client.crt", "ETCDSAFE_KEY=/etc/kubernetes/pki/etcd/healthcheck-client.key"}
}

// etcdsafe runs the program as that person.
func (r release) etcdsafe(args ...string) string {
	r.t.Helper()
	out, err := n.Run(r.t.Context(), "", "env", append(append(r.settings(), "etcdsafe"), args...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// listed is an archive as the command list tells of it.
type listed struct {
	ID      string
	Receipt *struct{ Level string }
}

// list gives the archives in the store, newest first.
func (r release) list() (all []listed) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.etcdsafe("list")), &all); err != nil {
		r.t.Fatal(err)
	}
	return all
}

// archives are the ids of list.
func (r release) archives() (ids []string) {
	r.t.Helper()
	for _, a := range r.list() {
		ids = append(ids, a.ID)
	}
	return ids
}

func TestChartKeepsTheClustersOwnEtcd(t *testing.T) {
	r := newRelease(t, "prod")
	notes := r.helm("install")
	if !strings.Contains(notes, "cronjob/etcdsafe-snapshot") {
		t.Errorf("NOTES do not tell how to see a first run:\n%s", notes)
	}
	o := r.trigger("snapshot", "first")
	first := r.committed(o)
	if got := r.archives(); !slices.Equal(got, []string{first}) {
		t.Errorf("archives %q, want %q", got, first)
	}
	if got := r.etcdsafe("verify", "latest", "--level", "content"); !strings.Contains(got, `"result": "ok"`) {
		t.Errorf("verify with the private key: %s", got)
	}

	t.Log("prune removes what no rule keeps, with its own credentials")
	r.helm("upgrade", `config.prune={"keepLast":1,"keepMin":1}`, `defrag.enabled=true`, `config.defrag={"rule":"dbSize > 0","sustain":"0s","allowSingle":true}`)
	old := r.unverified()
	newest := r.committed(r.trigger("snapshot", "second"))
	if o := r.trigger("prune", "prune"); !o.complete || o.report(t).Result != "ok" {
		t.Fatalf("prune: %v\n%s", o.exitCodes(), o.log)
	}
	kept := r.archives()
	if slices.Contains(kept, old) || !slices.Contains(kept, newest) {
		t.Errorf("prune left %q, want %q gone and %q kept", kept, old, newest)
	}

	if o := r.trigger("defrag", "defrag"); !o.complete || len(o.report(t).Members) != 1 || o.report(t).Members[0].Verdict != "defragmented" {
		t.Errorf("defrag: %v\n%s", o.exitCodes(), o.log)
	}

	t.Log("what is installed comes and goes, archives stay")
	r.helm("upgrade", `snapshot.schedule="11 * * * *"`)
	if got := r.schedule(); got != "11 * * * *" {
		t.Errorf("schedule after the upgrade %q", got)
	}
	r.helm("rollback")
	if got := r.schedule(); got != "7 * * * *" {
		t.Errorf("schedule after the rollback %q", got)
	}
	r.committed(r.trigger("snapshot", "third"))
	r.helm("uninstall")
	if left := r.kubectl("get", "cronjobs,deployments,configmaps,serviceaccounts", "-l", "app.kubernetes.io/instance=etcdsafe", "-o", "name"); left != "" {
		t.Errorf("left after uninstall: %s", left)
	}
	if got := r.archives(); len(got) != len(kept)+1 {
		t.Errorf("archives after uninstall: %q, want those of before, %q, and the third", got, kept)
	}
}

// unverified takes a snapshot past the chart: a fresh receipt would keep it from prune for an hour.
func (r release) unverified() (id string) {
	r.t.Helper()
	var made report
	if err := json.Unmarshal([]byte(r.etcdsafe("snapshot", "--recipients", r.recipient())), &made); err != nil {
		r.t.Fatal(err)
	}
	return made.Archive.ID
}

func (r release) recipient() string {
	r.t.Helper()
	_, after, _ := strings.Cut(r.values, "recipients: [")
	before, _, _ := strings.Cut(after, "]")
	return before
}

func (r release) schedule() string {
	r.t.Helper()
	return r.kubectl("get", "cronjob", "etcdsafe-snapshot", "-o", "jsonpath={.spec.schedule}")
}

// committed is the archive of a Job that ran snapshot,verify, and both well.
func (r release) committed(o outcome) (id string) {
	r.t.Helper()
	if !o.complete {
		r.t.Fatalf("exit codes %v, %s\n%s", o.exitCodes(), o.reason, o.log)
	}
	got := o.report(r.t)
	if len(got.Jobs) != 2 || got.Jobs[0].Result != "ok" || got.Jobs[0].Archive == nil || got.Jobs[1].Result != "ok" ||
		len(got.Jobs[1].Archives) != 1 || got.Jobs[1].Archives[0].Level != "content" {
		r.t.Fatalf("report of snapshot and verify: %s", o.message())
	}
	return got.Jobs[0].Archive.ID
}
