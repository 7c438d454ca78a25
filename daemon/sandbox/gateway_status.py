"""What a gateway's controller writes into the status of HTTPRoutes: whether, and of which generation, it has taken
them over. It writes only what is so, after Envoy has been seen to use it, and nothing that stands there already."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from daemon.sandbox.delegating import name_of
from daemon.sandbox.gateway_translating import UnsupportedRouteError, gateways, unresolved

Json = dict[str, Any]
CONTROLLER = "pullback.dev/sandbox-gateway"
STATUS = "/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/{name}/status"
MOVED_ON = (404, 409)
"""Answers that the object has changed meanwhile, or is gone: its watch tells the rest."""


def taken_over(route: Mapping[str, Any], known: Collection[str], *, now: str) -> list[Json] | None:
    """`status.parents` of a route that is in force in its present generation; None if they say so already."""
    return _parents(route, ("True", "Accepted", ""), known, now)


def refused(route: Mapping[str, Any], why: str, known: Collection[str], *, now: str) -> list[Json] | None:
    """`status.parents` of a route that is not put into force, for what its present generation asks."""
    return _parents(route, ("False", "UnsupportedValue", why), known, now)


def _parents(
    route: Mapping[str, Any], accepted: tuple[str, str, str], known: Collection[str], now: str
) -> list[Json] | None:
    before = (route.get("status") or {}).get("parents") or []
    ours = [one for one in before if one.get("controllerName") == CONTROLLER]
    problem = unresolved(route, known)
    resolved = ("True", "ResolvedRefs", "") if problem is None else ("False", *problem)
    said = {"Accepted": accepted, "ResolvedRefs": resolved}
    # What other controllers have written of the same route stays theirs.
    parents = [one for one in before if one.get("controllerName") != CONTROLLER]
    for parent in gateways(route):
        held: list[Json] = next((one["conditions"] for one in ours if one["parentRef"] == parent), [])
        generation = route["metadata"].get("generation", 0)
        conditions = [_condition(kind, words, generation, held, now) for kind, words in said.items()]
        parents.append({"parentRef": parent, "controllerName": CONTROLLER, "conditions": conditions})
    return None if parents == before else parents


def _condition(
    kind: str, words: tuple[str, str, str], generation: int, held: Iterable[Mapping[str, Any]], now: str
) -> Json:
    status, reason, message = words
    same = (one["lastTransitionTime"] for one in held if (one["type"], one["status"]) == (kind, status))
    return {
        "type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": generation,
        "lastTransitionTime": next(same, now),
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class StatusWriter:
    """Writes it over the Kubernetes API. Raises aiohttp.ClientError, or TimeoutError, where that fails."""

    api_url: str
    session: aiohttp.ClientSession

    async def all_taken_over(self, routes: Iterable[Mapping[str, Any]], known: Collection[str]) -> None:
        for route in routes:
            await self._write(route, taken_over(route, known, now=_now()))

    async def one_refused(
        self, error: UnsupportedRouteError, routes: Iterable[Mapping[str, Any]], known: Collection[str]
    ) -> None:
        for route in routes:
            if name_of(route) == error.route:
                await self._write(route, refused(route, error.why, known, now=_now()))

    async def _write(self, route: Mapping[str, Any], parents: list[Json] | None) -> None:
        if parents is None:
            return
        metadata = route["metadata"]
        path = STATUS.format(namespace=metadata.get("namespace", "default"), name=metadata["name"])
        # Over just the object that was translated: a newer one is not in force yet.
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": {"parents": parents}}
        async with self.session.patch(
            self.api_url.rstrip("/") + path, json=body, params={"fieldManager": CONTROLLER},
            headers={"Content-Type": "application/merge-patch+json"}, timeout=aiohttp.ClientTimeout(total=10),
        ) as response:  # fmt: skip
            if response.status not in MOVED_ON:
                response.raise_for_status()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
