{{/* What the schema cannot say. Every message names the value and what was expected. */}}
{{- define "pullback.refusals" -}}
{{- $rbac := .Values.rbac -}}
{{- if and $rbac.clusterWide $rbac.namespaces -}}
{{- fail "rbac: expected either namespaces or clusterWide: true, got both" -}}
{{- end -}}
{{- if not (or $rbac.clusterWide $rbac.namespaces) -}}
{{- fail "rbac: expected rbac.namespaces (where the canaries are: --set 'rbac.namespaces={shop,checkout}') or rbac.clusterWide=true, got neither" -}}
{{- end -}}
{{- $config := include "pullback.config" . | fromYaml -}}
{{- if and $rbac.namespaces (not $config.kubernetes.namespaces) -}}
{{- fail "config.kubernetes.namespaces: empty is the whole cluster, but rbac.namespaces allows only some; leave it out, it follows rbac.namespaces" -}}
{{- end -}}
{{- range $config.kubernetes.namespaces -}}
{{- if not (or $rbac.clusterWide (has . $rbac.namespaces)) -}}
{{- fail (printf "config.kubernetes.namespaces: %q is not in rbac.namespaces; leave it out, it follows rbac.namespaces" .) -}}
{{- end -}}
{{- end -}}
{{- range $door := list "alertmanager" "flagger" -}}
{{- $said := index $config.web $door -}}
{{- if not (or $said.bearer_token_files $said.password_files $said.allow_anonymous) -}}
{{- fail (printf "secrets.%s: expected a bearerToken or a password (secretName and key), or config.web.%s.allow_anonymous=true where a mesh authenticates callers itself" $door $door) -}}
{{- end -}}
{{- end -}}
{{- include "pullback.refusedFiles" . -}}
{{- if not (eq (int (default 8080 $config.web.port)) 8080) -}}
{{- fail "config.web.port: the container's port is 8080; the Service's is service.port" -}}
{{- end -}}
{{- if and .Values.service.hookPort (eq (int .Values.service.hookPort) (int .Values.service.port)) -}}
{{- fail "service.hookPort: expected another port than service.port, or 0 for none" -}}
{{- end -}}
{{- if and .Values.podDisruptionBudget.enabled (gt (int .Values.podDisruptionBudget.maxUnavailable) (int .Values.replicas)) -}}
{{- fail "podDisruptionBudget.maxUnavailable: expected no more than replicas" -}}
{{- end -}}
{{- if and .Values.alertmanagerConfig.enabled (not (include "pullback.alertmanagerToken" . | fromYaml)) -}}
{{- fail "alertmanagerConfig.token: expected secretName and key, or an entry in secrets.alertmanager.bearerTokens" -}}
{{- end -}}
{{- with .Values.drill -}}
{{- if .enabled -}}
{{- if not (or .alertmanagerUrls (dig "pull" "alertmanager_urls" (list) $config)) -}}
{{- fail "drill.alertmanagerUrls: expected where Alertmanager is (http://alertmanager-operated.monitoring:9093), here or in config.pull.alertmanager_urls" -}}
{{- end -}}
{{- if and $rbac.clusterWide (not .namespace) -}}
{{- fail "drill.namespace: expected one, with rbac.clusterWide there is no first of rbac.namespaces" -}}
{{- end -}}
{{- if and .namespace $config.kubernetes.namespaces (not (has .namespace $config.kubernetes.namespaces)) -}}
{{- fail (printf "drill.namespace: %q is not watched; expected one of %s" .namespace (join ", " $config.kubernetes.namespaces)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.people -}}
{{- if .approvalPolicy.enabled -}}
{{- if not (or .approvalPolicy.users .approvalPolicy.groups) -}}
{{- fail "people.approvalPolicy: expected users or groups; with neither nobody could approve anything" -}}
{{- end -}}
{{- if semverCompare "<1.30-0" $.Capabilities.KubeVersion.Version -}}
{{- fail (printf "people.approvalPolicy: needs Kubernetes 1.30 or newer (ValidatingAdmissionPolicy), this is %s" $.Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "pullback.refusedFiles" -}}
{{- $names := list -}}
{{- range .Values.secretFiles -}}
{{- if has .name $names -}}
{{- fail (printf "secretFiles: %q is there twice" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- range $door, $from := .Values.secrets -}}
{{- $references := concat $from.bearerTokens $from.passwords -}}
{{- if ne (len $references) (len (uniq $references)) -}}
{{- fail (printf "secrets.%s: the same key of the same Secret is there twice" $door) -}}
{{- end -}}
{{- end -}}
{{- $provided := include "pullback.providedFiles" . | fromYamlArray -}}
{{- range regexFindAll (printf "\"%s/[^\"]*\"" (include "pullback.secretsPath" .)) (.Values.config | toJson) -1 -}}
{{- $path := trimAll "\"" . -}}
{{- if not (has $path $provided) -}}
{{- fail (printf "config: names %s, which no secretFiles entry provides; there are: %s" $path (join ", " $provided)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
