"""The manifests of config/: what Flagger, Istio and the planner make of them."""

from __future__ import annotations

import copy
import re
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.adapters import acts, argo_rollouts, claims, traffic
from daemon.adapters.traffic import conventions, virtual_service
from daemon.adapters.traffic.patching import patched
from daemon.model.route import RouteObject, RouteView, Sides, percent
from daemon.model.signal import HookType
from daemon.sandbox.kubernetes_api.schemas import flaws, prune
from daemon.sandbox.translating import translate
from daemon.settings import Settings
from tests import routing

Json = dict[str, Any]

CHECKOUT = Path(__file__).parents[2]
CONFIG = CHECKOUT / "config"
FOLDERS = ("argo-rollouts", "flagger", "gateway-api", "istio", "nginx")
SELECTOR = re.compile(r"(\w+)\{([^}]*(?:\{\{[^}]*\}\}[^}]*)*)\}\[")
FLAGGER_SPLIT = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "summit-server", "namespace": "shop"},
    "spec": {
        "http": [
            {
                "route": [
                    {"destination": {"host": "summit-server-primary"}, "weight": 75},
                    {"destination": {"host": "summit-server-canary"}, "weight": 25},
                ]
            }
        ]
    },
}
"""What Flagger makes of the Canary: with `delegation` neither hosts nor gateways."""


def documents(*kinds: str) -> Iterator[Json]:
    for folder in FOLDERS:
        for path in sorted((CONFIG / folder).glob("*.yaml")):
            for document in yaml.safe_load_all(path.read_text("utf-8")):
                if not kinds or document["kind"] in kinds:
                    yield document


def named(document: Json) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


def canary() -> Json:
    (found,) = documents("Canary")
    return found


def seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)([sm])", text)
    assert found is not None, text
    return int(found[1]) * {"s": 1, "m": 60}[found[2]]


def definitions() -> dict[tuple[str, str], Json]:
    """Schemas by apiVersion and kind."""
    found = {}
    for path in (CHECKOUT / "daemon/sandbox/crds").glob("*.yaml"):
        spec = yaml.safe_load(path.read_text("utf-8"))["spec"]
        for version in spec["versions"]:
            key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
            found[key] = version["schema"]["openAPIV3Schema"]
    return found


@pytest.mark.parametrize("document", list(documents()), ids=named)
def test_every_object_is_one_that_the_api_server_takes_and_leaves_as_it_is(document: Json) -> None:
    assert {"name", "namespace"} <= document["metadata"].keys() <= {"name", "namespace", "annotations"}
    assert all(isinstance(value, str) for value in document["metadata"].get("annotations", {}).values())
    schema = definitions().get((document["apiVersion"], document["kind"]))
    if schema is not None:
        assert not list(flaws(schema, document))
        pruned = copy.deepcopy(document)
        prune(schema, pruned)
        assert pruned == document
    else:
        assert (document["apiVersion"], document["kind"]) in {
            ("flagger.app/v1beta1", "MetricTemplate"),
            ("networking.k8s.io/v1", "Ingress"),
        }


# -- Flagger


def test_every_hook_of_flaggers_asks_its_own_path_with_the_password() -> None:
    hooks = canary()["spec"]["analysis"]["webhooks"]
    assert sorted(hook["type"] for hook in hooks) == sorted(kind.value for kind in HookType)
    assert len({hook["name"] for hook in hooks}) == len(hooks)
    for hook in hooks:
        url = urllib.parse.urlsplit(hook["url"])
        assert url.path == f"/webhooks/flagger/{hook['type']}"
        assert (url.scheme, url.hostname, url.username, url.password) == (
            "http", "pullback.pullback", "pullback", "PASSWORD",
        )  # fmt: skip


def test_a_tick_of_all_hooks_at_their_slowest_is_shorter_than_the_interval() -> None:
    analysis = canary()["spec"]["analysis"]
    assert sum(seconds(hook["timeout"]) for hook in analysis["webhooks"]) < seconds(analysis["interval"])


def test_flaggers_own_metrics_take_two_minutes_at_most() -> None:
    analysis = canary()["spec"]["analysis"]
    assert seconds(analysis["interval"]) * (analysis["threshold"] + 1) <= 120


def test_answers_are_there_before_flagger_stops_waiting() -> None:
    gates = yaml.safe_load((CONFIG / "pullback.yaml").read_text("utf-8"))["gates"]
    waits = {hook["type"]: seconds(hook["timeout"]) for hook in canary()["spec"]["analysis"]["webhooks"]}
    assert seconds(gates["pre_rollout_within"]) < waits.pop("pre-rollout")
    assert min(waits.values()) >= 1, "answer_within is one second at most"


def test_an_acceptance_check_is_run_again_before_flagger_counts_its_no_again() -> None:
    gates = yaml.safe_load((CONFIG / "pullback.yaml").read_text("utf-8"))["gates"]
    slowest = seconds(gates["pre_rollout_within"])  # that a tick asks later after one answer than after another
    assert seconds(gates["retry"]) + slowest < seconds(canary()["spec"]["analysis"]["interval"])


