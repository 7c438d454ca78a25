"""Canaries put together of what several objects say, fed one by one: names, order, what a rollback holds together."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any, cast

import pytest

from daemon.adapters.kubernetes.reflector import Event
from daemon.bootstrap import seeing
from daemon.model.canary import Canary, CanaryPhase, CanaryRef
from daemon.model.route import RouteObject, RouteView, Sides
from daemon.settings import Settings
from tests import builders
from tests.builders import Json
from tests.component import rollouts, undriven

SHOP = "shop"
NAME = undriven.NAME


class Eyes:
    """What the watches would bring, brought by hand."""

    def __init__(self) -> None:
        self.sight = seeing.open_eyes(Settings(), cast("Any", None), seeing.Surroundings())
        self._receive = {resources[0].kind: take for resources, take in seeing.receivers(self.sight)}
        self._versions = itertools.count(1)

    def put(self, *documents: Json) -> None:
        for document in documents:
            given = {"uid": f"{document['kind']}-{document['metadata']['name']}"} | document["metadata"]
            given["resourceVersion"] = str(next(self._versions))
            self._receive[document["kind"]](Event.PRESENT, document | {"metadata": given})

    def gone(self, document: Json) -> None:
        self._receive[document["kind"]](Event.GONE, document)

    def canary(self, name: str = NAME) -> Canary | None:
        return self.sight.world.canary(CanaryRef(SHOP, name))

    def names(self) -> list[str]:
        return sorted(canary.ref.name for canary in self.sight.world.canaries())


def release(service: str = NAME) -> list[Json]:
    """A Service in two subsets, and what runs them."""
    found = [undriven.rule(SHOP), undriven.workload(SHOP, "stable", "v3"), undriven.workload(SHOP, "canary", "v4")]
    for one in found:
        one["metadata"]["name"] = one["metadata"]["name"].replace(NAME, service)
    return found


def http_route(name: str, service: str, *, weight: int = 10, annotations: dict[str, str] | None = None) -> Json:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"namespace": SHOP, "name": name, "annotations": annotations or {}},
        "spec": {
            "hostnames": [f"{service}.example.com"],
            "rules": [{"backendRefs": [
                {"name": f"{service}-stable", "port": 80, "weight": 100 - weight},
                {"name": f"{service}-canary", "port": 80, "weight": weight},
            ]}],
        },
    }  # fmt: skip


def virtual_service(name: str, service: str, *, weight: int = 10) -> Json:
    """Split by Services, not by subsets."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"namespace": SHOP, "name": name},
        "spec": {"hosts": [service], "http": [{"route": [
            {"destination": {"host": f"{service}-stable"}, "weight": 100 - weight},
            {"destination": {"host": f"{service}-canary"}, "weight": weight},
        ]}]},
    }  # fmt: skip


def record(name: str = NAME, *, phase: str = "Proved", kind: str = "VirtualService", **spec: Any) -> Json:
    return {
        "apiVersion": "pullback.dev/v1alpha1",
        "kind": "Rollback",
        "metadata": {"namespace": SHOP, "name": f"{name}-1", "creationTimestamp": builders.BEGAN},
        "spec": {"canaryRef": {"kind": kind, "name": name}, "revision": "rev", "trigger": "Alert", **spec},
        "status": {"phase": phase, "startedAt": builders.BEGAN},
    }


# -- in any order


def coloured(color: str, track: str, version: str, *, app: str = NAME) -> Json:
    """A Deployment whose name tells nothing: only its pods' labels do."""
    document = undriven.workload(SHOP, track, version)
    document["metadata"]["name"] = color
    document["spec"]["template"]["metadata"]["labels"]["app"] = app
    return document


def facts_of(eyes: Eyes) -> tuple[object, ...]:
    (canary,) = eyes.sight.world.canaries()
    return canary.ref.name, canary.phase, canary.workload, canary.primary_workload, canary.revision, canary.versions


