package main

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// locker is where the lock of the cluster lies.
func (c *cli) locker(cfg etcd.Config) (lock.Locker, error) {
	s, o := c.set, lock.Options{Lease: c.lease, Now: c.now}
	switch s.Lock.Lock.Get() {
	case lock.KindNone:
		return lock.None(), nil
	case lock.KindKubernetes:
		l, err := lock.Kubernetes(lock.KubernetesConfig{Kubeconfig: string(s.Kubeconfig.Get()), Namespace: s.LockNamespace.Get(), Name: leaseName(s)}, o)
		if err != nil {
			return l, s.Kubeconfig.Errorf("%w", err)
		}
		return l, nil
	}
	return lock.Etcd(cfg, o), nil
}

// leaseName is the Lease's: one for each name of a cluster.
func leaseName(s *settings.Settings) string {
	return cmp.Or(s.LockName.Get(), "etcdsafe-"+s.Cluster.Get())
}

// leaseIsNamed is told before anything is reached.
func leaseIsNamed(s *settings.Settings) error {
	if s.Lock.Lock.Get() != lock.KindKubernetes {
		return nil
	}
	if s.LockName.Get() == "" && s.Cluster.Get() == "" {
		return settings.Need(&s.Cluster)(s)
	}
	if faults := validation.IsDNS1123Subdomain(leaseName(s)); faults != nil {
		return s.LockName.Errorf("%q is no name of a Lease: %s", leaseName(s), strings.Join(faults, "; "))
	}
	return nil
}

// lockPolicy is what to do while another run holds it.
func (c *cli) lockPolicy() lock.Policy {
	return lock.Policy{IfLocked: lock.IfLocked(c.set.IfLocked.Get()), MaxAge: c.set.MaxLockAge.Get(), Patience: c.patience, Now: c.now}
}

// claim is this run as it takes the lock. Its start and deadline are set when it does.
func (c *cli) claim(job string) (lock.Claim, error) {
	var id [16]byte
	if _, err := io.ReadFull(c.random, id[:]); err != nil {
		return lock.Claim{}, fmt.Errorf("draw a holder's name: %w", err)
	}
	host, pod := c.whereabouts()
	return lock.Claim{Holder: hex.EncodeToString(id[:]), Job: job, Cluster: c.set.Cluster.Get(), Host: host, Pod: pod, Version: version()}, nil
}

// whereabouts is the host that this runs on, and the Pod where it does: by POD_NAME and POD_NAMESPACE,
// which a Pod may give to its containers, else by its host name, which is the Pod's unless it shares its node's network.
func (c *cli) whereabouts() (host, pod string) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if c.getenv("KUBERNETES_SERVICE_HOST") != "" {
		pod = host
	}
	pod = cmp.Or(c.getenv("POD_NAME"), pod)
	if namespace := c.getenv("POD_NAMESPACE"); pod != "" && namespace != "" {
		pod = namespace + "/" + pod
	}
	return host, pod
}

// runner is whereabouts, and what else the chart has Kubernetes tell.
func (c *cli) runner() catalog.Runner {
	host, pod := c.whereabouts()
	return catalog.Runner{Host: host, Pod: pod, Node: c.getenv("NODE_NAME"), ServiceAccount: c.getenv("POD_SERVICE_ACCOUNT")}
}
