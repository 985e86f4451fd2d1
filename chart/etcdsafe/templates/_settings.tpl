{{/* The config file of CronJobs, and of what asks about them. */}}
{{- define "etcdsafe.config" -}}
{{ toYaml (default dict .Values.config) }}
{{- end }}

{{/*
The config file of a Deployment of (root, workload): with its own lines, and its own group of replicas.
*/}}
{{- define "etcdsafe.cronConfig" -}}
{{- $v := .root.Values }}
{{- $lines := dict }}
{{- range $job := .workload.jobs }}
  {{- $own := index $v $job }}
  {{- $line := dict "schedule" $own.schedule "concurrencyPolicy" (lower $own.concurrencyPolicy) "startingDeadline" (printf "%ds" (int64 $own.startingDeadlineSeconds)) "suspend" $own.suspend }}
  {{- $name := ternary "snapshot,verify" $job (and (eq $job "snapshot") $v.snapshot.verify) }}
  {{- $_ := set $lines $name $line }}
{{- end }}
{{- $listen := printf "%s:%d" (ternary "127.0.0.1" "0.0.0.0" (include "etcdsafe.hostNetwork" (dict "root" .root "job" .workload.job) | eq "true")) (int $v.cron.port) }}
{{- $cron := dict "schedules" $lines "timeZone" $v.timeZone "jitter" $v.cron.jitter "drain" $v.cron.drain "group" .workload.job "listen" $listen }}
{{- toYaml (set (deepCopy $v.config) "cron" $cron) }}
{{- end }}

{{/* Whether a setting of (root, name, key) is given: in config, or by a variable; or it may be, in what the
chart does not see. */}}
{{- define "etcdsafe.given" -}}
{{- if or (index (default dict .root.Values.config) .key) .root.Values.existingConfig.secret }}true{{ end }}
{{- if .root.Values.pod.extraEnvFrom }}true{{ end }}
{{- range .root.Values.pod.extraEnv }}{{ if eq .name $.name }}true{{ end }}{{ end }}
{{- end }}
