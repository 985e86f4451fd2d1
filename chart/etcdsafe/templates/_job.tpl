{{/*
A CronJob of (root, name, job, jobs, rights, schedule, suspend, ttl). Exit codes end a Job or are tried again as the table in
README.md says. defrag is tried once: a node that is drained in mid-work must not bring a second one beside the first.
*/}}
{{- define "etcdsafe.cronJob" -}}
{{- $own := index .root.Values .job }}
{{- $once := eq .job "defrag" }}
{{- $again := ternary 0 $own.backoffLimit $once }}
{{- $deadline := include "etcdsafe.deadline" . }}
{{- $needs := include "etcdsafe.needs" (dict "root" .root "rights" .rights) | fromJson }}
{{- $args := .jobs }}
{{- if gt (len .jobs) 1 }}{{ $args = list "run" (join "," .jobs) }}{{ else if eq .job "verify" }}{{ $args = list "verify" $own.archives }}{{ end }}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ include "etcdsafe.fullname" .root }}-{{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "etcdsafe.labels" (dict "root" .root "component" .job) | nindent 4 }}
spec:
  schedule: {{ .schedule | quote }}
  timeZone: {{ .root.Values.timeZone }}
  suspend: {{ .suspend }}
  concurrencyPolicy: {{ $own.concurrencyPolicy }}
  startingDeadlineSeconds: {{ int $own.startingDeadlineSeconds }}
  successfulJobsHistoryLimit: {{ int $own.successfulJobsHistoryLimit }}
  failedJobsHistoryLimit: {{ int $own.failedJobsHistoryLimit }}
  jobTemplate:
    metadata:
      labels:
        {{- include "etcdsafe.labels" (dict "root" .root "component" .job) | nindent 8 }}
    spec:
      backoffLimit: {{ int $again }}
      activeDeadlineSeconds: {{ include "etcdsafe.activeDeadline" (dict "backoffLimit" $again "deadline" $deadline "grace" $own.terminationGracePeriodSeconds) }}
      {{- with .ttl }}
      ttlSecondsAfterFinished: {{ int . }}
      {{- end }}
      podFailurePolicy:
        rules:
          {{- if not $once }}
          - action: Ignore
            onPodConditions:
              - type: DisruptionTarget
                status: "True"
          {{- end }}
          - action: FailJob
            onExitCodes:
              containerName: etcdsafe
              operator: In
              values: [2, 3, 10, 11, 12, 13, 16]
          - action: Count
            onExitCodes:
              containerName: etcdsafe
              operator: In
              values: [1, 14, 15, 137, 143]
      template:
        {{- include "etcdsafe.pod" (dict "root" .root "component" .job "job" .job "needs" $needs "args" (concat $args (list (printf "--deadline=%ss" $deadline))) "resources" $own.resources "grace" $own.terminationGracePeriodSeconds "restart" "Never" "file" "config.yaml" "listen" false) | trim | nindent 8 }}
{{- end }}
