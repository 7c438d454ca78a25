"""The console page, for whoever is on call: what stands at zero, what is on its way, what holds it, what has been."""

import dataclasses
import shlex
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from daemon.model.canary import CanaryRef
from daemon.model.history import Filter
from daemon.model.rollback import RollbackPhase
from daemon.policy import phrasing
from daemon.web import page
from daemon.web.page import Element, element
from daemon.web.promises import Rooms

Shown = dict[str, Any]

_AGAIN = 5
"""Seconds after which the page asks for itself."""
_MOST = 100
"""Of each kind on one page; what is left out is counted."""
_ENDED = 20
"""Rollbacks that are over, on the overview."""
_COLOURS = {RollbackPhase.PROVED.value: "good", RollbackPhase.ESCALATED.value: "bad", RollbackPhase.FAILED.value: "bad"}


async def overview(rooms: Rooms, namespace: str | None) -> web.Response:
    """Everything, or what is in one namespace."""
    where = {"namespace": namespace} if namespace else {}
    standing = [each async for each in rooms.rollbacks(Filter(namespace=namespace, finished=False))]
    ended = [each async for each in rooms.rollbacks(Filter(namespace=namespace, finished=True, limit=_ENDED))]
    moving, more = await _first(
        rooms.canaries(lambda one: rooms.moving(one) and namespace in {None, one.ref.namespace})
    )
    content = [
        element("h1", "Pullback", *([f": {namespace}"] if namespace else [])),
        *_health(rooms),
        element("h2", "Rollbacks that stand"),
        *([_rollback(each) for each in standing[:_MOST]] or [_quiet("none")]),
        *_left_out(len(standing) - _MOST),
        element("h2", "Canaries on their way or held"),
        *([_canary(each) for each in moving] or [_quiet("none")]),
        *_left_out(more),
        element("h2", "Rollbacks that are over"),
        _ended(ended) if ended else _quiet("none"),
        _also(f"/api/v1/canaries?{urlencode(where)}", f"/api/v1/rollbacks?{urlencode(where)}"),
    ]
    return page.answer(_title(standing), content, again=_AGAIN)


async def one(rooms: Rooms, ref: CanaryRef, story: Shown) -> web.Response:
    """One canary, with its rollbacks and the timelines of its revisions."""
    of = Filter(namespace=ref.namespace, canary=ref.name, limit=_MOST)
    standing = [each async for each in rooms.rollbacks(dataclasses.replace(of, finished=False))]
    ended = [each async for each in rooms.rollbacks(dataclasses.replace(of, finished=True))]
    content = [
        element("h1", element("a", "Pullback", href="/"), f": {ref}"),
        *_health(rooms),
        *[_rollback(each) for each in standing],
        _canary(story),
        *[part for each in story["revisions"] for part in _timeline(each)],
        element("h2", "Rollbacks that are over"),
        _ended(ended) if ended else _quiet("none"),
        _also(f"/api/v1/canaries/{ref.namespace}/{ref.name}"),
    ]
    return page.answer(f"{ref.name}: {_title(standing)}", content, again=_AGAIN)


def _title(standing: Sequence[Shown]) -> str:
    return f"{len(standing)} at zero or on the way there" if standing else "Pullback"


async def _first(found: AsyncIterator[Shown]) -> tuple[list[Shown], int]:
    """The first of them, and how many there are beyond."""
    kept: list[Shown] = []
    more = 0
    async for each in found:
        if len(kept) < _MOST:
            kept.append(each)
        else:
            more += 1
    return kept, more


def _health(rooms: Rooms) -> Iterable[Element]:
    problem, warning = rooms.alive() or rooms.ready(), rooms.warn()
    if problem:
        yield element("p", element("b", "not ready: "), problem, class_="card bad")
    if warning:
        yield element("p", element("b", "warning: "), warning, class_="card wait")


def _rollback(one: Shown) -> Element:
    where, proof = f"{one['namespace']}/{one['canary']}", "; ".join(one["proof"])
    head = element(
        "h3", element("b", one["phase"]), " ", _link(one["namespace"], one["canary"], where),
        f" revision {one['revision'] or '?'}",
    )  # fmt: skip
    said = [
        ("why", f"{one['reason']} ({one['trigger']}{', by ' + one['requestedBy'] if one['requestedBy'] else ''})"),
        ("state", one["message"] if one["message"] != proof else ""),
        ("clocks", _clocks(one)),
        ("before", ", ".join(f"{each['before']:g}% on {each['route']} {each['path']}" for each in one["weights"][:5])),
        ("proof", proof),
        ("raised again", f"{one['holds']} times, and undone each time" if one["holds"] else ""),
        ("cleanup", _step(one["cleanup"])),
        *((each["kind"], _step(each)) for each in one["followUps"]),
        ("evidence", _evidence(one)),
        ("not told yet", _untold(one)),
        ("more", _commands(f"kubectl describe rollback {shlex.quote(one['name'])} -n {shlex.quote(one['namespace'])}",
                           *_of_canary(one["namespace"], one["canary"]))),
    ]  # fmt: skip
    return element("div", head, page.terms(said), class_=f"card {_COLOURS.get(one['phase'], 'wait')}")


