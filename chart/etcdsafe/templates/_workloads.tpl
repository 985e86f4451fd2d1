{{/*
What is to run, as JSON: a list of
  name        after the release's
  job         whose values, service account and component it has: the first of jobs
  jobs        what it does
  rights      those whose rights it has: jobs, less a verify that opens with the key of the run
One list, from which CronJobs, Deployments, accounts, roles, policies and settings are made.
*/}}
{{- define "etcdsafe.workloads" -}}
{{- $v := .Values }}
{{- $snapshot := ternary (list "snapshot" "verify") (list "snapshot") $v.snapshot.verify }}
{{- $all := list }}
{{- if eq $v.mode "cronjob" }}
  {{- if $v.snapshot.enabled }}{{ $all = append $all (dict "name" "snapshot" "job" "snapshot" "jobs" $snapshot "rights" (list "snapshot")) }}{{ end }}
  {{- range $job := list "prune" "verify" "defrag" }}
    {{- if (index $v $job).enabled }}{{ $all = append $all (dict "name" $job "job" $job "jobs" (list $job) "rights" (list $job)) }}{{ end }}
  {{- end }}
{{- else }}
  {{- $groups := list (list "snapshot" "defrag") (list "prune") (list "verify") }}
  {{- if $v.cron.single }}{{ $groups = list (list "snapshot" "defrag" "prune" "verify") }}{{ end }}
  {{- range $group := $groups }}
    {{- $jobs := list }}
    {{- range $job := $group }}{{ if (index $v $job).enabled }}{{ $jobs = append $jobs $job }}{{ end }}{{ end }}
    {{- if $jobs }}{{ $all = append $all (dict "name" (printf "cron-%s" (first $jobs)) "job" (first $jobs) "jobs" $jobs "rights" $jobs) }}{{ end }}
  {{- end }}
{{- end }}
{{- toJson $all }}
{{- end }}

{{/*
What Pods of (root, rights) must have, as JSON: etcd, recipients, identities, store (of snapshot and verify), prune (the
store's, with the right to delete), spool, lease.
*/}}
{{- define "etcdsafe.needs" -}}
{{- $r := .rights }}
{{- $etcd := or (has "snapshot" $r) (has "defrag" $r) }}
{{- $lease := and (eq (default "etcd" (default dict .root.Values.config).lock) "kubernetes") (or $etcd .cron) | not | not }}
{{- dict
  "etcd" $etcd
  "recipients" (has "snapshot" $r)
  "identities" (has "verify" $r)
  "store" (or (has "snapshot" $r) (has "verify" $r))
  "prune" (has "prune" $r)
  "spool" (or (has "snapshot" $r) (has "verify" $r))
  "lease" $lease
  | toJson }}
{{- end }}

{{/*
The names of the Leases that Pods of (root, workload, needs) take, as JSON: the lock of all runs, and with mode cron that by
which replicas elect. None where the cluster's name is not known here.
*/}}
{{- define "etcdsafe.leases" -}}
{{- $config := default dict .root.Values.config }}
{{- $lock := default "" $config.lockName }}
{{- if and (not $lock) $config.cluster }}{{ $lock = printf "etcdsafe-%s" $config.cluster }}{{ end }}
{{- $names := list }}
{{- if $lock }}
  {{- if .needs.etcd }}{{ $names = append $names $lock }}{{ end }}
  {{- if eq .root.Values.mode "cron" }}{{ $names = append $names (printf "etcdsafe.lead-%s.%s" .workload.job $lock) }}{{ end }}
{{- end }}
{{- toJson $names }}
{{- end }}
