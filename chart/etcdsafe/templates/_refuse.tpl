{{/* Fails with all that is wrong with the values and that their schema cannot tell. */}}
{{- define "etcdsafe.refuse" -}}
{{- if not .Values.config }}{{ $_ := set .Values "config" dict }}{{ end }}
{{- $faults := concat (include "etcdsafe.missing" . | fromJsonArray) (include "etcdsafe.unsafe" . | fromJsonArray) (include "etcdsafe.misfits" . | fromJsonArray) }}
{{- if $faults }}{{ fail (printf "\n\n%s\n" (join "\n" $faults)) }}{{ end }}
{{- end }}

{{- define "etcdsafe.missing" -}}
{{- $v := .Values }}
{{- $f := list }}
{{- $etcd := or $v.snapshot.enabled $v.defrag.enabled }}
{{- if not (or $etcd $v.prune.enabled $v.verify.enabled) }}
  {{- $f = append $f "no job is enabled: set snapshot.enabled, prune.enabled, verify.enabled or defrag.enabled" }}
{{- end }}
{{- if not (include "etcdsafe.given" (dict "root" . "key" "cluster" "name" "ETCDSAFE_CLUSTER")) }}
  {{- $f = append $f "config.cluster: give the cluster a name, under which its archives lie in every store" }}
{{- end }}
{{- if not (include "etcdsafe.given" (dict "root" . "key" "stores" "name" "ETCDSAFE_STORES")) }}
  {{- $f = append $f "config.stores: say where archives go, e.g. s3://bucket/prefix?region=eu-1" }}
{{- end }}
{{- if and $etcd (not (include "etcdsafe.given" (dict "root" . "key" "endpoints" "name" "ETCDSAFE_ENDPOINTS"))) }}
  {{- $f = append $f "config.endpoints: say where etcd is, e.g. https://10.0.0.1:2379" }}
{{- end }}
{{- if and $v.snapshot.enabled (not $v.config.plaintext) (not $v.recipients.existingSecret) (not (include "etcdsafe.given" (dict "root" . "key" "recipients" "name" "ETCDSAFE_RECIPIENTS"))) }}
  {{- $f = append $f "recipients.existingSecret: name the Secret with age recipients, or give config.recipients (etcdsafe keygen makes one)" }}
{{- end }}
{{- if and $v.verify.enabled (not $v.identities.existingSecret) (not $v.existingConfig.secret) (ne (dig "verify" "level" "" $v.config) "stored") }}
  {{- $f = append $f "identities.existingSecret: verify opens archives and needs the Secret with age identities; or set config.verify.level to stored" }}
{{- end }}
{{- if and $v.defrag.enabled (not $v.existingConfig.secret) (not (dig "defrag" "rule" "" $v.config)) }}
  {{- $f = append $f "config.defrag.rule: choose when a member is defragmented, e.g. (fragmentation >= 0.5 || dbQuotaUsage >= 0.5) && dbSizeFree >= 100*1024*1024" }}
{{- end }}
{{- $policy := omit (default dict $v.config.prune) "keepMin" }}
{{- $rules := 0 }}
{{- range $key, $value := $policy }}{{ if and $value (or (hasPrefix "keep" $key) (hasPrefix "max" $key)) }}{{ $rules = add1 $rules }}{{ end }}{{ end }}
{{- if and $v.prune.enabled (not $v.existingConfig.secret) (eq (int $rules) 0) }}
  {{- $f = append $f "config.prune: say what to keep, e.g. keepDaily: 7; an empty policy is refused" }}
{{- end }}
{{- if and $v.manual.enabled (not $v.snapshot.enabled) }}
  {{- $f = append $f "manual.enabled: needs snapshot.enabled, whose account and settings it has; set snapshot.suspend to take none by schedule" }}
{{- end }}
{{- toJson $f }}
{{- end }}

{{- define "etcdsafe.unsafe" -}}
{{- $v := .Values }}
{{- $f := list }}
{{- $etcd := or $v.snapshot.enabled $v.defrag.enabled }}
{{- if eq .Release.Namespace "kube-system" }}
  {{- $f = append $f "namespace kube-system: what runs there may do more than it should; install into a namespace of its own" }}
{{- end }}
{{- if and $etcd (not $v.insecure) (not $v.kubeadm.hostPKI) (not $v.etcd.existingSecret) }}
  {{- $f = append $f "etcd.existingSecret: name the Secret with etcd's CA and a client certificate, or set insecure: true" }}
{{- end }}
{{- if and (not $v.insecure) (regexMatch "(^|[, ])http://" (join "," (default list $v.config.endpoints | toStrings))) }}
  {{- $f = append $f "config.endpoints: http:// is read by whoever is between; use https://, or set insecure: true" }}
{{- end }}
{{- $own := $v.prune.store.existingSecret }}
{{- $two := and $v.prune.enabled $v.store.existingSecret }}
{{- $joined := and (eq $v.mode "cron") $v.cron.single }}
{{- if and $two (not $own) (not $v.prune.store.shared) (not $joined) }}
  {{- $f = append $f "prune.store.existingSecret: name the Secret whose credentials may delete archives; snapshot's should not. Or set prune.store.shared: true" }}
{{- end }}
{{- if and $two (eq $own $v.store.existingSecret) (not $v.prune.store.shared) }}
  {{- $f = append $f "prune.store.existingSecret: is also store.existingSecret, so the Pod that holds etcd's key can delete archives; set prune.store.shared: true to have it so" }}
{{- end }}
{{- if and $joined $v.store.existingSecret $own (ne $own $v.store.existingSecret) }}
  {{- $f = append $f "cron.single: one Pod has one Secret for stores; leave prune.store.existingSecret empty" }}
{{- end }}
{{- $f = concat $f (include "etcdsafe.plainSecrets" . | fromJsonArray) }}
{{- toJson $f }}
{{- end }}

