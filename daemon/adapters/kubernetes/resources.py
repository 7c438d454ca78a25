"""The kinds this daemon touches, as the API server serves them."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """One kind in one version: what a REST path and a log line need."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}/{self.version}"


CANARIES = Resource("flagger.app", "v1beta1", "canaries", "Canary")
VIRTUAL_SERVICES_V1 = Resource("networking.istio.io", "v1", "virtualservices", "VirtualService")
VIRTUAL_SERVICES_V1BETA1 = Resource("networking.istio.io", "v1beta1", "virtualservices", "VirtualService")
HTTP_ROUTES_V1 = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
HTTP_ROUTES_V1BETA1 = Resource("gateway.networking.k8s.io", "v1beta1", "httproutes", "HTTPRoute")
GRPC_ROUTES_V1 = Resource("gateway.networking.k8s.io", "v1", "grpcroutes", "GRPCRoute")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
ROLLBACKS = Resource("pullback.dev", "v1alpha1", "rollbacks", "Rollback")
CANARY_REVISIONS = Resource("pullback.dev", "v1alpha1", "canaryrevisions", "CanaryRevision")
SELF_SUBJECT_REVIEWS = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
PODS = Resource("", "v1", "pods", "Pod")
EVENTS = Resource("", "v1", "events", "Event")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
HORIZONTAL_POD_AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
SCALED_OBJECTS = Resource("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject")
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
JOBS = Resource("batch", "v1", "jobs", "Job")
DESTINATION_RULES_V1 = Resource("networking.istio.io", "v1", "destinationrules", "DestinationRule")
DESTINATION_RULES_V1BETA1 = Resource("networking.istio.io", "v1beta1", "destinationrules", "DestinationRule")
ROLLOUTS = Resource("argoproj.io", "v1alpha1", "rollouts", "Rollout")
SERVICES = Resource("", "v1", "services", "Service")
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress")
