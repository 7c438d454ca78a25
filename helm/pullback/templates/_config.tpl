{{- define "pullback.secretsPath" -}}/etc/pullback/secrets{{- end -}}
{{- define "pullback.tlsPath" -}}/etc/pullback/tls{{- end -}}

{{/* Paths of one list of secret references. Takes (dict "door" "list" "from"). */}}
{{- define "pullback.doorFiles" -}}
{{- $files := list -}}
{{- range .from -}}
{{- $files = append $files (printf "%s/doors/%s/%s/%s" (include "pullback.secretsPath" $) $.door .secretName .key) -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{/* What the chart knows by itself, and values.config over it. */}}
{{- define "pullback.config" -}}
{{- $web := dict "tls" (dict) -}}
{{- range $door, $from := .Values.secrets -}}
{{- $tokens := include "pullback.doorFiles" (dict "door" $door "from" $from.bearerTokens) | fromYamlArray -}}
{{- $passwords := include "pullback.doorFiles" (dict "door" $door "from" $from.passwords) | fromYamlArray -}}
{{- $_ := set $web $door (dict "bearer_token_files" $tokens "password_files" $passwords) -}}
{{- end -}}
{{- if .Values.tls.secretName -}}
{{- $path := include "pullback.tlsPath" . -}}
{{- $_ := set $web "tls" (dict "certificate_file" (printf "%s/tls.crt" $path) "key_file" (printf "%s/tls.key" $path)) -}}
{{- end -}}
{{- $generated := dict "web" $web "kubernetes" (dict "namespaces" (uniq .Values.rbac.namespaces)) "lease" (dict "name" (include "pullback.fullname" .)) -}}
{{- toYaml (mustMergeOverwrite $generated (deepCopy .Values.config)) -}}
{{- end -}}

{{/* Seconds, rounded up, of what the daemon takes for a duration: a number, or 250ms, 30s, 5m, 1h, 1d. */}}
{{- define "pullback.seconds" -}}
{{- $text := toString . | nospace -}}
{{- if not (regexMatch "^[0-9]+([.][0-9]+)?(ms|s|m|h|d)?$" $text) -}}
{{- fail (printf "expected a duration such as 30s, 5m or 250ms, got %q" $text) -}}
{{- end -}}
{{- $unit := regexFind "[a-z]+$" $text -}}
{{- $number := trimSuffix $unit $text | float64 -}}
{{- $milliseconds := mulf $number (index (dict "ms" 1.0 "s" 1000.0 "" 1000.0 "m" 60000.0 "h" 3600000.0 "d" 86400000.0) $unit) -}}
{{- ceil (divf $milliseconds 1000.0) | int64 -}}
{{- end -}}

{{/* Every file below the secrets' path that something provides. */}}
{{- define "pullback.providedFiles" -}}
{{- $files := list -}}
{{- range $door, $from := .Values.secrets -}}
{{- $files = concat $files (include "pullback.doorFiles" (dict "door" $door "from" $from.bearerTokens) | fromYamlArray) -}}
{{- $files = concat $files (include "pullback.doorFiles" (dict "door" $door "from" $from.passwords) | fromYamlArray) -}}
{{- end -}}
{{- range .Values.secretFiles -}}
{{- $files = append $files (printf "%s/%s" (include "pullback.secretsPath" $) .name) -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{/* Whether a canary's Service may be pointed at the stable pods. */}}
{{- define "pullback.divertsServices" -}}
{{- if ne (toString (dig "rollback" "second_brake" "none" .Values.config)) "none" -}}yes{{- end -}}
{{- end -}}

{{/* Whether a check is made by Kubernetes Jobs: only then may the daemon create them. */}}
{{- define "pullback.runsJobs" -}}
{{- $checks := dig "gates" "checks" (dict) .Values.config -}}
{{- range $_, $check := $checks -}}
{{- if eq (toString $check.kind) "job" -}}yes{{- end -}}
{{- end -}}
{{- end -}}