def test_whatever_is_seen_first_the_canary_is_the_same() -> None:
    """And whatever each of them was before."""
    documents = [
        undriven.rule(SHOP), undriven.routes(SHOP, 5), undriven.opt_in(SHOP),
        coloured("green", "canary", "v4"), coloured("blue", "stable", "v3"),
    ]  # fmt: skip
    other = coloured("green", "canary", "v3", app="other")
    earlier = [undriven.routes(SHOP, 0), other, coloured("blue", "canary", "v3")]
    found = set()
    for order in itertools.permutations(documents):
        for before in ([], earlier):
            eyes = Eyes()
            eyes.put(*before, *order)
            found.add(facts_of(eyes))
    ((name, phase, workload, stable, revision, versions),) = found
    assert (name, phase, workload, stable) == (NAME, CanaryPhase.PROGRESSING, "green", "blue")
    assert revision
    assert versions == {"canary"}


def pool() -> dict[str, list[Json]]:
    """Objects that get in each other's way, each in its versions."""
    annotated = {"pullback.dev/canary": "web-canary"}
    return {
        "virtual service": [virtual_service("main", "web"), virtual_service("main", "web", weight=0),
                            virtual_service("main", "pay")],
        "http route": [http_route("main", "api"), http_route("main", "web")],
        "grpc route": [http_route("main", "api") | {"kind": "GRPCRoute"}],
        "another http route": [http_route("api", "api")],
        "another virtual service": [virtual_service("web", "web"), virtual_service("web", "pay")],
        "opt in": [http_route("early", "web", annotations=annotated), http_route("early", "web")],
        "flagger": [builders.canary(SHOP, "web") | {"status": builders.canary_status()}],
        "rollout": [rollouts.rollout(SHOP, routing, services=routing is rollouts.BY_SERVICES)
                    | {"status": rollouts.status()} for routing in (rollouts.BY_SERVICES, rollouts.BY_SUBSETS)],
        "rule": [undriven.rule(SHOP)],
        "subsets": [undriven.routes(SHOP, 5), undriven.routes(SHOP, 0)],
        "subsets' opt in": [undriven.opt_in(SHOP)],
        "stable": [builders.deployment(SHOP, "web-stable")],
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(10))
def test_whatever_came_and_went_what_is_there_makes_the_canaries(seed: int) -> None:
    for number in range(20):
        chance = random.Random(f"{seed} {number}")
        there: dict[str, Json] = {}
        eyes = Eyes()
        for _ in range(chance.randint(3, 25)):
            which, versions = chance.choice(list(pool().items()))
            if which in there and chance.random() < 0.4:
                eyes.gone(there.pop(which))
            else:
                there[which] = chance.choice(versions)
                eyes.put(there[which])
        fresh = Eyes()
        fresh.put(*chance.sample(list(there.values()), len(there)))
        told = [
            {(one.ref, one.object_kind, one.sides, one.stable_workload, one.phase) for one in each.canaries()}
            for each in (eyes.sight.world, fresh.sight.world)
        ]
        assert told[0] == told[1]


# -- two canaries of one name


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
def test_two_objects_of_one_name_are_never_one_canary(order: Sequence[int]) -> None:
    """Law 4: an HTTPRoute for ``api`` is not to be read as the VirtualService of that name for ``web``."""
    eyes = Eyes()
    both = [virtual_service("main", "web"), http_route("main", "api")]
    eyes.put(*(both[place] for place in order))
    for _ in range(2):  # whatever is touched again, it stays the same one
        for document in (both[place] for place in order):
            eyes.put(document)
            held = eyes.canary("main")
            assert held is not None
            assert held.object_kind.kind == "VirtualService"
            assert held.canary_service == "web-canary"
    eyes.gone(both[0])
    held = eyes.canary("main")
    assert held is not None
    assert (held.object_kind.kind, held.canary_service) == ("HTTPRoute", "api-canary")
    eyes.gone(both[1])
    assert eyes.names() == []


