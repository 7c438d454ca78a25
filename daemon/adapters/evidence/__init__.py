"""What a canary's pods said and why they died, kept in a ConfigMap before they go away."""

from daemon.adapters.evidence.bounds import Bounds
from daemon.adapters.evidence.redacting import DEFAULT_PATTERNS, compiled
from daemon.adapters.evidence.room import KubernetesEvidence

__all__ = ["DEFAULT_PATTERNS", "Bounds", "KubernetesEvidence", "compiled"]
