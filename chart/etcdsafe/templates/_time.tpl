{{/* Whole seconds, upwards, of a duration as the settings take it: 90s, 1h30m, 1.5d. */}}
{{- define "etcdsafe.seconds" -}}
{{- $unit := dict "d" 86400.0 "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001 "us" 0.000001 "ns" 0.000000001 }}
{{- $sum := 0.0 }}
{{- range regexFindAll "[0-9.]+[a-z]+" (toString .) -1 }}
  {{- $sum = addf $sum (mulf (regexFind "[0-9.]+" . | float64) (get $unit (regexFind "[a-z]+" .))) }}
{{- end }}
{{- ceil $sum | int64 }}
{{- end }}

{{/* Deadline in seconds of one try of (root, job): its own, else that of all, else etcdsafe's. */}}
{{- define "etcdsafe.deadline" -}}
{{- $usual := ternary "6h" "2h" (eq .job "defrag") }}
{{- include "etcdsafe.seconds" (coalesce (index .root.Values .job).deadline (default dict .root.Values.config).deadline $usual) }}
{{- end }}

{{/*
How long a Job may take with all its tries, of (tries after the first, deadline, grace), in seconds: each try and its end,
and the pauses that Kubernetes makes between them, 10 s doubling to at most 6 min.
*/}}
{{- define "etcdsafe.activeDeadline" -}}
{{- $again := int64 .backoffLimit }}
{{- $sum := mul (add $again 1) (add (int64 .deadline) (int64 .grace)) }}
{{- $pause := 10 }}
{{- range until (int $again) }}
  {{- $sum = add $sum $pause }}
  {{- $pause = min 360 (mul 2 $pause) }}
{{- end }}
{{- $sum }}
{{- end }}
