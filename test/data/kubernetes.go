package data

import "strings"

// kinds are what a control plane holds, by how many of a thousand.
var kinds = []struct {
	share int
	make  func(object) (string, []byte)
}{
	{350, object.pod},
	{150, object.event},
	{130, object.replicaSet},
	{75, object.configMap},
	{85, object.secret},
	{50, object.lease},
	{60, object.endpointSlice},
	{50, object.deployment},
	{35, object.serviceAccount},
	{15, object.node},
}

// kubernetes draws a kind and makes one of it.
func (o object) kubernetes() (string, []byte) {
	draw := o.still.IntN(1000)
	for _, k := range kinds {
		if draw < k.share {
			return k.make(o)
		}
		draw -= k.share
	}
	panic("the shares of the kinds do not add up to 1000")
}

func (o object) app() app { return pick(o.still, o.world.apps) }

// metadata is an ObjectMeta: who it is, whose it is and its annotations by more, and who has
// written which field of it.
func (o object) metadata(namespace, name string, labels []pair, more []byte, managers ...string) []byte {
	created := o.still.seconds()
	b := fields(
		text(1, name), text(3, namespace), text(5, o.still.uid()), text(6, ""), num(7, 1+o.still.Uint64N(30)),
		at(8, created), entries(11, labels...), more,
	)
	for i, manager := range managers {
		written := created
		if i > 0 {
			written += o.moving.Uint64N(90 * 24 * 3600)
		}
		b = append(b, nest(17,
			text(1, manager), text(2, "Update"), text(3, "v1"), at(4, written),
			text(6, "FieldsV1"), nest(7, text(1, managed[manager])),
		)...)
	}
	return b
}

// ownedBy is an OwnerReference.
func (o object) ownedBy(version, kind, name string) []byte {
	return nest(13, text(1, kind), text(3, name), text(4, o.still.uid()), text(5, version), num(6, 1), num(7, 1))
}

// annotations are what charts and network plugins leave on a pod.
func (o object) annotations(a app) []byte {
	ip := o.moving.ip()
	return entries(12,
		pair{"checksum/config", o.moving.hex(64)},
		pair{"cni.projectcalico.org/containerID", o.moving.hex(64)},
		pair{"cni.projectcalico.org/podIP", ip + "/32"},
		pair{"k8s.v1.cni.cncf.io/network-status", "[{\n    \"name\": \"k8s-pod-network\",\n    \"ips\": [\n        \"" + ip +
			"\"\n    ],\n    \"default\": true,\n    \"dns\": {}\n}]"},
		pair{"prometheus.io/path", "/metrics"}, pair{"prometheus.io/port", "9090"}, pair{"prometheus.io/scrape", "true"},
		pair{"example.com/build", o.still.hex(40) + " of " + a.name + " at " + stamp(o.still.seconds())},
	)
}

func key(resource, namespace, name string) string {
	return "/registry/" + resource + "/" + namespace + "/" + name
}

func (o object) pod() (string, []byte) {
	a := o.app()
	set := a.name + "-" + o.still.letters(10)
	name := set + "-" + suffix(o.index)
	labels := append([]pair{{"app", a.name}, {"pod-template-hash", set[len(a.name)+1:]}}, a.labels...)
	return key("pods", a.namespace, name), stored("v1", "Pod", fields(
		nest(1, o.metadata(a.namespace, name, labels, fields(o.annotations(a), o.ownedBy("apps/v1", "ReplicaSet", set)),
			"kube-controller-manager", "multus", "kubelet")),
		nest(2, o.podSpec(a), text(10, pick(o.still, o.world.nodes))),
		nest(3, o.podStatus(a)),
	))
}

// podSpec stands in pods, and as a template in what makes them.
func (o object) podSpec(a app) []byte {
	token := "kube-api-access-" + o.still.letters(5)
	spec := fields(
		nest(1, text(1, "config"), nest(2, nest(19, nest(1, text(1, a.name+"-config")), num(3, 420)))),
		nest(1, text(1, token), nest(2, nest(26,
			nest(1, nest(4, text(1, ""), num(2, 3607), text(3, "token"))),
			nest(1, nest(3, nest(1, text(1, "kube-root-ca.crt")), nest(2, text(1, "ca.crt"), text(2, "ca.crt")))),
			nest(1, nest(2, nest(1, text(1, "namespace"), nest(2, text(1, "v1"), text(2, "metadata.namespace"))))),
			num(2, 420)))),
	)
	for i, image := range a.images {
		spec = append(spec, o.container(a, i, image, token)...)
	}
	spec = append(spec, fields(
		text(3, "Always"), num(4, 30), text(6, "ClusterFirst"), entries(7, pair{"kubernetes.io/os", "linux"}),
		text(8, a.account), text(9, a.account), num(11, 0), num(12, 0), num(13, 0),
		nest(14, num(3, 1), num(5, 65532)), text(19, "default-scheduler"),
	)...)
	for _, taint := range []string{"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"} {
		spec = append(spec, nest(22, text(1, taint), text(2, "Exists"), text(4, "NoExecute"), num(5, 300))...)
	}
	return append(spec, fields(num(25, 0), num(30, 0), text(31, "PreemptLowerPriority"))...)
}

