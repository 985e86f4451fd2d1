package data

import "strings"

// managed is what each manager says it has written, as FieldsV1 has it. In a real cluster it
// is a third of a small object's bytes, and the reason why snapshots shrink so well.
var managed = map[string]string{
	"kubelet-events":          owned("f:count f:firstTimestamp f:involvedObject f:lastTimestamp f:message f:reason f:reportingComponent f:source{f:component f:host} f:type"),
	"kubelet-lease":           owned("f:metadata{f:ownerReferences} f:spec{f:holderIdentity f:leaseDurationSeconds f:renewTime}"),
	"endpointslice":           owned("f:addressType f:endpoints f:metadata{f:annotations f:generateName f:labels{f:endpointslice.kubernetes.io/managed-by f:kubernetes.io/service-name} f:ownerReferences} f:ports"),
	"helm":                    owned("f:data f:metadata{f:annotations{f:meta.helm.sh/release-name f:meta.helm.sh/release-namespace} f:labels{f:app.kubernetes.io/instance f:app.kubernetes.io/managed-by f:app.kubernetes.io/name f:helm.sh/chart}} f:spec{f:progressDeadlineSeconds f:replicas f:revisionHistoryLimit f:selector f:strategy{f:rollingUpdate f:type}}"),
	"replicaset-status":       owned("f:status{f:availableReplicas f:fullyLabeledReplicas f:observedGeneration f:readyReplicas f:replicas}"),
	"multus":                  owned("f:metadata{f:annotations{f:cni.projectcalico.org/containerID f:cni.projectcalico.org/podIP f:cni.projectcalico.org/podIPs f:k8s.v1.cni.cncf.io/network-status}}"),
	"node":                    owned("f:metadata{f:annotations{f:volumes.kubernetes.io/controller-managed-attach-detach} f:labels{f:beta.kubernetes.io/arch f:kubernetes.io/hostname}} f:spec{f:podCIDR f:podCIDRs f:providerID} f:status{f:allocatable{f:cpu f:memory f:pods} f:conditions{f:lastHeartbeatTime f:status} f:images}"),
	"kubelet":                 owned("f:status{f:conditions{f:ContainersReady{f:lastProbeTime f:lastTransitionTime f:status f:type} f:Initialized{f:lastProbeTime f:lastTransitionTime f:status f:type} f:PodReadyToStartContainers{f:lastProbeTime f:lastTransitionTime f:status f:type} f:Ready{f:lastProbeTime f:lastTransitionTime f:status f:type}} f:containerStatuses f:hostIP f:hostIPs f:phase f:podIP f:podIPs f:startTime}"),
	"kube-controller-manager": owned("f:metadata{f:generateName f:labels{f:app f:app.kubernetes.io/instance f:app.kubernetes.io/managed-by f:app.kubernetes.io/name f:app.kubernetes.io/part-of f:app.kubernetes.io/version f:helm.sh/chart f:pod-template-hash} f:ownerReferences} f:spec{f:containers{f:args f:env f:image f:imagePullPolicy f:livenessProbe{f:failureThreshold f:httpGet{f:path f:port f:scheme} f:initialDelaySeconds f:periodSeconds f:successThreshold f:timeoutSeconds} f:name f:ports f:readinessProbe{f:failureThreshold f:httpGet{f:path f:port f:scheme} f:periodSeconds f:successThreshold f:timeoutSeconds} f:resources{f:limits f:requests} f:securityContext f:terminationMessagePath f:terminationMessagePolicy f:volumeMounts} f:dnsPolicy f:enableServiceLinks f:nodeSelector f:restartPolicy f:schedulerName f:securityContext f:serviceAccount f:serviceAccountName f:terminationGracePeriodSeconds f:tolerations f:volumes}"),
}

// owned writes a short form out as JSON: each name is a key, with what it has in braces.
func owned(short string) string {
	var s strings.Builder
	s.WriteByte('{')
	for rest := short + "}"; rest != ""; {
		n := strings.IndexAny(rest, "{} ")
		if n > 0 {
			s.WriteString(`"` + rest[:n] + `":{`)
		}
		switch {
		case n > 0 && rest[n] == ' ':
			s.WriteString("},")
		case n > 0 && rest[n] == '}':
			s.WriteString("}}")
		case rest[n] == ' ':
			s.WriteByte(',')
		case rest[n] == '}':
			s.WriteByte('}')
		}
		rest = rest[n+1:]
	}
	return s.String()
}
