"""Envoy does what HTTPRoutes say, and their status says so once it does."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import aiohttp
import pytest

from daemon.sandbox.envoy import Envoy
from daemon.sandbox.gateway_status import CONTROLLER
from daemon.sandbox.gateway_translating import translate_http_routes
from daemon.sandbox.kubernetes_api import KubernetesApi
from daemon.sandbox.mesh import HTTP_ROUTE, VIRTUAL_SERVICE, Mesh
from tests import gateway_routing
from tests.builders import Json
from tests.neighbours import eventually, virtual_service

pytestmark = pytest.mark.e2e

HTTP_ROUTES = "httproutes.gateway.networking.k8s.io"
HOST = "app.example.com"
CANARY, STABLE = "podinfo-canary", "podinfo-primary"
VERSION = {STABLE: "v1", CANARY: "v2"}


def to(name: str, **fields: Any) -> Json:
    return {"backendRefs": [{"name": name, "port": 80}], **fields}


def path(kind: str, value: str, **more: Any) -> list[Json]:
    return [{"path": {"type": kind, "value": value}, **more}]


def route(*rules: Json, name: str = "podinfo", hostname: str = HOST) -> Json:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "test"},
        "spec": {"parentRefs": [{"name": "public"}], "hostnames": [hostname], "rules": list(rules)},
    }


async def apply(envoy: Envoy, version: str, *routes: Json) -> None:
    hosts = translate_http_routes(routes, envoy.clusters)
    await envoy.swap({"name": "app", "virtual_hosts": hosts}, version)


async def ask(envoy: Envoy, where: str, *, method: str = "GET", host: str = HOST, **headers: str) -> tuple[int, str]:
    """Status, and who answered."""
    sent = {"Host": host, **headers}
    async with envoy.session.request(method, envoy.url + where, headers=sent) as response:
        return response.status, response.headers.get("x-app-version", "")


async def test_the_most_specific_match_has_the_request_as_the_evaluator_says(envoy: Envoy) -> None:
    employees = {"headers": [{"name": "X-Summit-Employee", "value": "true"}]}
    routes = [
        route(
            to(STABLE),
            to(CANARY, matches=[employees]),
            to(CANARY, matches=path("PathPrefix", "/shop")),
            to(STABLE, matches=path("PathPrefix", "/shop/cart")),
            to(STABLE, matches=path("Exact", "/shop/now", **employees)),
        ),
        route(to(CANARY, matches=path("PathPrefix", "/wild")), name="wild", hostname="*.example.com"),
    ]
    await apply(envoy, "2", *routes)
    wheres = ("/", "/shop", "/shop/", "/shopping", "/shop/cart/1", "/shop/now", "/shop/now/", "/wild", "/wild/1")
    said: list[dict[str, str]] = [{}, {"x-summit-employee": "true"}, {"x-summit-employee": "false"}]
    for host, where, headers in itertools.product((HOST, "www.example.com", "example.org"), wheres, said):
        shares = gateway_routing.answer(routes, {"host": host, "path": where, "headers": headers})
        expected = [(200, VERSION[whom[3]]) for whom in shares] if shares else [(404, "")]
        assert [await ask(envoy, where, host=host, **headers)] == expected, (host, where, headers)


async def test_methods_queries_expressions_and_mirrors(envoy: Envoy) -> None:
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": CANARY, "port": 80}}}
    query = {"queryParams": [{"name": "new", "value": "1|2", "type": "RegularExpression"}]}
    await apply(envoy, "2", route(
        to(STABLE),
        to(CANARY, matches=[{"method": "POST"}]),
        to(CANARY, matches=[query]),
        to(CANARY, matches=path("RegularExpression", "/v[0-9]+/.*")),
        to(STABLE, matches=path("PathPrefix", "/mirrored"), filters=[mirror]),
    ))  # fmt: skip
    assert await ask(envoy, "/") == (200, "v1")
    assert await ask(envoy, "/", method="POST") == (200, "v2")
    assert [(await ask(envoy, f"/?new={one}"))[1] for one in ("1", "2", "12", "")] == ["v2", "v2", "v1", "v1"]
    assert [(await ask(envoy, one))[1] for one in ("/v12/a", "/v12", "/a/v12/b")] == ["v2", "v1", "v1"]
    before = (await envoy.requests())[CANARY].total
    assert await ask(envoy, "/mirrored") == (200, "v1")

    async def copied() -> bool:
        return (await envoy.requests())[CANARY].total == before + 1

    await eventually(copied)


async def test_what_leads_nowhere_is_an_error_in_just_its_share(envoy: Envoy) -> None:
    def backends(*shares: tuple[str, int]) -> list[Json]:
        return [{"name": name, "port": 80, "weight": weight} for name, weight in shares]

    await apply(envoy, "2", route(
        {"matches": path("Exact", "/sole"), "backendRefs": backends((CANARY, 0))},
        {"matches": path("Exact", "/none"), "backendRefs": backends((CANARY, 0), (STABLE, 0))},
        {"matches": path("Exact", "/nobody")},
        {"matches": path("Exact", "/gone"), "backendRefs": backends(("gone", 1))},
        {"matches": path("Exact", "/half"), "backendRefs": backends((STABLE, 1), ("gone", 1), (CANARY, 0))},
    ))  # fmt: skip
    for where in ("/sole", "/none", "/nobody", "/gone"):
        assert await ask(envoy, where) == (500, ""), where
    seen = Counter([await ask(envoy, "/half") for _ in range(200)])
    assert set(seen) == {(200, "v1"), (500, "")}
    assert 50 < seen[500, ""] < 150  # seven deviations
    assert await ask(envoy, "/other") == (404, "")


# -- the gateway's word


def conditions(api: KubernetesApi, name: str = "podinfo") -> dict[str, tuple[str, str, int]]:
    """What our gateway says: status, reason, generation by type."""
    found = api.read(HTTP_ROUTES, name, "test")
    assert found is not None
    parents = [one for one in (found.get("status") or {}).get("parents") or [] if one["controllerName"] == CONTROLLER]
    return {
        one["type"]: (one["status"], one["reason"], one["observedGeneration"])
        for parent in parents for one in parent["conditions"]
    }  # fmt: skip


def weigh(api: KubernetesApi, *rules: Json) -> str:
    written = api.patch(HTTP_ROUTES, "podinfo", "test", {"spec": {"rules": list(rules)}})
    return str(written["metadata"]["resourceVersion"])


async def test_both_kinds_are_in_force_and_a_route_is_accepted_once_it_is(
    emulator: KubernetesApi, envoy: Envoy, session: aiohttp.ClientSession
) -> None:
    emulator.create(virtual_service(100, 0))
    emulator.create(route(to(CANARY)))
    elsewhere = {"parentRef": {"name": "public"}, "controllerName": "example.net/other", "conditions": [
        {"type": "Accepted", "status": "False", "reason": "NotAllowed", "message": "", "observedGeneration": 1,
         "lastTransitionTime": "2026-11-23T06:54:26Z"},
    ]}  # fmt: skip
    emulator.patch(HTTP_ROUTES, "podinfo", "test", {"status": {"parents": [elsewhere]}}, subresource="status")

    async def said(accepted: tuple[str, str, int], resolved: tuple[str, str, int]) -> None:
        async def so() -> bool:
            return conditions(emulator) == {"Accepted": accepted, "ResolvedRefs": resolved}

        await eventually(so)

    kinds = (VIRTUAL_SERVICE, HTTP_ROUTE)
    async with Mesh(emulator.url, envoy, session, kinds=kinds) as mesh:
        await said(("True", "Accepted", 1), ("True", "ResolvedRefs", 1))
        assert (await ask(envoy, "/"))[1] == "v2"
        assert (await ask(envoy, "/", host="podinfo"))[1] == "v1"

        applied = await mesh.wait_until_applied(weigh(emulator, to(STABLE), to("gone", matches=path("Exact", "/gone"))))
        assert applied.reaches == {STABLE}
        await said(("True", "Accepted", 2), ("False", "BackendNotFound", 2))

        # Refused as a whole: what is in force stays, and the status says of which generation that is not so.
        with pytest.raises(TimeoutError, match="HTTPRoute test/podinfo: filter URLRewrite is not translated"):
            await mesh.wait_until_applied(weigh(emulator, to(CANARY, filters=[{"type": "URLRewrite"}])), timeout=0.5)
        await said(("False", "UnsupportedValue", 3), ("True", "ResolvedRefs", 3))
        assert (await ask(envoy, "/"))[1] == "v1"

        # A status that cannot be written is written once it can be.
        emulator.faults.fail(500, verb="patch", resource="httproutes", subresource="status", times=2)
        await mesh.wait_until_applied(weigh(emulator, to(CANARY)))
        await said(("True", "Accepted", 4), ("True", "ResolvedRefs", 4))
        assert mesh.failure is None
        found: Any = emulator.read(HTTP_ROUTES, "podinfo", "test")
        words = {one["controllerName"]: one["conditions"] for one in found["status"]["parents"]}
        assert words["example.net/other"] == elsewhere["conditions"], "another controller's word is not ours"

        emulator.create(route(to(STABLE), name="clash", hostname="podinfo"))

        async def clashes() -> bool:
            return "podinfo: in VirtualServices as well as in HTTPRoutes" in (mesh.failure or "")

        await eventually(clashes)
        writes = len(emulator.requests.matching(verb="patch", resource="httproutes"))
    assert writes < 12, "the gateway answers its own words"