func (o object) container(a app, i int, image, token string) []byte {
	parts := fields(
		text(1, containerName(a, i)), text(2, image), text(4, "--config=/etc/config/app.yaml"), text(4, "--listen=:8080"),
		nest(6, text(1, "http"), num(3, 8080), text(4, "TCP")), nest(6, text(1, "metrics"), num(3, 9090), text(4, "TCP")),
	)
	for _, e := range a.env {
		parts = append(parts, nest(7, text(1, e.key), text(2, e.value))...)
	}
	for _, from := range []string{"metadata.name", "metadata.namespace", "status.podIP"} {
		name := strings.ToUpper(strings.ReplaceAll(from, ".", "_"))
		parts = append(parts, nest(7, text(1, name), nest(3, nest(1, text(1, "v1"), text(2, from))))...)
	}
	probe := nest(1, nest(2, text(1, "/healthz"), nest(2, num(1, 1), text(3, "http")), text(4, "HTTP")))
	return nest(2, parts,
		nest(8,
			nest(1, text(1, "memory"), nest(2, text(1, number(64*(1+i))+"Mi"))),
			nest(2, text(1, "cpu"), nest(2, text(1, number(50*(1+i))+"m")))),
		nest(9, text(1, "config"), num(2, 1), text(3, "/etc/config"), text(4, "")),
		nest(9, text(1, token), num(2, 1), text(3, "/var/run/secrets/kubernetes.io/serviceaccount"), text(4, "")),
		nest(10, probe, num(2, 10), num(3, 1), num(4, 10), num(5, 1), num(6, 3)),
		nest(11, probe, num(2, 5), num(3, 1), num(4, 10), num(5, 1), num(6, 3)),
		text(13, "/dev/termination-log"), text(14, "IfNotPresent"),
		nest(15, nest(1, text(2, "ALL")), num(2, 0), num(5, 1), num(6, 1), num(7, 0)),
		text(20, "File"))
}

func containerName(a app, i int) string {
	if i == 0 {
		return a.name
	}
	return "sidecar-" + number(i)
}

func (o object) podStatus(a app) []byte {
	n := o.moving
	started, host, ip := n.seconds(), n.ip(), n.ip()
	status := text(1, "Running")
	for i, condition := range []string{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		status = append(status, nest(2, text(1, condition), text(2, "True"), nest(3), at(4, started+uint64(i)), text(5, ""), text(6, ""))...)
	}
	status = append(status, fields(text(3, ""), text(4, ""), text(5, host), text(6, ip), at(7, started))...)
	for i, image := range a.images {
		status = append(status, nest(8,
			text(1, containerName(a, i)), nest(2, nest(2, at(1, started+n.Uint64N(60)))), nest(3), num(4, 1), num(5, n.Uint64N(4)),
			text(6, image), text(7, a.digests[i]), text(8, "containerd://"+n.hex(64)), num(9, 1))...)
	}
	return append(status, fields(text(9, "Burstable"), text(11, ""), nest(12, text(1, ip)), nest(16, text(1, host)))...)
}

func (o object) replicaSet() (string, []byte) {
	a := o.app()
	hash := o.still.letters(5) + suffix(o.index)
	name := a.name + "-" + hash
	labels := append([]pair{{"app", a.name}, {"pod-template-hash", hash}}, a.labels...)
	replicas := o.moving.Uint64N(8)
	return key("replicasets", a.namespace, name), stored("apps/v1", "ReplicaSet", fields(
		nest(1, o.metadata(a.namespace, name, labels, o.ownedBy("apps/v1", "Deployment", a.name), "kube-controller-manager", "replicaset-status")),
		nest(2, num(1, replicas), nest(2, entries(1, labels[:2]...)), nest(3, nest(1, entries(11, labels...), o.annotations(a)), nest(2, o.podSpec(a)))),
		nest(3, num(1, replicas), num(2, replicas), num(3, 1), num(4, replicas), num(5, replicas)),
	))
}

func (o object) deployment() (string, []byte) {
	a := o.app()
	name := a.name + "-" + suffix(o.index)
	labels := append([]pair{{"app", a.name}}, a.labels...)
	status := fields(num(1, 1+o.moving.Uint64N(30)), num(2, 3), num(3, 3), num(4, 3))
	for _, condition := range []string{"Available", "Progressing"} {
		at1, at2 := o.moving.seconds(), o.moving.seconds()
		status = append(status, nest(6, text(1, condition), text(2, "True"), text(4, "MinimumReplicasAvailable"),
			text(5, "Deployment has minimum availability."), at(6, at1), at(7, at2))...)
	}
	return key("deployments", a.namespace, name), stored("apps/v1", "Deployment", fields(
		nest(1, o.metadata(a.namespace, name, labels, nil, "helm", "kube-controller-manager")),
		nest(2, num(1, 3), nest(2, entries(1, labels[0])), nest(3, nest(1, entries(11, labels...)), nest(2, o.podSpec(a))),
			nest(4, text(1, "RollingUpdate")), num(6, 10), num(9, 600)),
		nest(3, status),
	))
}
