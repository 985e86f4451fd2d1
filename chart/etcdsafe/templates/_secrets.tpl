{{/*
How secrets come to a Pod: as files in one read-only folder, /etc/etcdsafe, beside the settings, one folder for each
kind, and by variables that say where they are, in just the Pods that need them. What reaches stores may also be
variables of a Secret.
*/}}
{{- define "etcdsafe.environment" -}}
{{- $v := .values }}
{{- $store := include "etcdsafe.storeSecret" . | fromJson }}
{{- $etcd := ternary "/etc/kubernetes-pki" "/etc/etcdsafe/etcd" .hostPKI }}
env:
  {{- range $name, $path := dict "NODE_NAME" "spec.nodeName" "POD_NAME" "metadata.name" "POD_NAMESPACE" "metadata.namespace" "POD_IP" "status.podIP" "POD_SERVICE_ACCOUNT" "spec.serviceAccountName" }}
  - name: {{ $name }}
    valueFrom:
      fieldRef:
        fieldPath: {{ $path }}
  {{- end }}
  {{- if .needs.etcd }}
  {{- if or .hostPKI $v.etcd.existingSecret }}
  - name: ETCDSAFE_CACERT
    value: {{ $etcd }}/{{ ternary $v.kubeadm.caFile "ca.crt" .hostPKI }}
  {{- if not $v.insecure }}
  - name: ETCDSAFE_CERT
    value: {{ $etcd }}/{{ ternary $v.kubeadm.certFile "tls.crt" .hostPKI }}
  - name: ETCDSAFE_KEY
    value: {{ $etcd }}/{{ ternary $v.kubeadm.keyFile "tls.key" .hostPKI }}
  {{- end }}
  {{- end }}
  {{- if $v.etcd.passwordSecret }}
  - name: ETCDSAFE_PASSWORD_FILE
    value: /etc/etcdsafe/etcd/password
  {{- end }}
  {{- end }}
  {{- if and .needs.recipients $v.recipients.existingSecret }}
  - name: ETCDSAFE_RECIPIENTS_FILE
    value: /etc/etcdsafe/recipients/recipients.txt
  {{- end }}
  {{- if and .needs.identities $v.identities.existingSecret }}
  - name: ETCDSAFE_IDENTITIES_FILE
    value: /etc/etcdsafe/identities/identities.txt
  {{- end }}
  {{- if $store.googleKey }}
  - name: GOOGLE_APPLICATION_CREDENTIALS
    value: /etc/etcdsafe/store/google.json
  {{- end }}
  {{- if .needs.spool }}
  - name: ETCDSAFE_SPOOL_DIR
    value: /spool
  {{- end }}
  {{- with .pod.extraEnv }}{{ toYaml . | nindent 2 }}{{ end }}
{{- $from := .pod.extraEnvFrom }}
{{- if and $store.name (not $store.googleKey) }}
{{- $from = prepend $from (dict "secretRef" (dict "name" $store.name)) }}
{{- end }}
{{- with $from }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The Secret of (values, needs) that reaches stores, as JSON: name, googleKey. */}}
{{- define "etcdsafe.storeSecret" -}}
{{- $v := .values }}
{{- $own := and .needs.prune $v.prune.store.existingSecret }}
{{- if $own }}{{ dict "name" $v.prune.store.existingSecret "googleKey" $v.prune.store.googleKey | toJson }}
{{- else if or .needs.store (and .needs.prune $v.prune.store.shared) }}{{ dict "name" $v.store.existingSecret "googleKey" $v.store.googleKey | toJson }}
{{- else }}{{ dict | toJson }}
{{- end }}
{{- end }}

{{- define "etcdsafe.mounts" -}}
- name: settings
  mountPath: /etc/etcdsafe
  readOnly: true
{{- if .hostPKI }}
- name: pki
  mountPath: /etc/kubernetes-pki
  readOnly: true
{{- end }}
{{- if .needs.spool }}
- name: spool
  mountPath: /spool
{{- end }}
{{- if and (or .needs.store .needs.prune) (include "etcdsafe.claim" (dict "values" .values "name" "any")) }}
- name: store
  mountPath: {{ .values.store.claim.mountPath }}
{{- end }}
{{- end }}

