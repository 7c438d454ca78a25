"""The VirtualService in Flagger's hands: made once, compared at every tick, and written back whole.

Two habits matter to anybody else who writes weights. Weights are read once per tick and written from
that reading at its end, on top of a fresh GET, so what was written in between is lost without a
conflict. And any foreign annotation, label or change of shape makes Flagger write its own object again,
weights 100/0 included.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

from daemon.sandbox.flagger.api import Api, ApiError, HaltedError, Json, namespaced, version_of
from daemon.sandbox.flagger.canary import ALL, Canary
from daemon.sandbox.flagger.timeline import OWN_ANNOTATIONS, ROUTES, Timeline, routes_text

GROUP = "networking.istio.io"
KUBECTL_CONFIGURATION = "kubectl.kubernetes.io/last-applied-configuration"
ORIGINAL_CONFIGURATION = "flagger.kubernetes.io/original-configuration"

_ROUTE_OPTIONS = ("match", "rewrite", "timeout", "retries", "corsPolicy", "headers")


@dataclass(frozen=True, slots=True)
class Weights:
    primary: int
    canary: int


class Routes:
    """Reads and writes the VirtualService of a canary."""

    def __init__(self, api: Api, timeline: Timeline, version: str) -> None:
        self._api = api
        self._timeline = timeline
        self._version = version

    async def reconcile(self, canary: Canary) -> None:
        """Makes the VirtualService, or makes it Flagger's again when anything but weights was changed."""
        wanted = _spec(canary, Weights(ALL, 0))
        found = await self._api.find(self._path(canary))
        if found is None:
            await self._create(canary, wanted)
            return
        annotations = dict(OWN_ANNOTATIONS)
        there = found["metadata"].get("annotations") or {}
        for kept in (KUBECTL_CONFIGURATION, ORIGINAL_CONFIGURATION):
            if kept in there:
                annotations[kept] = there[kept]
        reshaped = _shape(found["spec"]) != _shape(wanted)
        if not reshaped and annotations == there and not found["metadata"].get("labels"):
            return
        if reshaped and KUBECTL_CONFIGURATION not in there:
            annotations[ORIGINAL_CONFIGURATION] = json.dumps(found["spec"], separators=(",", ":"))
        body = copy.deepcopy(found)
        body["spec"] = wanted
        body["metadata"]["annotations"] = annotations
        body["metadata"].pop("labels", None)
        await self._replace(canary, found, body, "update error")

    async def read(self, canary: Canary) -> Weights:
        """The weights as they are now. Raises HaltedError at 0/0, which Flagger takes for no route."""
        found = await self._get(canary)
        route: list[Json] = []
        for candidate in found["spec"].get("http") or ():
            destinations = candidate.get("route") or []
            if any(_host(destination) == canary.canary_host for destination in destinations):
                route = destinations
        weights = {_host(destination): int(destination.get("weight", 0)) for destination in route}
        read = Weights(weights.get(canary.primary_host, 0), weights.get(canary.canary_host, 0))
        if read == Weights(0, 0):
            apex = canary.apex
            raise HaltedError(
                f"VirtualService {apex}.{canary.namespace} does not contain routes for"
                f" {apex}-primary and {apex}-canary"
            )
        return read

    async def write(self, canary: Canary, weights: Weights) -> None:
        """GET and full PUT: the conflict check only covers the moment between the two."""
        found = await self._get(canary)
        body = copy.deepcopy(found)
        body["spec"]["http"] = _spec(canary, weights)["http"]
        await self._replace(canary, found, body, "update failed")

    async def _create(self, canary: Canary, spec: Json) -> None:
        body = {
            "apiVersion": f"{GROUP}/{self._version}",
            "kind": "VirtualService",
            "metadata": {
                "name": canary.apex,
                "namespace": canary.namespace,
                "annotations": dict(OWN_ANNOTATIONS),
                "ownerReferences": [canary.owner],
            },
            "spec": spec,
        }
        collection = namespaced(GROUP, self._version, canary.namespace, "virtualservices")
        try:
            created = await self._api.create(collection, body)
        except ApiError as error:
            raise HaltedError(f"VirtualService {_full_name(canary)} create error: {error}") from error
        self._timeline.add(canary.key, ROUTES, routes_text(created))

    async def _get(self, canary: Canary) -> Json:
        try:
            return await self._api.get(self._path(canary))
        except ApiError as error:
            raise HaltedError(f"VirtualService {_full_name(canary)} get query error {error}") from error

    async def _replace(self, canary: Canary, before: Json, body: Json, failed: str) -> None:
        try:
            stored = await self._api.replace(self._path(canary), body)
        except ApiError as error:
            raise HaltedError(f"VirtualService {_full_name(canary)} {failed}: {error}") from error
        if version_of(stored) != version_of(before):
            self._timeline.add(canary.key, ROUTES, routes_text(stored))

    def _path(self, canary: Canary) -> str:
        return namespaced(GROUP, self._version, canary.namespace, "virtualservices", canary.apex)


def _full_name(canary: Canary) -> str:
    return f"{canary.apex}.{canary.namespace}"


def _host(destination: Json) -> str:
    return str((destination.get("destination") or {}).get("host", ""))


def _spec(canary: Canary, weights: Weights) -> Json:
    hosts = list(canary.service.get("hosts") or ())
    if canary.apex not in hosts and "*" not in hosts:
        hosts.append(canary.apex)
    route = {option: canary.service[option] for option in _ROUTE_OPTIONS if canary.service.get(option)}
    route["route"] = [
        {"destination": {"host": canary.primary_host}, "weight": weights.primary},
        {"destination": {"host": canary.canary_host}, "weight": weights.canary},
    ]
    return {"gateways": list(canary.service.get("gateways") or ["mesh"]), "hosts": hosts, "http": [route]}


def _shape(value: Any) -> Any:
    """A spec without what Flagger leaves to others when it compares: weights, mirrors, and what is empty."""
    if isinstance(value, dict):
        ignored = ("weight", "mirror", "mirrorPercentage")
        parts = {key: _shape(part) for key, part in value.items() if key not in ignored}
        return {key: part for key, part in parts.items() if part not in (None, {}, [], "")}
    if isinstance(value, list):
        return [_shape(part) for part in value]
    return value
