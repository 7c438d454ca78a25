{{/* Where what is to be stopped lies only the routes tell; that it lies nowhere can be said before the first fight. */}}
{{- define "pullback.refusedGitops" -}}
{{- if and .Values.rbac.create (not .Values.gitops.namespaces) -}}
{{- $said := dig "follow_ups" "gitops" "off" .Values.config -}}
{{- $wanted := kindIs "map" $said | ternary (kindIs "map" $said | ternary $said (dict) | values) (list $said) -}}
{{- if has "suspend" $wanted -}}
{{- fail "config.follow_ups.gitops: suspend needs gitops.namespaces, where the Kustomizations, HelmReleases or Applications are" -}}
{{- end -}}
{{- end -}}
{{- end -}}