def test_one_whose_name_is_taken_goes_by_its_other_object() -> None:
    eyes = Eyes()
    eyes.put(http_route("main", "api"), http_route("api", "api"), virtual_service("main", "web"))
    assert eyes.names() == ["api", "main"]
    held = eyes.canary("api")
    assert held is not None
    assert held.canary_service == "api-canary"


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
def test_on_the_way_from_flagger_to_argo_rollouts_one_name_is_one_canary_after_the_other(order: Sequence[int]) -> None:
    """Flagger's for as long as it is there; and its end is not the end of the Rollout."""
    eyes = Eyes()
    theirs = builders.canary(SHOP, NAME) | {"status": builders.canary_status()}
    rollout = rollouts.rollout(SHOP, rollouts.BY_SERVICES) | {"status": rollouts.status()}
    both = [theirs, rollout]
    eyes.put(*(both[place] for place in order))
    for document in both:
        eyes.put(document)
        held = eyes.canary()
        assert held is not None
        assert held.object_kind.kind == "Canary"
    eyes.gone(theirs)
    held = eyes.canary()
    assert held is not None
    assert (held.object_kind.kind, held.revision) == ("Rollout", rollouts.NEW)
    eyes.gone(rollout)
    assert eyes.names() == []


def test_a_name_that_a_controllers_canary_leaves_is_free_again() -> None:
    eyes = Eyes()
    theirs = builders.canary(SHOP, "web") | {"status": builders.canary_status()}
    theirs["spec"]["service"]["name"] = "another"
    eyes.put(virtual_service("web", "web"), theirs)
    held = eyes.canary("web")
    assert held is not None
    assert held.object_kind.kind == "Canary"
    eyes.gone(theirs)
    held = eyes.canary("web")
    assert held is not None
    assert held.canary_service == "web-canary"


def test_a_name_is_free_once_its_canary_goes_by_another() -> None:
    eyes = Eyes()
    eyes.put(http_route("main", "api"), virtual_service("main", "web"))
    eyes.put(http_route("early", "web", annotations={"pullback.dev/canary": "web-canary"}))
    assert eyes.names() == ["early", "main"]
    held = eyes.canary("main")
    assert held is not None
    assert held.canary_service == "api-canary"


def test_what_a_route_led_to_before_is_not_what_it_leads_to_now() -> None:
    eyes = Eyes()
    eyes.put(builders.deployment(SHOP, "web-canary"), virtual_service("main", "web"))
    eyes.put(virtual_service("main", "pay"))
    held = eyes.canary("main")
    assert held is not None
    assert (held.canary_service, held.workload, held.revision) == ("pay-canary", "", "")


# -- while a rollback stands


