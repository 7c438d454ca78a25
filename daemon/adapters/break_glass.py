"""Commands that do by hand what we could not: printed in the log and in every page, and they work as printed."""

import json
import shlex
from collections.abc import Sequence

from daemon.adapters import traffic
from daemon.model.decision import Evidence
from daemon.model.route import RoutePatch

_PLURALS = {
    kind: f"{module.RESOURCES[0].plural}.{module.RESOURCES[0].group}" for kind, module in traffic.discover().items()
}
"""A name with its group means one kind only, whatever else is installed."""


def commands(evidence: Evidence) -> Sequence[str]:
    """One ``kubectl patch`` per route that is still above 0, else what to look at."""
    patches = [route.zero for route in evidence.routes if route.zero is not None]
    if patches:
        return [patch_command(patch) for patch in patches]
    canary = evidence.canary
    if canary is None or not evidence.routes:
        return []
    return [
        f"kubectl get {_PLURALS.get(route.ref.kind, route.ref.kind.lower())} {shlex.quote(route.ref.name)} "
        f"-n {shlex.quote(route.ref.namespace)} -o jsonpath={shlex.quote('{.spec}')}"
        for route in evidence.routes
    ]


def patch_command(patch: RoutePatch) -> str:
    """The patch as a line for a shell."""
    document = json.dumps([operation.as_json() for operation in patch.operations], separators=(",", ":"))
    kind = _PLURALS.get(patch.route.kind, patch.route.kind.lower())
    return (
        f"kubectl patch {kind} {shlex.quote(patch.route.name)} -n {shlex.quote(patch.route.namespace)} "
        f"--type=json -p {shlex.quote(document)}"
    )