def test_the_steps_are_the_stages_of_the_configuration() -> None:
    analysis = canary()["spec"]["analysis"]
    for name in ("pullback.yaml", "gates.yaml"):
        stages = yaml.safe_load((CONFIG / name).read_text("utf-8"))["policy"]["stages"]
        assert analysis["stepWeights"] == [stage["weight"] for stage in stages if stage["weight"]]
    assert analysis["maxWeight"] == max(analysis["stepWeights"])
    assert "stepWeight" not in analysis


def test_metrics_are_templates_that_measure_the_canary_alone() -> None:
    templates = {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in documents("MetricTemplate")}
    metrics = canary()["spec"]["analysis"]["metrics"]
    asked = [(one["templateRef"]["namespace"], one["templateRef"]["name"]) for one in metrics]
    assert sorted(asked) == sorted(templates)
    assert all("query" not in metric for metric in metrics)
    for template in templates.values():
        query = template["spec"]["query"]
        selectors = SELECTOR.findall(query)
        assert len(selectors) == query.count("[{{ interval }}]")
        for metric, matchers in selectors:
            assert 'destination_workload_namespace="{{ namespace }}"' in matchers, metric
            assert re.search(r'destination_workload="\{\{ target \}\}(-primary)?"', matchers), metric


# -- Istio


def sides(service: str) -> Sides:
    """As the daemon derives them from a Canary for this service."""
    return Sides(
        namespace="shop",
        canary_services=frozenset({("shop", f"{service}-canary")}),
        stable_services=frozenset({("shop", f"{service}-primary")}),
        shared_services=frozenset({("shop", service)}),
    )


def seen(document: Json, service: str) -> RouteView:
    return virtual_service.view(virtual_service.read(document), sides(service))


def test_no_host_has_two_virtual_services() -> None:
    hosts = Counter(host for one in documents("VirtualService") for host in one["spec"]["hosts"])
    assert set(hosts.values()) == {1}
    service = canary()["spec"]["service"]
    assert service["delegation"] is True, "or Flagger makes a second one"
    assert "hosts" not in service


@pytest.mark.parametrize(
    ("document", "service"),
    [
        *(
            (one, one["metadata"]["name"].removesuffix("-host"))
            for one in documents("VirtualService")
            if one["metadata"]["name"] != "orders"
        ),
        (FLAGGER_SPLIT, "summit-server"),
    ],
    ids=lambda value: value["metadata"]["name"] if isinstance(value, dict) else None,
)
def test_one_write_takes_every_path_to_zero_and_nothing_is_left_to_do(document: Json, service: str) -> None:
    before = seen(document, service)
    assert not before.at_zero
    assert before.zero is not None
    after = routing.apply(document, before.zero.operations)
    again = seen(after, service)
    assert again.at_zero
    assert again.zero is None
    shares = routing.canary_shares(routing.paths(after), sides(service))
    assert set(shares.values()) <= {0}
    stable = [routing.share(one, routing.is_stable, sides(service)) for one in routing.paths(after).values()]
    assert set(stable) == {1}, "nobody's requests are lost on the way"
    restored = virtual_service.restore(virtual_service.read(after), before.zero.originals)
    if before.zero.originals:
        opt_in = routing.apply(after, restored)["spec"]["http"][0]
        assert opt_in == document["spec"]["http"][0]


def test_flaggers_shares_and_the_opt_in_are_one_list_of_rules_for_the_host() -> None:
    (root,) = [one for one in documents("VirtualService") if one["metadata"]["name"] == "summit-server-host"]
    config = translate([root, FLAGGER_SPLIT])
    (host,) = config["virtual_hosts"]
    assert "api.summit.internal" in host["domains"]
    *opted, everybody = host["routes"]
    assert all(route["match"]["headers"] for route in opted)
    assert not everybody["match"].get("headers")
    shares = everybody["route"]["weighted_clusters"]["clusters"]
    assert [one["weight"] for one in shares] == [75, 25]
    paths = routing.mesh_paths([root, FLAGGER_SPLIT])
    assert len(routing.canary_shares(paths, sides("summit-server"))) == 2
    views = [seen(one, "summit-server") for one in (root, FLAGGER_SPLIT)]
    assert percent(views) == 25, "what everybody gets; who opts in does not make it 100"


def test_subsets_are_roles_and_both_are_defined() -> None:
    rules = {one["spec"]["host"]: one["spec"]["subsets"] for one in documents("DestinationRule")}
    for subsets in rules.values():
        assert all("version" not in subset["labels"] for subset in subsets)
    for document in documents("VirtualService"):
        for rule in document["spec"]["http"]:
            for entry in rule.get("route", []):
                destination = entry["destination"]
                if "subset" in destination:
                    assert destination["subset"] in {one["name"] for one in rules[destination["host"]]}


# -- Gateway API