def _clocks(one: Shown) -> str:
    clocks = [f"received {phrasing.clock(one['received'])}"]
    for name, seconds in (("0%", one["secondsToZero"]), ("proved", one["secondsToProof"])):
        clocks.append(f"{name} after {seconds:.3g} s" if seconds is not None else f"{name}: not yet")
    if one["onset"] is not None:
        clocks.insert(0, f"fires since {phrasing.clock(one['onset'])}")
    return ", ".join(clocks)


def _step(one: Shown | None) -> str:
    return f"{one['state']}: {one['detail']}" if one is not None else ""


def _evidence(one: Shown) -> str:
    kept = one["evidence"]
    return f"ConfigMap {kept['configMap']}" if kept is not None and kept["configMap"] else ""


def _untold(one: Shown) -> str:
    return "; ".join(
        f"{each['channel']}: {', '.join([*each['due'], *each['refused']])}"
        + (f" ({each['problem']})" if each["problem"] else "")
        for each in one["notices"] if each["due"] or each["refused"]
    )  # fmt: skip


def _canary(one: Shown) -> Element:
    held = bool(one["rollback"]) or one["paused"]
    head = element(
        "h3", element("b", f"{one['weight']:g}%"), " ",
        _link(one["namespace"], one["name"], f"{one['namespace']}/{one['name']}"),
        f" revision {one['revision'] or '(none yet)'}, {one['phase'] or 'no phase'}, {one['controller']}",
    )  # fmt: skip
    said = [
        ("rollback", one["rollback"] or ""),
        ("stage", phrasing.stage(one["stage"])),
        ("paused", phrasing.pause(one["pause"]) if one["paused"] else ""),
        ("alerts", phrasing.alerts(one["alerts"]) if one["alerts"] else ""),
        ("advance", phrasing.advance(one["advance"]) if one["advance"] else ""),
        ("approval", phrasing.approval(one["approval"]) if one["approval"] else ""),
        *((name, _gate(gate)) for name, gate in one["gates"].items()),
        ("more", _commands(*_of_canary(one["namespace"], one["name"]))),
    ]
    return element("div", head, page.terms(said), class_=f"card {'wait' if held else 'good'}")


def _gate(gate: Shown) -> str:
    last = phrasing.last_answer(gate)
    return f"{phrasing.answer(gate)}; {last}" if last else phrasing.answer(gate)


def _timeline(one: Shown) -> Iterable[Element]:
    head = f"Revision {one['revision'] or '(no name yet)'}: {one['phase']}"
    yield element("h2", head, *([f", began {phrasing.clock(one['began'])}"] if one["began"] else []))
    if one["dropped"]:
        yield _quiet(f"{one['dropped']} older lines did not fit")
    yield page.table(
        ["at", "what", ""],
        [(phrasing.clock(each["at"]), each["kind"], each["text"] + phrasing.again(each)) for each in one["timeline"]],
    )


def _ended(rollbacks: Sequence[Shown]) -> Element:
    return page.table(
        ["received", "canary", "revision", "phase", "why", "0% after", "proved after", "held again"],
        [
            (
                phrasing.clock(one["received"]), _link(one["namespace"], one["canary"],
                f"{one['namespace']}/{one['canary']}"), one["revision"] or "?", one["phase"], one["reason"],
                *(f"{seconds:.3g} s" if seconds is not None else "-"
                  for seconds in (one["secondsToZero"], one["secondsToProof"])),
                str(one["holds"] or "-"),
            ) for one in rollbacks
        ],
    )  # fmt: skip


def _of_canary(namespace: str, name: str) -> Iterable[str]:
    for command in ("status", "timeline"):
        yield f"pullback {command} {shlex.quote(name)} -n {shlex.quote(namespace)}"


def _commands(*commands: str) -> Element:
    parts: list[Element | str] = []
    for command in commands:
        parts += [", "] if parts else []
        parts.append(element("code", command))
    return element("span", *parts)


def _link(namespace: str, canary: str, text: str) -> Element:
    return element("a", text, href="/?" + urlencode({"namespace": namespace, "canary": canary}))


def _left_out(more: int) -> Iterable[Element]:
    if more > 0:
        yield _quiet(f"and {more} more: one namespace is shown with ?namespace=")


def _also(*paths: str) -> Element:
    return element("p", "For scripts: ", *(element("a", path.rstrip("?") + " ", href=path) for path in paths),
                   class_="quiet")  # fmt: skip


def _quiet(text: str) -> Element:
    return element("p", text, class_="quiet")
