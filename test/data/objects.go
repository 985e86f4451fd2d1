package data

import (
	"fmt"
	"strings"
)

func (o object) event() (string, []byte) {
	a := o.app()
	pod := a.name + "-" + o.still.letters(10) + "-" + o.still.letters(5)
	name := pod + "." + o.still.hex(11) + suffix(o.index)
	first := o.still.seconds()
	why := pick(o.still, []pair{
		{"Pulled", "Container image " + a.images[0] + " already present on machine"},
		{"Created", "Created container: " + a.name},
		{"Started", "Started container " + a.name},
		{"Scheduled", "Successfully assigned " + a.namespace + "/" + pod + " to " + pick(o.still, o.world.nodes)},
		{"Unhealthy", "Readiness probe failed: Get \"http://" + o.still.ip() + ":8080/healthz\": context deadline exceeded"},
		{"BackOff", "Back-off restarting failed container " + a.name + " in pod " + pod + "_" + a.namespace + "(" + o.still.uid() + ")"},
	})
	return key("events", a.namespace, name), stored("v1", "Event", fields(
		nest(1, o.metadata(a.namespace, name, nil, nil, "kubelet-events")),
		nest(2, text(1, "Pod"), text(2, a.namespace), text(3, pod), text(4, o.still.uid()), text(5, "v1"), text(6, number(o.still.IntN(1<<30)))),
		text(3, why.key), text(4, why.value), nest(5, text(1, "kubelet"), text(2, pick(o.still, o.world.nodes))),
		at(6, first), at(7, first+o.moving.Uint64N(3600)), num(8, 1+o.moving.Uint64N(50)), text(9, "Normal"),
		nest(10), text(14, "kubelet"), text(15, ""),
	))
}

// configMap is a file of settings, some short and a few long.
func (o object) configMap() (string, []byte) {
	a := o.app()
	name := a.name + "-config-" + suffix(o.index)
	lines := 20 + o.still.IntN(80)
	if o.still.IntN(5) == 0 {
		lines *= 10
	}
	var file strings.Builder
	for i := range lines {
		if i%8 == 0 {
			fmt.Fprintf(&file, "%s:\n", pick(o.still, vocabulary))
		}
		fmt.Fprintf(&file, "  %s_%s: %q\n", pick(o.still, vocabulary), pick(o.still, vocabulary), o.still.setting())
	}
	fmt.Fprintf(&file, "checksum: %s\n", o.moving.digest())
	return key("configmaps", a.namespace, name), stored("v1", "ConfigMap", fields(
		nest(1, o.metadata(a.namespace, name, a.labels, nil, "helm")),
		entries(2, pair{"app.yaml", file.String()}),
	))
}

// secret is what hardly shrinks: passwords, certificates, packed releases.
func (o object) secret() (string, []byte) {
	a := o.app()
	name, kind, data := a.name+"-"+suffix(o.index), "Opaque", []pair(nil)
	switch o.still.IntN(8) {
	case 0:
		name, kind = "sh.helm.release.v1."+name+".v"+number(1+o.still.IntN(30)), "helm.sh/release.v1"
		data = []pair{{"release", o.moving.base64(4000 + o.still.IntN(16_000))}}
	case 1, 2:
		kind = "kubernetes.io/tls"
		data = []pair{{"ca.crt", o.pem("CERTIFICATE", 800)}, {"tls.crt", o.pem("CERTIFICATE", 1100)}, {"tls.key", o.pem("RSA PRIVATE KEY", 1200)}}
	default:
		for range 2 + o.still.IntN(6) {
			data = append(data, pair{pick(o.still, vocabulary) + "_" + pick(o.still, vocabulary), o.moving.base64(16 + o.still.IntN(48))})
		}
	}
	return key("secrets", a.namespace, name), stored("v1", "Secret", fields(
		nest(1, o.metadata(a.namespace, name, a.labels, nil, "helm")), entries(2, data...), text(3, kind),
	))
}

// pem has lines of 64 letters, as openssl writes them.
func (o object) pem(kind string, size int) string {
	var s strings.Builder
	s.WriteString("-----BEGIN " + kind + "-----\n")
	for body := o.moving.base64(size); body != ""; {
		line := body[:min(64, len(body))]
		body = body[len(line):]
		s.WriteString(line + "\n")
	}
	s.WriteString("-----END " + kind + "-----\n")
	return s.String()
}

