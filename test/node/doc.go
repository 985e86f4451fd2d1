// Package node runs a real Kubernetes of one node, as kubeadm would have made it, for tests of what
// users run on theirs: the chart, its Jobs, and the loss of etcd and its return.
//
//	scripts/e2e.sh ─▶ scripts/sandbox.sh ─▶ the tests of this package, as root of a machine named node1, 10.99.0.1
//
//	    test ── Start ─▶ containerd, kubelet, kube-proxy          processes beside the test
//	      │               └─▶ etcd, kube-apiserver,               static Pods: /etc/kubernetes/manifests
//	      │                   kube-controller-manager, kube-scheduler
//	      │               └─▶ versitygw                           a Deployment: the object store, 10.96.0.20:9000
//	      └── Kubectl, Helm, Wait ─▶ what users do
//
// Where users have files, they lie in the same places: etcd speaks TLS both ways, with kubeadm's
// certificates in /etc/kubernetes/pki, its data in /var/lib/etcd, and whoever moves a manifest out of
// its folder stops what it describes. The folders etc/ and store.yaml beside this text are all of
// its settings. Images are made here from the pinned binaries of scripts/tools.sh; nothing is pulled.
//
// Not as on a real cluster: there is no DNS, so what runs here goes by addresses; network policies are
// stored but not enforced, for the bridge plugin knows nothing of them; and limits of oom_score_adj are
// not lowered. All that is started ends with the sandbox, which is the only place to call Start in: it
// writes to /etc and /var/lib.
//
// The tests have the build tag e2e, since they need that sandbox: scripts/e2e.sh gives it.
package node
