"""The command that takes back what was promoted: no traffic can be moved then, so the workload itself must go back."""

import shlex
from collections.abc import Iterable

from daemon.model.canary import Canary, Controller
from daemon.model.canary_revision import CanaryRevision, RevisionPhase


def command(canary: Canary, records: Iterable[CanaryRevision]) -> str:
    """``kubectl rollout undo``, to the last version that was promoted before where its number is known: what was tried
    in between and failed lies nearer."""
    if canary.controller is Controller.ARGO:
        return f"kubectl argo rollouts undo {shlex.quote(canary.ref.name)} -n {shlex.quote(canary.ref.namespace)}"
    if not canary.workload:
        return ""
    what = f"kubectl rollout undo deployment/{shlex.quote(canary.workload)} -n {shlex.quote(canary.workload_namespace)}"
    number = _last_good(canary, records)
    return f"{what} --to-revision={number}" if number else what


def _last_good(canary: Canary, records: Iterable[CanaryRevision]) -> str:
    promoted = [
        one for one in records
        if one.phase is RevisionPhase.PROMOTED and one.promoted_at is not None and one.revision != canary.revision
    ]  # fmt: skip
    newest = max(promoted, key=lambda one: (one.promoted_at or one.created_at, one.name), default=None)
    number = newest.workload_revision if newest is not None else ""
    return number if number.isascii() and number.isdigit() else ""
