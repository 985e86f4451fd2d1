{{/* What (root, job)'s Pods have beside the chart's own: pod, with the job's pod over it, as JSON. */}}
{{- define "etcdsafe.podValues" -}}
{{- include "etcdsafe.over" (list .root.Values.pod (index .root.Values .job).pod) }}
{{- end }}

{{/* The first mapping with the keys of the second in it, as JSON. Sprig's merge would pass over false and 0. */}}
{{- define "etcdsafe.over" -}}
{{- $out := deepCopy (index . 0) }}
{{- range $key, $value := index . 1 }}{{ $_ := set $out $key $value }}{{ end }}
{{- toJson $out }}
{{- end }}

{{- define "etcdsafe.hostNetwork" -}}
{{- $pod := include "etcdsafe.podValues" . | fromJson }}
{{- $pod.hostNetwork }}
{{- end }}

{{/*
A Pod's metadata and spec, of
  root       the chart
  component  its label
  job        whose values and account it has
  needs      see etcdsafe.needs
  args       of etcdsafe, less the file of settings
  resources  of its container
  grace      seconds to end in
  restart    restartPolicy; "" for a Deployment's
  file       which settings it has, of the ConfigMap
  listen     whether it answers probes
*/}}
{{- define "etcdsafe.pod" -}}
{{- $v := .root.Values }}
{{- $pod := include "etcdsafe.podValues" . | fromJson }}
{{- $hostPKI := and .needs.etcd $v.kubeadm.hostPKI }}
metadata:
  labels:
    {{- include "etcdsafe.labels" (dict "root" .root "component" .component) | nindent 4 }}
    {{- with $pod.labels }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- $notes := $pod.annotations }}
  {{- if and .listen $v.cron.rollOnConfigChange }}
  {{- $notes = merge (dict "checksum/config" (sha256sum .settings)) $notes }}
  {{- end }}
  {{- with $notes }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .restart }}
  restartPolicy: {{ . }}
  {{- end }}
  serviceAccountName: {{ include "etcdsafe.account" . }}
  automountServiceAccountToken: {{ .needs.lease }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ int .grace }}
  securityContext:
    {{- include "etcdsafe.podSecurity" (dict "values" $v "hostPKI" $hostPKI "over" $pod.securityContext) | nindent 4 }}
  {{- with include "etcdsafe.placement" (dict "values" $v "pod" $pod "controlPlane" (and .needs.etcd (or $v.controlPlane $hostPKI))) | trim }}{{ . | nindent 2 }}{{ end }}
  containers:
    - name: etcdsafe
      image: {{ include "etcdsafe.image" .root }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args:
        {{- range .args }}
        - {{ quote . }}
        {{- end }}
        - --config=/etc/etcdsafe/config.yaml
      {{- include "etcdsafe.environment" (dict "values" $v "pod" $pod "needs" .needs "hostPKI" $hostPKI) | trim | nindent 6 }}
      {{- if .listen }}
      ports:
        - name: http
          containerPort: {{ int $v.cron.port }}
          protocol: TCP
      {{- include "etcdsafe.probes" (dict "cron" $v.cron "hostNetwork" $pod.hostNetwork) | trim | nindent 6 }}
      {{- end }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext:
        {{- include "etcdsafe.containerSecurity" $pod.containerSecurityContext | nindent 8 }}
      terminationMessagePolicy: FallbackToLogsOnError
      volumeMounts:
        {{- include "etcdsafe.mounts" (dict "values" $v "needs" .needs "hostPKI" $hostPKI) | nindent 8 }}
        {{- with $pod.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
  volumes:
    {{- include "etcdsafe.volumes" (dict "root" .root "needs" .needs "hostPKI" $hostPKI "file" .file) | nindent 4 }}
    {{- with $pod.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end }}

{{/* seLinuxOptions and appArmorProfile stay unset: the one costs a relabelling, the other is refused where AppArmor is off. */}}
{{- define "etcdsafe.podSecurity" -}}
{{- $own := dict "runAsNonRoot" true "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532 "fsGroupChangePolicy" "OnRootMismatch" "seccompProfile" (dict "type" "RuntimeDefault") }}
{{- if .hostPKI }}
{{- $own = include "etcdsafe.over" (list $own (dict "runAsNonRoot" false "runAsUser" 0 "runAsGroup" 0)) | fromJson }}
{{- else if eq .values.preset "openshift" }}
{{- $own = omit $own "runAsUser" "runAsGroup" "fsGroup" }}
{{- end }}
{{- include "etcdsafe.over" (list $own .over) | fromJson | toYaml }}
{{- end }}

{{- define "etcdsafe.containerSecurity" -}}
{{- $own := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) }}
{{- include "etcdsafe.over" (list $own .) | fromJson | toYaml }}
{{- end }}

{{- define "etcdsafe.placement" -}}
{{- $out := pick .pod "nodeName" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" "dnsConfig" "hostAliases" }}
{{- if .controlPlane }}
  {{- $tolerations := $out.tolerations }}
  {{- range list "node-role.kubernetes.io/control-plane" "node-role.kubernetes.io/master" "node.cloudprovider.kubernetes.io/uninitialized" }}
    {{- $tolerations = append $tolerations (dict "key" . "operator" "Exists" "effect" "NoSchedule") }}
  {{- end }}
  {{- $_ := set $out "tolerations" $tolerations }}
  {{- $_ := set $out "nodeSelector" (merge (deepCopy $out.nodeSelector) (dict "node-role.kubernetes.io/control-plane" "")) }}
{{- end }}
{{- with .values.imagePullSecrets }}{{ $_ := set $out "imagePullSecrets" . }}{{ end }}
{{- if .pod.hostNetwork }}
  {{- $_ := set $out "hostNetwork" true }}
  {{- $_ := set $out "dnsPolicy" "ClusterFirstWithHostNet" }}
{{- end }}
{{- range $key, $value := $out }}{{ if not $value }}{{ $_ := unset $out $key }}{{ end }}{{ end }}
{{- if $out }}{{ toYaml $out }}{{ end }}
{{- end }}

{{/* A failed job never makes these fail: they tell of the process alone. */}}
{{- define "etcdsafe.probes" -}}
{{- $probes := dict "livenessProbe" "/healthz" "readinessProbe" "/readyz" "startupProbe" "/healthz" }}
{{- range $probe, $path := $probes }}
{{ $probe }}:
  httpGet:
    path: {{ $path }}
    port: http
    {{- if $.hostNetwork }}
    host: 127.0.0.1
    {{- end }}
  {{- toYaml (index $.cron $probe) | nindent 2 }}
{{- end }}
{{- end }}