{{/* Variables with a plain value whose name says that it is secret. */}}
{{- define "etcdsafe.plainSecrets" -}}
{{- $f := list }}
{{- range $where := list "pod" "snapshot" "prune" "verify" "defrag" }}
  {{- $pod := index $.Values $where }}
  {{- if ne $where "pod" }}{{ $pod = $pod.pod }}{{ end }}
  {{- range default list $pod.extraEnv }}
    {{- if and .value (regexMatch "(?i)(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|CONNECTION_?STRING|_KEY$|IDENTIT)" .name) (not (regexMatch "(_FILE|_PATH|_URI|_ENDPOINT)$|^GOOGLE_APPLICATION_CREDENTIALS$" .name)) }}
      {{- $f = append $f (printf "extraEnv of %s: %s is a secret and must come by valueFrom.secretKeyRef, not as a value" $where .name) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- toJson $f }}
{{- end }}

{{- define "etcdsafe.misfits" -}}
{{- $v := .Values }}
{{- $f := list }}
{{- if and $v.kubeadm.hostPKI (ne $v.preset "kubeadm") }}
  {{- $f = append $f "kubeadm.hostPKI: is for preset kubeadm" }}
{{- end }}
{{- $claim := or $v.store.claim.existing $v.store.claim.create }}
{{- range $job := list "snapshot" "prune" "verify" }}
  {{- $own := index $v $job }}
  {{- if and $claim $own.enabled (ne $own.concurrencyPolicy "Forbid") }}
    {{- $f = append $f (printf "%s.concurrencyPolicy: must be Forbid with store.claim, which one run has at a time" $job) }}
  {{- end }}
{{- end }}
{{- if and $v.defrag.enabled (ne $v.defrag.concurrencyPolicy "Forbid") }}
  {{- $f = append $f "defrag.concurrencyPolicy: must be Forbid: a defragmentation at work is neither joined by another nor stopped" }}
{{- end }}
{{- if eq $v.mode "cron" }}{{ $f = concat $f (include "etcdsafe.cronMisfits" . | fromJsonArray) }}{{ end }}
{{- toJson $f }}
{{- end }}

{{- define "etcdsafe.cronMisfits" -}}
{{- $v := .Values }}
{{- $f := list }}
{{- if $v.existingConfig.secret }}
  {{- $f = append $f "existingConfig.secret: the chart writes the schedules of mode cron into the settings, so it needs them in config" }}
{{- end }}
{{- range $job := list "snapshot" "prune" "verify" "defrag" }}
  {{- $own := index $v $job }}
  {{- if and $own.enabled $own.deadline }}
    {{- $f = append $f (printf "%s.deadline: a process of mode cron has one deadline for its jobs: set config.deadline" $job) }}
  {{- end }}
{{- end }}
{{- if and $v.verify.enabled (ne $v.verify.archives "latest") }}
  {{- $f = append $f "verify.archives: is always latest in mode cron" }}
{{- end }}
{{- if ge (include "etcdsafe.seconds" $v.cron.drain | int) (int $v.cron.terminationGracePeriodSeconds) }}
  {{- $f = append $f "cron.drain: must be shorter than cron.terminationGracePeriodSeconds, after which runs are killed" }}
{{- end }}
{{- if gt (int $v.cron.replicas) 1 }}
  {{- if or $v.store.claim.existing $v.store.claim.create }}
    {{- $f = append $f "cron.replicas: must be 1 with store.claim, which one Pod has at a time" }}
  {{- end }}
  {{- if eq (default "etcd" $v.config.lock) "none" }}
    {{- $f = append $f "cron.replicas: must be 1 with config.lock: none, by which nobody knows of another" }}
  {{- end }}
{{- end }}
{{- if and (or $v.store.claim.existing $v.store.claim.create) (ne $v.cron.strategy "Recreate") }}
  {{- $f = append $f "cron.strategy: must be Recreate with store.claim, which one Pod has at a time" }}
{{- end }}
{{- toJson $f }}
{{- end }}
