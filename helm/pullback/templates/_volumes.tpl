{{/* Sources of the projected volume: one item for each reference. */}}
{{- define "pullback.secretSources" -}}
{{- $sources := list -}}
{{- range $door, $from := .Values.secrets -}}
{{- range concat $from.bearerTokens $from.passwords -}}
{{- $path := printf "doors/%s/%s/%s" $door .secretName .key -}}
{{- $sources = append $sources (dict "secret" (dict "name" .secretName "items" (list (dict "key" .key "path" $path)))) -}}
{{- end -}}
{{- end -}}
{{- range .Values.secretFiles -}}
{{- $sources = append $sources (dict "secret" (dict "name" .secretName "items" (list (dict "key" .key "path" .name)))) -}}
{{- end -}}
{{- if $sources -}}{{- toYaml $sources -}}{{- end -}}
{{- end -}}