{{/* The claim of a file store, of (values, name of the claim that the chart makes). */}}
{{- define "etcdsafe.claim" -}}
{{- if .values.store.claim.existing }}{{ .values.store.claim.existing }}
{{- else if .values.store.claim.create }}{{ .name }}
{{- end }}
{{- end }}

{{- define "etcdsafe.volumes" -}}
{{- $v := .root.Values }}
- name: settings
  projected:
    defaultMode: 0440
    sources:
      {{- if $v.existingConfig.secret }}
      {{- include "etcdsafe.source" (list $v.existingConfig.secret $v.existingConfig.key "config.yaml") | trim | nindent 6 }}
      {{- else }}
      - configMap:
          name: {{ include "etcdsafe.fullname" .root }}
          items:
            - key: {{ .file }}
              path: config.yaml
      {{- end }}
      {{- with include "etcdsafe.sources" (dict "values" $v "needs" .needs "hostPKI" .hostPKI) | trim }}{{ . | nindent 6 }}{{ end }}
{{- if .hostPKI }}
- name: pki
  hostPath:
    path: {{ $v.kubeadm.pkiPath }}
    type: Directory
{{- end }}
{{- if .needs.spool }}
- name: spool
  {{- if eq $v.spool.type "emptyDir" }}
  emptyDir:
    sizeLimit: {{ $v.spool.size }}
  {{- else }}
  ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $v.spool.storageClassName }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ $v.spool.size }}
  {{- end }}
{{- end }}
{{- $claim := include "etcdsafe.claim" (dict "values" $v "name" (printf "%s-store" (include "etcdsafe.fullname" .root))) }}
{{- if and $claim (or .needs.store .needs.prune) }}
- name: store
  persistentVolumeClaim:
    claimName: {{ $claim }}
{{- end }}
{{- end }}

{{- define "etcdsafe.sources" -}}
{{- $v := .values }}
{{- $store := include "etcdsafe.storeSecret" . | fromJson }}
{{- if .needs.etcd }}
{{- if and $v.etcd.existingSecret (not .hostPKI) }}
- secret:
    name: {{ $v.etcd.existingSecret }}
    items:
      - key: {{ $v.etcd.caKey }}
        path: etcd/ca.crt
      {{- if not $v.insecure }}
      - key: {{ $v.etcd.certKey }}
        path: etcd/tls.crt
      - key: {{ $v.etcd.keyKey }}
        path: etcd/tls.key
      {{- end }}
{{- end }}
{{- if $v.etcd.passwordSecret }}
{{- include "etcdsafe.source" (list $v.etcd.passwordSecret $v.etcd.passwordKey "etcd/password") }}
{{- end }}
{{- end }}
{{- if and .needs.recipients $v.recipients.existingSecret }}
{{- include "etcdsafe.source" (list $v.recipients.existingSecret $v.recipients.key "recipients/recipients.txt") }}
{{- end }}
{{- if and .needs.identities $v.identities.existingSecret }}
{{- include "etcdsafe.source" (list $v.identities.existingSecret $v.identities.key "identities/identities.txt") }}
{{- end }}
{{- if $store.googleKey }}
{{- include "etcdsafe.source" (list $store.name $store.googleKey "store/google.json") }}
{{- end }}
{{- if or .needs.store .needs.prune }}
{{- if $v.store.caSecret }}
{{- include "etcdsafe.source" (list $v.store.caSecret $v.store.caKey "store/ca.crt") }}
{{- end }}
{{- if $v.store.tokenAudience }}
- serviceAccountToken:
    audience: {{ $v.store.tokenAudience }}
    expirationSeconds: 3600
    path: store/token
{{- end }}
{{- end }}
{{- end }}

{{/* One key of a Secret as one file. */}}
{{- define "etcdsafe.source" }}
- secret:
    name: {{ index . 0 }}
    items:
      - key: {{ index . 1 }}
        path: {{ index . 2 }}
{{- end }}