func (o object) lease() (string, []byte) {
	node := pick(o.still, o.world.nodes)
	name := node + "-" + suffix(o.index)
	owner := nest(13, text(1, "Node"), text(3, node), text(4, o.still.uid()), text(5, "v1"))
	return key("leases", "kube-node-lease", name), stored("coordination.k8s.io/v1", "Lease", fields(
		nest(1, o.metadata("kube-node-lease", name, nil, owner, "kubelet-lease")),
		nest(2, text(1, node), num(2, 40), nest(4, num(1, o.moving.seconds()), num(2, o.moving.Uint64N(1_000_000_000)))),
	))
}

func (o object) endpointSlice() (string, []byte) {
	a := o.app()
	name := a.name + "-" + suffix(o.index)
	labels := append([]pair{{"endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io"}, {"kubernetes.io/service-name", a.name}}, a.labels...)
	slice := nest(1, o.metadata(a.namespace, name, labels, o.ownedBy("v1", "Service", a.name), "endpointslice"))
	for range 1 + o.still.IntN(25) {
		slice = append(slice, nest(2,
			text(1, o.moving.ip()), nest(2, num(1, 1), num(2, 1), num(3, 0)),
			nest(4, text(1, "Pod"), text(2, a.namespace), text(3, a.name+"-"+o.still.letters(10)+"-"+o.moving.letters(5)), text(4, o.moving.uid())),
			text(6, pick(o.moving, o.world.nodes)), text(7, "eu-central-1"+pick(o.moving, []string{"a", "b", "c"})))...)
	}
	slice = append(slice, fields(nest(3, text(1, "http"), text(2, "TCP"), num(3, 8080)), text(4, "IPv4"))...)
	return key("endpointslices", a.namespace, name), stored("discovery.k8s.io/v1", "EndpointSlice", slice)
}

func (o object) serviceAccount() (string, []byte) {
	a := o.app()
	name := a.account + "-" + suffix(o.index)
	return key("serviceaccounts", a.namespace, name), stored("v1", "ServiceAccount",
		nest(1, o.metadata(a.namespace, name, a.labels, nil, "helm")))
}

// node is stored as a minion, its name of the first days.
func (o object) node() (string, []byte) {
	name := "ip-" + strings.ReplaceAll(o.still.ip(), ".", "-") + "-" + suffix(o.index) + ".eu-central-1.compute.internal"
	labels := []pair{
		{"beta.kubernetes.io/arch", "amd64"}, {"kubernetes.io/arch", "amd64"}, {"kubernetes.io/hostname", name},
		{"kubernetes.io/os", "linux"}, {"node.kubernetes.io/instance-type", "m5.2xlarge"}, {"topology.kubernetes.io/region", "eu-central-1"},
	}
	var status []byte
	for _, resource := range []string{"cpu", "ephemeral-storage", "hugepages-2Mi", "memory", "pods"} {
		status = append(status, nest(1, text(1, resource), nest(2, text(1, number(o.still.IntN(1<<24)))))...)
	}
	for _, condition := range []string{"MemoryPressure", "DiskPressure", "PIDPressure", "Ready"} {
		status = append(status, nest(4, text(1, condition), text(2, "False"), at(3, o.moving.seconds()), at(4, o.still.seconds()),
			text(5, "Kubelet"+condition), text(6, "kubelet has sufficient resources available"))...)
	}
	for range 40 {
		a := pick(o.moving, o.world.apps)
		i := o.moving.IntN(len(a.images))
		status = append(status, nest(8, text(1, a.digests[i]), text(1, a.images[i]), num(2, o.still.Uint64N(1<<30)))...)
	}
	range24 := o.still.ip() + "/24"
	return "/registry/minions/" + name, stored("v1", "Node", fields(
		nest(1, o.metadata("", name, labels, nil, "node")),
		nest(2, text(1, range24), text(3, "aws:///eu-central-1a/i-"+o.still.hex(17)), text(7, range24)),
		nest(3, status),
	))
}
