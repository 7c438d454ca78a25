{{/* A release that is configured and may not be touched would be given up at the first rollback, not before. */}}
{{- define "pullback.refusedReleases" -}}
{{- if .Values.rbac.create -}}
{{- range $canary, $value := dig "follow_ups" "helm" (dict) .Values.config -}}
{{- $namespace := default (first (splitList "/" $canary)) $value.namespace -}}
{{- if not (has $namespace $.Values.helm.namespaces) -}}
{{- fail (printf "config.follow_ups.helm: the release of %q is in namespace %q, which is not in helm.namespaces" $canary $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
