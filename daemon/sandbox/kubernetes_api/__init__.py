"""A Kubernetes API server small enough to start within a test, truthful enough to be mistaken for one."""

from daemon.sandbox.kubernetes_api.faults import Call, Fault, Faults, RequestLog
from daemon.sandbox.kubernetes_api.server import KubernetesApi, read_definitions
from daemon.sandbox.kubernetes_api.statuses import ApiError

__all__ = ["ApiError", "Call", "Fault", "Faults", "KubernetesApi", "RequestLog", "read_definitions"]
