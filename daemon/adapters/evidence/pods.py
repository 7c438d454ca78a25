"""Which pods of a Deployment are looked at, and which of their logs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]
_STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


def name_of(pod: Json) -> str:
    return str((pod.get("metadata") or {}).get("name") or "")


def selector(spec: Json) -> str:
    """A Deployment's ``spec.selector`` as the labelSelector of a list; empty when it selects nothing in particular."""
    terms = [f"{key}={value}" for key, value in sorted((spec.get("matchLabels") or {}).items())]
    for one in spec.get("matchExpressions") or ():
        key, values = one.get("key"), ",".join(one.get("values") or ())
        match one.get("operator"):
            case "In":
                terms.append(f"{key} in ({values})")
            case "NotIn":
                terms.append(f"{key} notin ({values})")
            case "Exists":
                terms.append(f"{key}")
            case "DoesNotExist":
                terms.append(f"!{key}")
    return ",".join(terms)


def chosen(pods: Sequence[Json], most: int) -> list[Json]:
    """Those in trouble before those that are well, the newest of each first."""
    newest = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp") or ""), reverse=True)
    return sorted(newest, key=lambda pod: 0 if in_trouble(pod) else 1)[:most]


def in_trouble(pod: Json) -> bool:
    return not ready(pod) or restarts(pod) > 0


def ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def restarts(pod: Json) -> int:
    return sum(int(one.get("restartCount") or 0) for _, one in container_statuses(pod))


def container_statuses(pod: Json) -> Iterator[tuple[str, Json]]:
    """Every container's status, and in which of the three lists it stands."""
    status = pod.get("status") or {}
    for part in _STATUSES:
        for one in status.get(part) or ():
            yield part, one


def logs_of(pod: Json) -> Iterator[tuple[str, bool]]:
    """Which containers to ask for what they wrote, and whether before their last restart.

    Not those that never started; of the init containers only those that did not simply succeed.
    """
    known = set()
    for part, one in container_statuses(pod):
        name, state = str(one.get("name") or ""), one.get("state") or {}
        known.add(name)
        restarted = bool(one.get("restartCount") or (one.get("lastState") or {}).get("terminated"))
        ended = state.get("terminated")
        if part == "initContainerStatuses" and ended and not ended.get("exitCode") and not restarted:
            continue
        if "waiting" not in state or restarted:
            yield name, False
        if restarted:
            yield name, True
    for container in (pod.get("spec") or {}).get("containers") or ():
        # A kubelet that has not reported yet may all the same have started it.
        if container.get("name") not in known:
            yield str(container.get("name") or ""), False
