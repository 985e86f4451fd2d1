//go:build e2e

package node

import (
	"fmt"
	"strings"
	"testing"
)

// once is a Job of one try whose container has the Secrets' certificates and credentials.
const once = `apiVersion: batch/v1
kind: Job
metadata: {name: %s}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      enableServiceLinks: false
      containers:
      - name: c
        image: %s
        imagePullPolicy: Never
        args: [%s]
        command: [%s]
        envFrom: [{secretRef: {name: store}}]
        volumeMounts: [{name: etcd, mountPath: /certs}]
      volumes: [{name: etcd, secret: {secretName: etcd}}]
`

// job runs a program in a Pod to its end.
func (s space) job(name, image, program string, args ...string) outcome {
	s.t.Helper()
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = fmt.Sprintf("%q", a)
	}
	s.kubectlIn(fmt.Sprintf(once, name, image, strings.Join(quoted, ", "), program), "apply", "-f", "-")
	return s.ended(name)
}

func TestPodReachesEtcdByItsCertificateAlone(t *testing.T) {
	s := newSpace(t, "reach-etcd")
	s.certificates("etcd")
	s.credentials("store")
	health := []string{"endpoint", "health", "--endpoints=https://" + Address + ":2379", "--cacert=/certs/ca.crt"}
	if o := s.job("stranger", "node.local/etcd:1", "etcdctl", health...); o.complete {
		t.Errorf("etcd answers without a client's certificate: %s", o.log)
	}
	o := s.job("client", "node.local/etcd:1", "etcdctl", append(health, "--cert=/certs/tls.crt", "--key=/certs/tls.key")...)
	if !o.complete || !strings.Contains(o.log, "is healthy") {
		t.Errorf("etcd in a Pod: complete %t: %s", o.complete, o.log)
	}
}

func TestPodReachesTheStore(t *testing.T) {
	s := newSpace(t, "reach-store")
	s.certificates("etcd")
	s.credentials("store")
	list := func(bucket string) []string {
		return []string{"list", "--cluster", "reach", "--stores", strings.Replace(fmt.Sprintf(store, "reach"), "backups", bucket, 1)}
	}
	if o := s.job("other", etcdsafeImage, "", list("nobodys")...); o.complete || o.exitCodes()[0] != 15 {
		t.Errorf("list of a bucket that is not there: exit codes %v: %s", o.exitCodes(), o.log)
	}
	if o := s.job("list", etcdsafeImage, "", list("backups")...); !o.complete {
		t.Errorf("list of the store: exit codes %v: %s", o.exitCodes(), o.log)
	}
}
