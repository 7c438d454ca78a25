"""Commands that do by hand what we could not: printed in the log and in every page, and they work as printed."""

import json
import shlex
from collections.abc import Sequence

from daemon.adapters import argo_rollouts, traffic
from daemon.model.canary import Canary, Controller
from daemon.model.decision import Evidence
from daemon.model.route import RoutePatch

_PLURALS = {
    kind: f"{module.RESOURCES[0].plural}.{module.RESOURCES[0].group}" for kind, module in traffic.discover().items()
}
"""A name with its group means one kind only, whatever else is installed."""


def commands(evidence: Evidence) -> Sequence[str]:
    """One ``kubectl patch`` per route that is still above 0, else what to look at."""
    canary = evidence.canary
    aborts = [abort_command(canary)] if canary is not None and _is_to_abort(canary) else []
    patches = [route.zero for route in evidence.routes if route.zero is not None]
    if patches or aborts:
        return [*aborts, *(patch_command(patch) for patch in patches)]
    if canary is None or not evidence.routes:
        return []
    return [
        f"kubectl get {_PLURALS.get(route.ref.kind, route.ref.kind.lower())} {shlex.quote(route.ref.name)} "
        f"-n {shlex.quote(route.ref.namespace)} -o jsonpath={shlex.quote('{.spec}')}"
        for route in evidence.routes
    ]


def abort_command(canary: Canary) -> str:
    """Without its plugin, which not everybody has at hand."""
    document = json.dumps(argo_rollouts.ABORT, separators=(",", ":"))
    return (
        f"kubectl patch rollouts.argoproj.io {shlex.quote(canary.ref.name)} -n {shlex.quote(canary.ref.namespace)} "
        f"--subresource=status --type=merge -p {shlex.quote(document)}"
    )


def _is_to_abort(canary: Canary) -> bool:
    return canary.controller is Controller.ARGO and canary.under_analysis and not canary.aborting


def patch_command(patch: RoutePatch) -> str:
    """The patch as a line for a shell."""
    document = json.dumps([operation.as_json() for operation in patch.operations], separators=(",", ":"))
    kind = _PLURALS.get(patch.route.kind, patch.route.kind.lower())
    return (
        f"kubectl patch {kind} {shlex.quote(patch.route.name)} -n {shlex.quote(patch.route.namespace)} "
        f"--type=json -p {shlex.quote(document)}"
    )
