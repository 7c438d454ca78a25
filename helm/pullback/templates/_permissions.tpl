{{/*
What the daemon asks of the API server where canaries are, and nothing else: each verb is one call in daemon/adapters.
No wildcard, no secrets. A new kind of route, check or cleanup that calls something new needs a line here.
*/}}
{{- define "pullback.permissions" -}}
# The canaries themselves: watched; annotated (pauses by alerts, used approvals), spec.progressDeadlineSeconds (nudge).
- apiGroups: [flagger.app]
  resources: [canaries]
  verbs: [get, list, watch, patch]
# The brake.
- apiGroups: [networking.istio.io]
  resources: [virtualservices]
  verbs: [get, list, watch, patch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes, grpcroutes]
  verbs: [get, list, watch, patch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, patch]
# By which labels the pods of a subset are known.
- apiGroups: [networking.istio.io]
  resources: [destinationrules]
  verbs: [get, list, watch]
# Argo Rollouts: watched; annotated like canaries; aborted through the status, as its own plugin does.
- apiGroups: [argoproj.io]
  resources: [rollouts]
  verbs: [get, list, watch, patch]
- apiGroups: [argoproj.io]
  resources: [rollouts/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch]
# Cleanup: replicas only, never the pod template.
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
# Records: written ahead, read, pruned.
- apiGroups: [pullback.dev]
  resources: [rollbacks, canaryrevisions]
  verbs: [get, list, watch, create, delete]
- apiGroups: [pullback.dev]
  resources: [rollbacks/status, canaryrevisions/status]
  verbs: [patch]
# Autoscalers that would scale up again what cleanup has scaled down.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, patch]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [list, patch]
# Evidence: read before the pods go, kept in a ConfigMap beside the record.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create]
# Read as evidence; written for `kubectl describe canary`.
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
{{- if include "pullback.divertsServices" . }}
# rollback.second_brake is on. Who may patch Services may send anybody's requests elsewhere in that namespace.
- apiGroups: [""]
  resources: [services]
  verbs: [get, patch]
{{- end }}
{{- if include "pullback.runsJobs" . }}
# A check of kind `job` is configured. Who may create Jobs may run anything in that namespace, with its Secrets.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, create]
{{- end }}
{{- end -}}