def test_the_home_of_a_canary_stays_while_a_rollback_stands_on_it() -> None:
    """Law 6: an annotated route that comes meanwhile gives the canary no other name, under which nothing is held."""
    eyes = Eyes()
    eyes.put(virtual_service("web", "web"), record("web"))
    eyes.put(http_route("early", "web", annotations={"pullback.dev/canary": "web-canary"}))
    assert eyes.names() == ["web"]
    eyes.put(record("web", phase="Completed"))
    assert eyes.names() == ["early"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_home_is_the_same_after_a_restart_in_whatever_order_it_is_seen(order: Sequence[int]) -> None:
    seen = [virtual_service("web", "web"), record("web"),
            http_route("early", "web", annotations={"pullback.dev/canary": "web-canary"})]  # fmt: skip
    eyes = Eyes()
    eyes.put(*(seen[place] for place in order))
    assert eyes.names() == ["web"]


def test_an_edit_that_leaves_the_canary_alone_in_its_route_lifts_no_hold() -> None:
    """Laws 6 and 7: what nobody calls stable any more was stable when the rollback began."""
    eyes = Eyes()
    alone = virtual_service("web", "web")
    eyes.put(virtual_service("web", "web", weight=0), record("web"))
    alone["spec"]["http"] = [{"route": [{"destination": {"host": "web-canary"}}]}]
    eyes.put(alone)
    canary = eyes.canary("web")
    assert canary is not None
    (view,) = eyes.sight.gatherer.views(canary)
    assert not view.at_zero
    assert view.zero is not None
    assert {"host": "web-stable"} in [operation.value for operation in view.zero.operations]
    eyes.put(record("web", phase="Completed"))
    eyes.put(alone)
    assert eyes.canary("web") is None


# -- Rollouts


def test_routes_of_a_rollout_whose_rule_is_not_there_are_not_known() -> None:
    """Law 8: that nothing is known to reach it is no zero."""
    eyes = Eyes()
    document = rollouts.rollout(SHOP, rollouts.BY_SUBSETS, services=False)
    document["status"] = rollouts.status()
    route = rollouts.by_services(SHOP, 5)
    route["spec"]["http"][0]["route"] = [undriven.to("stable", 95), undriven.to("canary", 5)]
    eyes.put(route, document)
    canary = eyes.canary()
    assert canary is not None
    assert not eyes.sight.world.routes_known(canary)
    rule = undriven.rule(SHOP)
    eyes.put(rule)
    canary = eyes.canary()
    assert canary is not None
    assert eyes.sight.world.routes_known(canary)
    assert eyes.sight.gatherer.weight(canary) == 5
    eyes.gone(rule)
    canary = eyes.canary()
    assert canary is not None
    assert not eyes.sight.world.routes_known(canary)


def test_a_deployment_that_lends_its_template_runs_none_of_a_rollouts_pods() -> None:
    """Argo Rollouts takes it to 0 (``workloadRef.scaleDown``) at the start: no sign that the canary is gone."""
    eyes = Eyes()
    document = rollouts.rollout(SHOP, None, services=False)
    del document["spec"]["template"]
    document["spec"]["workloadRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}
    document["status"] = rollouts.status()
    lends = builders.deployment(SHOP, NAME, version="v4", replicas=0)
    lends["status"] = {"observedGeneration": 1}
    for order in ([lends, document], [document, lends]):
        eyes.put(*order)
        canary = eyes.canary()
        assert canary is not None
        assert canary.phase is CanaryPhase.PROGRESSING
        evidence = eyes.sight.gatherer.gather(canary.ref, eyes.sight.standings.of(canary.ref))
        assert evidence.workload is not None
        assert evidence.workload.images == ("registry.example:5000/summit-server:v4",)
        assert not evidence.gets_nothing


# -- how much is done for one change


def test_a_deployment_whose_pods_come_and_go_makes_nobody_read_routes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace of many canaries: readiness changes all the time."""
    eyes = Eyes()
    eyes.put(*release())
    for number in range(20):
        eyes.put(virtual_service(f"web-{number}", f"web-{number}"))
    eyes.put(undriven.routes(SHOP, 5))
    looked: list[str] = []
    kind = eyes.sight.kinds["VirtualService"]
    view = kind.view

    def counted(route: RouteObject, sides: Sides) -> RouteView:
        looked.append(route.ref.name)
        return view(route, sides)

    monkeypatch.setattr(kind, "view", counted)
    for ready in (1, 0, 2):
        eyes.put(undriven.workload(SHOP, "canary", "v4", ready=ready))
    assert looked == []
    canary = eyes.canary()
    assert canary is not None
    before = canary.revision
    eyes.put(undriven.workload(SHOP, "canary", "v5"))
    canary = eyes.canary()
    assert canary is not None
    assert canary.revision != before
    assert set(looked) == {NAME}  # nobody else's


def test_what_is_planned_follows_the_stable_side_though_the_route_itself_has_not_changed() -> None:
    """A view is kept while nothing that it was made of has changed: the sides are part of that."""
    eyes = Eyes()
    early = virtual_service("early", "web")
    early["spec"]["http"] = [{"route": [{"destination": {"host": "web-canary"}}]}]

    def main(name: str, host: str) -> Json:
        document = virtual_service(name, "web")
        document["spec"]["http"] = [{"route": [{"destination": {"host": host}}]}]
        return document

    def re_pointed_to() -> str:
        (view,) = eyes.sight.gatherer.views(eyes.canary("early"))
        assert view.zero is not None
        return str(view.zero.originals[0].replaced_with["destination"]["host"])

    eyes.put(early, main("main", "web"))
    assert re_pointed_to() == "web"
    eyes.put(main("other", "web-primary"))
    assert re_pointed_to() == "web-primary"
