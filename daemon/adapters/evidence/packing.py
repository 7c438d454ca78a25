"""The ConfigMap: what goes into it and how large it may be, and how it is read again."""

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.adapters import times
from daemon.adapters.kubernetes.resources import CONFIG_MAPS, ROLLBACKS
from daemon.model.keeping import KeptEvidence, fitting
from daemon.model.rollback import Rollback

AT = "pullback.dev/evidence-at"
PODS = "pullback.dev/evidence-pods"
MISSING = "pullback.dev/evidence-missing"

MISSING_MOST = 40
_ANNOTATION_MOST = 64 * 1024
_TOTAL_MOST = 1_000_000  # of the 1 MiB that a ConfigMap takes
_CUT = "... cut: what came before is not kept ...\n"
_ENDED = "\n... cut: the rest is not kept ...\n"
_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def key_of(pod: str, container: str, *, previous: bool) -> str:
    """The key of a log."""
    return fitting(pod, f".{container}.previous.log" if previous else f".{container}.log")


def bounded(missing: Sequence[str]) -> tuple[str, ...]:
    """As many as a record can hold."""
    more = len(missing) - MISSING_MOST
    return (*missing[:MISSING_MOST], f"and {more} more") if more > 0 else tuple(missing)


def packed(
    texts: Mapping[str, str], logs: Mapping[str, tuple[str, bool]], *, log_bytes: int, total: int
) -> dict[str, str]:
    """All of it within ``total`` bytes, keys included, and each log within ``log_bytes``.

    Of ``texts`` the beginnings stay, each within a quarter; of ``logs`` (each with whether it is cut already) the
    ends stay, and the short ones stay whole before the long ones get more.
    """
    total = min(total, _TOTAL_MOST)
    data = {key: head(text, max(0, total // 4 - len(key))) for key, text in texts.items()}
    room = total - sum(len(key) + len(text.encode()) for key, text in data.items())
    smallest = sorted(logs.items(), key=lambda one: len(one[1][0].encode()))
    for index, (key, (text, cut)) in enumerate(smallest):
        share = min(log_bytes, room // (len(smallest) - index) - len(key))
        if share >= len(_CUT):
            data[key] = tail(text, share, cut=cut)
            room -= len(key) + len(data[key].encode())
    return data


def head(text: str, most: int) -> str:
    """The beginning, within ``most`` bytes, and a last line that says so when it is not the whole."""
    raw = text.encode()
    if len(raw) <= most:
        return text
    return raw[: max(0, most - len(_ENDED))].decode(errors="ignore") + _ENDED if most >= len(_ENDED) else ""


def tail(text: str, most: int, *, cut: bool) -> str:
    """The end, within ``most`` bytes, and a first line that says so when it is not the whole: whole lines, if any."""
    raw = text.encode()
    if len(raw) + (len(_CUT) if cut else 0) <= most:
        return _CUT + text if cut else text
    kept = raw[len(raw) - max(0, most - len(_CUT)) :]
    line = kept.find(b"\n")
    # Half a line is still worth more than none.
    kept = kept[line + 1 :] if 0 <= line < len(kept) - 1 else kept
    return _CUT + kept.decode(errors="ignore")


def document(record: Rollback, kept: KeptEvidence, data: Mapping[str, str]) -> dict[str, Any]:
    """The object to create: it goes when its record goes."""
    labels = {"app.kubernetes.io/managed-by": "pullback"}
    if _LABEL.fullmatch(record.canary.name):
        labels["pullback.dev/canary"] = record.canary.name
    missing = json.dumps(kept.missing)
    return {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": CONFIG_MAPS.kind,
        "metadata": {
            "namespace": record.namespace,
            "name": kept.config_map,
            "labels": labels,
            "annotations": {
                AT: times.write(kept.at),
                PODS: str(kept.pods),
                MISSING: missing if len(missing) <= _ANNOTATION_MOST else "[]",
            },
            "ownerReferences": [
                {
                    "apiVersion": ROLLBACKS.api_version,
                    "kind": ROLLBACKS.kind,
                    "name": record.name,
                    "uid": record.uid,
                    "controller": False,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "immutable": True,
        "data": dict(data),
    }


def is_of(record: Rollback, there: Mapping[str, Any]) -> bool:
    """Whether a ConfigMap of that name is this record's, and not somebody else's."""
    owners = there["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == record.uid for owner in owners)


def is_left_behind(record: Rollback, there: Mapping[str, Any]) -> bool:
    """Whether it is of a record of the same name that was deleted: the garbage collector is on its way."""
    owners = there["metadata"].get("ownerReferences") or ()
    return any((owner.get("kind"), owner.get("name")) == (ROLLBACKS.kind, record.name) for owner in owners)


def read(there: Mapping[str, Any], now: datetime.datetime) -> KeptEvidence:
    """What was kept, from the ConfigMap itself; its annotations may have been changed by anybody."""
    metadata = there["metadata"]
    annotations = metadata.get("annotations") or {}
    pods = str(annotations.get(PODS, ""))
    try:
        missing = json.loads(annotations.get(MISSING, "[]"))
    except ValueError:
        missing = ["what is missing can no longer be read"]
    return KeptEvidence(
        config_map=metadata["name"],
        at=times.read(annotations.get(AT)) or times.read(metadata.get("creationTimestamp")) or now,
        pods=int(pods) if pods.isascii() and pods.isdigit() else 0,
        missing=bounded([str(one) for one in missing]) if isinstance(missing, list) else (),
    )
