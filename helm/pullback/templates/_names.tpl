{{- define "pullback.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Of every object; at most 44 characters, so that suffixes still fit into a label. */}}
{{- define "pullback.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 44 | trimSuffix "-" -}}
{{- else if contains (include "pullback.name" .) .Release.Name -}}
{{- .Release.Name | trunc 44 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "pullback.name" .) | trunc 44 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Never a version: a Deployment's selector cannot be changed by an upgrade. */}}
{{- define "pullback.selectorLabels" -}}
app.kubernetes.io/name: {{ include "pullback.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "pullback.labels" -}}
{{ include "pullback.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "pullback.serviceAccountName" -}}
{{- default (include "pullback.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "pullback.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "pullback.scheme" -}}
{{- if (include "pullback.config" . | fromYaml).web.tls.certificate_file }}https{{ else }}http{{ end -}}
{{- end -}}

{{- define "pullback.url" -}}
{{- printf "%s://%s.%s.svc:%d" (include "pullback.scheme" .) (include "pullback.fullname" .) .Release.Namespace (int .Values.service.port) -}}
{{- end -}}

{{/* `token` of an AlertmanagerConfig, as secretName and key. */}}
{{- define "pullback.alertmanagerToken" -}}
{{- $token := .Values.alertmanagerConfig.token -}}
{{- if $token.secretName -}}
{{- toYaml $token -}}
{{- else -}}
{{- toYaml (first (append .Values.secrets.alertmanager.bearerTokens dict)) -}}
{{- end -}}
{{- end -}}