def test_the_internal_route_has_a_narrow_rule_for_the_canary_and_stable_for_the_rest() -> None:
    (route,) = [one for one in documents("HTTPRoute") if one["metadata"]["name"] == "summit-server-internal"]
    narrow, rest = route["spec"]["rules"]
    assert narrow["matches"] == [
        {"headers": [{"type": "Exact", "name": "X-Summit-Employee", "value": "true"}]},
    ]
    assert [one["name"] for one in narrow["backendRefs"]] == ["summit-server-canary"]
    assert "matches" not in rest
    assert [one["name"] for one in rest["backendRefs"]] == ["summit-server-primary"]
    assert route["spec"]["parentRefs"]
    assert all(len(one) == 2 for rule in route["spec"]["rules"] for one in rule["backendRefs"])


# -- releases without Flagger


KINDS = traffic.discover()
UNDRIVEN = {
    "VirtualService checkout": ("checkout/canary", "checkout/stable", "checkout-canary", "checkout-stable"),
    "HTTPRoute payments": ("payments-next", "payments", "payments-next", "payments"),
    "GRPCRoute ledger": ("ledger-canary", "ledger-stable", "", ""),
    "Ingress search-canary": ("search-canary", "search-stable", "search-canary", "search-stable"),
}


def spots(services: Iterable[tuple[str, str]], subsets: Iterable[tuple[tuple[str, str], str]]) -> set[str]:
    return {name for _, name in services} | {f"{service[1]}/{subset}" for service, subset in subsets}


def claimed() -> dict[str, tuple[Json, RouteObject, Sides]]:
    """Routes that tell of a canary themselves, of every kind there is; but those of a controller's canary."""
    found = {}
    for document in documents(*KINDS):
        kind = KINDS[document["kind"]]
        route = kind.read(document)
        told = kind.claim(route, "cluster.local")
        if told is not None and not document["metadata"]["name"].startswith(("summit-server", "orders")):
            found[named(document)] = (document, route, told)
    return found


def test_each_kind_of_route_has_an_example_whose_canary_is_found() -> None:
    assert claimed().keys() == UNDRIVEN.keys()
    assert {name.split()[0] for name in UNDRIVEN} == KINDS.keys()


@pytest.mark.parametrize("name", UNDRIVEN)
def test_a_claim_is_found_and_zero_is_planned(name: str) -> None:
    _, route, told = claimed()[name]
    canary_side, stable_side, workload, stable_workload = UNDRIVEN[name]
    assert spots(told.canary_services, told.canary_subsets) == {canary_side}
    assert spots(told.stable_services, told.stable_subsets) == {stable_side}
    assert claims.named_workloads(route) == (workload, stable_workload)
    kind = KINDS[route.ref.kind]
    before = kind.view(route, told)
    assert not before.at_zero
    assert before.zero is not None
    after = kind.view(patched(route, before.zero.operations), told)
    assert (after.at_zero, after.zero) == (True, None)


def test_what_the_annotations_say_is_what_is_found_without_them() -> None:
    """They are there for other names."""
    for name in ("VirtualService checkout", "Ingress search-canary"):
        document, _, told = claimed()[name]
        bare = copy.deepcopy(document)
        bare["metadata"]["annotations"] = {
            key: value
            for key, value in document["metadata"]["annotations"].items()
            if key not in {conventions.CANARY, conventions.STABLE}
        }
        kind = KINDS[document["kind"]]
        found = kind.claim(kind.read(bare), "cluster.local")
        assert found is not None
        assert (found.canary_services, found.canary_subsets) == (told.canary_services, told.canary_subsets)


def test_every_annotation_that_people_may_write_on_a_route_is_shown() -> None:
    told = [one["metadata"].get("annotations", {}) for one in documents("VirtualService")]
    (shown,) = [one for one in told if one]
    assert set(shown) == {
        conventions.CANARY, conventions.STABLE, conventions.WORKLOAD, conventions.STABLE_WORKLOAD, acts.PROFILE,
        claims.DRIVEN,
    }  # fmt: skip
    assert shown[acts.PROFILE] in Settings().profiles


# -- Argo Rollouts


def test_the_rollout_names_the_rule_that_splits_and_both_sides() -> None:
    (rollout,) = documents("Rollout")
    (route,) = [one for one in documents("VirtualService") if one["metadata"]["name"] == "orders"]
    read = argo_rollouts.read_rollout(rollout, lambda _namespace, _name: None, "cluster.local")
    assert read is not None
    assert read.sides is not None
    assert (read.provider, read.steps, read.shares_capacity) == ("istio", (5, 25, 50), False)
    assert read.provider in virtual_service.PROVIDERS
    split = rollout["spec"]["strategy"]["canary"]["trafficRouting"]["istio"]["virtualService"]
    assert (split["name"], split["routes"]) == ("orders", [rule["name"] for rule in route["spec"]["http"]])
    view = virtual_service.view(virtual_service.read(route), read.sides)
    assert percent([view]) == 5
    assert view.zero is not None
    after = routing.apply(route, view.zero.operations)
    assert virtual_service.view(virtual_service.read(after), read.sides).at_zero
