"""What somebody who approves a revision should have seen: where it stood how long, what was checked, what holds it."""

import datetime
import itertools
from typing import Any

from daemon.adapters import times
from daemon.cli import printing
from daemon.model.canary_revision import CanaryRevision
from daemon.model.stages import Profile
from daemon.policy import phrasing, staging
from daemon.policy.answering import duration
from daemon.workflow import documents
from daemon.workflow.showing import Release

GATE = "confirm-promotion"


def document(release: Release, shown: dict[str, Any], now: datetime.datetime) -> dict[str, Any]:
    """``shown`` is the canary as it is shown everywhere."""
    record = release.record
    recorded = documents.revision(record) if record is not None else {}
    return {
        "namespace": shown["namespace"],
        "name": shown["name"],
        "revision": shown["revision"],
        "phase": shown["phase"],
        "weight": shown["weight"],
        "record": shown["record"],
        "images": recorded.get("images", []),
        "stages": stages(release.profile, record, now) if record is not None else [],
        "checks": [one | {"age": _age(one["at"], now)} for one in recorded.get("checks", [])],
        "alerts": shown["alerts"],
        "pause": shown["pause"],
        "approvals": release.profile.promotion.approvals if release.profile is not None else None,
        "approval": shown["approval"],
        "gate": shown["gates"][GATE],
    }


def stages(profile: Profile | None, record: CanaryRevision, now: datetime.datetime) -> list[dict[str, Any]]:
    """Every stay at a stage, oldest first, then the stages it never came to. ``left`` is of the soak."""
    plan = profile.stages if profile is not None else ()
    stays: list[dict[str, Any]] = []
    for at, after in itertools.zip_longest(record.weights, record.weights[1:]):
        stage = staging.stage_at(plan, at.weight)
        ended = after.since if after is not None else now
        begins = stage.weight if stage is not None else at.weight
        if stays and stays[-1]["stage"] == begins and stage is not None:
            since = times.read(stays[-1]["since"]) or at.since
        else:
            since = at.since
            stays.append({"stage": begins, "soak": stage.soak if stage is not None else 0.0,
                          "since": since.isoformat()})  # fmt: skip
        lasted = max(0.0, (ended - since).total_seconds())
        stays[-1] |= {
            "weight": at.weight,
            "lasted": round(lasted, 1),
            "left": round(max(0.0, stays[-1]["soak"] - lasted), 1),
            "over": after is not None or record.ended,
        }
    seen = {stay["stage"] for stay in stays}
    return stays + [
        {"stage": stage.weight, "soak": stage.soak, "since": None, "weight": None, "lasted": 0.0, "left": stage.soak,
         "over": False}
        for stage in plan if stage.weight not in seen
    ]  # fmt: skip


def _age(moment: str, now: datetime.datetime) -> float | None:
    read = times.read(moment)
    return round(max(0.0, (now - read).total_seconds()), 1) if read is not None else None


# -- for people


def prose(shown: dict[str, Any]) -> str:
    name = f"{shown['namespace']}/{shown['name']}"
    head = f"{name}: revision {shown['revision']}, {shown['phase']} at {shown['weight']:g}%"
    rows = [*_listed("images", [_image(one) for one in shown["images"]])]
    rows += _listed("stages", [_stay(one) for one in shown["stages"]])
    rows += _listed("checks", [_check(one) for one in shown["checks"]])
    rows.append(("alerts", phrasing.alerts(shown["alerts"])))
    if shown["pause"] is not None:
        rows.append(("paused", phrasing.pause(shown["pause"])))
    rows.append(("approval", _approval(shown)))
    rows.append((GATE, f"would answer {phrasing.answer(shown['gate'])}"))
    unknown = [] if shown["record"] else ["  nothing is recorded of this revision: is `pullback serve` running?"]
    return "\n".join([head, *unknown, *printing.aligned(rows)])


def _listed(name: str, lines: list[str]) -> list[tuple[str, str]]:
    """The name stands beside the first line only."""
    return list(zip(itertools.chain([name], itertools.repeat("")), lines or ["nothing is recorded"], strict=False))


def _image(one: dict[str, Any]) -> str:
    return f"{one['image']} {one['digest'] or '(no digest was recorded)'}"


def _stay(one: dict[str, Any]) -> str:
    if one["since"] is None:
        return f"{one['stage']:g}%: never there"
    soak = f" of {duration(one['soak'])}" if one["soak"] else ""
    left = ""
    if one["left"] > 0:
        left = ", left before its soak was over" if one["over"] else f", {duration(one['left'])} left"
    return f"{one['weight']:g}%: {duration(one['lasted'])}{soak}{left}"


def _check(one: dict[str, Any]) -> str:
    age = f" ({duration(one['age'])} ago)" if one["age"] is not None else ""
    return f"{one['gate']} {one['name']} {one['state']}: {one['detail']}{age}"


def _approval(shown: dict[str, Any]) -> str:
    wanted = shown["approvals"]
    if wanted is None:
        return phrasing.approval(shown["approval"])
    asked = "nobody is asked" if wanted == 0 else f"{wanted} asked for"
    return f"{phrasing.approval(shown['approval'])}; {asked}"
