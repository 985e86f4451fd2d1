{{/* The release's name, short enough for a CronJob, whose Jobs add 11 characters to at most 52. */}}
{{- define "etcdsafe.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "etcdsafe.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 36 | trimSuffix "-" }}
{{- else if contains (include "etcdsafe.name" .) .Release.Name }}
{{- .Release.Name | trunc 36 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "etcdsafe.name" .) | trunc 36 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels that a selector may use, of (root, component). */}}
{{- define "etcdsafe.selector" -}}
app.kubernetes.io/name: {{ include "etcdsafe.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "etcdsafe.labels" -}}
{{ include "etcdsafe.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 }}
{{- end }}

{{/* The service account of (root, job). */}}
{{- define "etcdsafe.account" -}}
{{- $account := (index .root.Values .job).serviceAccount }}
{{- if $account.name }}{{ $account.name }}
{{- else if $account.create }}{{ include "etcdsafe.fullname" .root }}-{{ .job }}
{{- else }}default
{{- end }}
{{- end }}

{{- define "etcdsafe.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end }}
{{- end }}
{{- end }}
