package main

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

// locker is where the lock of the cluster lies.
func (c *cli) locker(cfg etcd.Config) lock.Locker {
	if c.set.Lock.Lock.Get() == lock.KindNone {
		return lock.None()
	}
	return lock.Etcd(cfg, lock.Options{Now: c.now})
}

// lockPolicy is what to do while another run holds it.
func (c *cli) lockPolicy() lock.Policy {
	return lock.Policy{IfLocked: lock.IfLocked(c.set.IfLocked.Get()), MaxAge: c.set.MaxLockAge.Get(), Now: c.now}
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
