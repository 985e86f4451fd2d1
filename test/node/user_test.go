//go:build e2e

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// patience is for one step of a test: a Pod is there within three seconds on a quiet machine.
const patience = 3 * time.Minute

// etcdsafeImage is the name that scripts/e2e.sh gives the image.
const etcdsafeImage = "node.local/etcdsafe:e2e"

// store reaches the bucket, and credentials are those of the Deployment.
const store = "s3://backups/%s?endpoint=http://10.96.0.20:9000&path_style=true&region=us-east-1"

// space is a namespace of a test's own, gone when the test ends. Where the test fails, what lies in it is told first.
type space struct {
	t    *testing.T
	name string
}

func newSpace(t *testing.T, name string, labels ...string) space {
	t.Helper()
	s := space{t, name}
	manifest := fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {%s}}\n", name, strings.Join(labels, ", "))
	s.kubectlIn(manifest, "apply", "-f", "-")
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		if t.Failed() {
			s.tell(ctx)
		}
		if _, err := n.Kubectl(ctx, "", "delete", "namespace", name, "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	s.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
	return s
}

// tell logs what a person would ask first.
func (s space) tell(ctx context.Context) {
	for _, args := range [][]string{
		{"get", "pods,jobs", "-o", "wide", "-n", s.name},
		{"get", "pods", "-A", "-o", "wide"},
		{"describe", "pods", "-n", s.name},
		{"get", "events", "-n", s.name, "--sort-by=.lastTimestamp"},
	} {
		out, err := n.Kubectl(ctx, "", args...)
		s.t.Logf("kubectl %s: %v\n%s", strings.Join(args, " "), err, child.Excerpt(out))
	}
	s.t.Logf("kubelet:\n%s", n.Excerpt("kubelet"))
}

// kubectl runs it in the namespace, and fails the test where it fails.
func (s space) kubectl(args ...string) string {
	s.t.Helper()
	return s.kubectlIn("", args...)
}

func (s space) kubectlIn(stdin string, args ...string) string {
	s.t.Helper()
	ctx, stop := context.WithTimeout(s.t.Context(), patience)
	defer stop()
	out, err := n.Kubectl(ctx, stdin, append([]string{"-n", s.name}, args...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// eventually asks until f answers nil, and fails the test with its last answer.
func eventually(t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var last error // the last but for one that ctx cut short
	err := child.Poll(ctx, 300*time.Millisecond, func() error {
		err := f(ctx)
		if ctx.Err() == nil {
			last = err
		}
		return err
	})
	if err != nil {
		t.Fatalf("wait for %s: %v", what, last)
	}
}

// certificates makes the Secret that NOTES.txt of the chart tells to make, with kubeadm's client of etcd.
func (s space) certificates(name string) {
	s.t.Helper()
	s.kubectl("create", "secret", "generic", name,
		"--from-file=ca.crt=/etc/kubernetes/pki/etcd/ca.crt",
		"--from-file=tls.crt=/etc/kubernetes/pki/etcd/healthcheck-client.crt",
		"--from-file=tls.key=/etc/kubernetes/pki/etcd/healthcheck-client.key")
}

// credentials makes the Secret with the store's.
func (s space) credentials(name string) {
	s.t.Helper()
	s.kubectl("create", "secret", "generic", name, "--from-literal=AWS_ACCESS_KEY_ID=access", "--from-literal=AWS_SECRET_ACCESS_KEY=secret-of-the-store")
}

// keys makes an age key pair on the node's disk and gives the recipient.
func keys(t *testing.T) (identityFile, recipient string) {
	t.Helper()
	identityFile = t.TempDir() + "/identity.txt"
	out, err := n.Run(t.Context(), "", "etcdsafe", "keygen", identityFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(identityFile); err != nil {
		t.Fatal(err)
	}
	return identityFile, strings.TrimSpace(out)
}

// outcome is how a Job ended.
type outcome struct {
	complete bool
	reason   string // of the Job's failure
	pods     []corev1.Pod
	log      string // of the first Pod
}

// exitCodes are those of the Pods' containers, in the order in which the Pods were made.
func (o outcome) exitCodes() (codes []int32) {
	for _, p := range o.pods {
		for _, c := range p.Status.ContainerStatuses {
			if c.State.Terminated != nil {
				codes = append(codes, c.State.Terminated.ExitCode)
			}
		}
	}
	return codes
}

// message is the last Pod's termination message.
func (o outcome) message() string {
	for _, c := range o.pods[len(o.pods)-1].Status.ContainerStatuses {
		if c.State.Terminated != nil {
			return c.State.Terminated.Message
		}
	}
	return ""
}

// ended waits until a Job is complete or failed.
func (s space) ended(job string) outcome {
	s.t.Helper()
	var o outcome
	eventually(s.t, "the end of job "+job, func(ctx context.Context) error {
		var j batchv1.Job
		if err := s.get(ctx, &j, "job", job); err != nil {
			return err
		}
		for _, c := range j.Status.Conditions {
			if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
				o.complete, o.reason = c.Type == batchv1.JobComplete, c.Reason
				return nil
			}
		}
		return fmt.Errorf("%d active, %d failed", j.Status.Active, j.Status.Failed)
	})
	var pods corev1.PodList
	if err := s.get(s.t.Context(), &pods, "pods", "-l", "job-name="+job, "--sort-by=.metadata.creationTimestamp"); err != nil {
		s.t.Fatal(err)
	}
	o.pods = pods.Items
	if len(o.pods) > 0 {
		var err error
		if o.log, err = n.Kubectl(s.t.Context(), "", "-n", s.name, "logs", o.pods[0].Name); err != nil {
			o.log = err.Error() // a Pod that was evicted may go any time
		}
	}
	return o
}

// get reads an object into to.
func (s space) get(ctx context.Context, to any, args ...string) error {
	out, err := n.Kubectl(ctx, "", append([]string{"-n", s.name, "-o", "json", "get"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), to)
}
