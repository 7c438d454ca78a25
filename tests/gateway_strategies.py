"""Random HTTPRoutes and GRPCRoutes, as people, Flagger and accidents write them."""

import copy
from typing import Any

from hypothesis import strategies as st

from daemon.model.route import Sides

Document = dict[str, Any]
Whom = tuple[str, str, str]
"""(kind, namespace, name)"""

SIDES = Sides(
    namespace="test",
    canary_services=frozenset({("test", "podinfo-canary"), ("shop", "summit-server-canary")}),
    stable_services=frozenset({("test", "podinfo-primary"), ("shop", "summit-server")}),
    shared_services=frozenset({("test", "podinfo")}),
)
ORPHANED = Sides(
    namespace="test",
    canary_services=SIDES.canary_services | {("test", "lonely-canary")},
    stable_services=SIDES.stable_services,
    shared_services=SIDES.shared_services,
)
"""Sides in which ``lonely-canary`` has no stable service that anybody could name."""

CANARY: list[Whom] = [("Service", "test", "podinfo-canary"), ("Service", "shop", "summit-server-canary")]
LONELY: list[Whom] = [("Service", "test", "lonely-canary")]
STABLE: list[Whom] = [("Service", "test", "podinfo-primary"), ("Service", "shop", "summit-server")]
OTHER: list[Whom] = [
    ("Service", "test", "auth"),
    ("Service", "test", "podinfo"),
    ("Service", "other", "podinfo-canary"),
    ("Service", "test", "podinfo-canary-v7"),
    ("ServiceImport", "test", "podinfo-canary"),
    ("ServiceImport", "test", "podinfo-primary"),
]
GROUPS = {"Service": "", "ServiceImport": "multicluster.x-k8s.io"}

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 200),
    st.just(10**400),
    st.floats(allow_nan=False),
    st.sampled_from(["", "5", "podinfo-canary", "Service", "RequestMirror", "*"]),
    st.lists(st.none() | st.integers() | st.dictionaries(st.sampled_from(["name", "type"]), st.none())),
    st.dictionaries(st.sampled_from(["name", "weight", "backendRef", "type", "x"]), st.integers() | st.text()),
)
weights = st.one_of(st.none(), st.just(0), st.integers(0, 100), st.integers(0, 1000))
HEADERS: Document = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x", "value": "y"}]}}


@st.composite
def references(draw: st.DrawFn, home: str, among: list[Whom]) -> Document:
    kind, namespace, name = draw(st.sampled_from(among))
    found: Document = {"name": name, "port": draw(st.sampled_from([80, 9898]))}
    if kind != "Service" or draw(st.booleans()):
        found |= {"group": GROUPS[kind], "kind": kind}
    if namespace != home or draw(st.integers(0, 3)) == 0:
        found["namespace"] = namespace
    return found


@st.composite
def filters(draw: st.DrawFn, home: str, canary: list[Whom]) -> list[Document]:
    """Mirrors and other filters, in any order."""
    share: st.SearchStrategy[Document] = st.sampled_from([
        {}, {}, {"percent": 50}, {"percent": 0}, {"fraction": {"numerator": 1}},
        {"fraction": {"numerator": 3, "denominator": 1000}}, {"fraction": {"numerator": 0, "denominator": 7}},
    ])  # fmt: skip
    found: list[Document] = []
    for kind in draw(st.lists(st.sampled_from(["headers", "canary", "canary", "stable", "other"]), max_size=3)):
        among = {"canary": canary, "stable": STABLE, "other": OTHER}.get(kind)
        if among is None:
            found.append(copy.deepcopy(HEADERS))
        else:
            mirror = {"backendRef": draw(references(home, among)), **copy.deepcopy(draw(share))}
            found.append({"type": "RequestMirror", "requestMirror": mirror})
    return found


@st.composite
def backends(draw: st.DrawFn, home: str, canary: list[Whom], *, hundred: bool) -> list[Document]:
    """A rule's backends: any mix of sides. ``hundred`` makes the weights add up as Flagger's do."""
    kinds = draw(st.lists(st.sampled_from([canary, canary, STABLE, STABLE, OTHER]), min_size=1, max_size=4))
    listed: list[Document] = []
    for kind in kinds:
        entry: Document = draw(references(home, kind))
        if (weight := draw(weights)) is not None:
            entry["weight"] = weight
        if draw(st.integers(0, 4)) == 0:
            entry["filters"] = draw(filters(home, canary))
        listed.append(entry)
    if hundred:
        rest = 100
        for entry in listed[1:]:
            entry["weight"] = draw(st.integers(0, rest))
            rest -= entry["weight"]
        listed[0]["weight"] = rest
    return listed


@st.composite
def rules(draw: st.DrawFn, home: str, canary: list[Whom], *, hundred: bool) -> Document:
    rule: Document = {}
    if draw(st.booleans()):
        value = draw(st.sampled_from(["true", "opt/in", "~"]))
        rule["matches"] = [{"headers": [{"type": "Exact", "name": "X-Summit-Employee", "value": value}]}]
    if draw(st.integers(0, 3)) == 0:
        rule["name"] = draw(st.sampled_from(["opt-in", "default"]))
    if draw(st.integers(0, 6)) == 0:
        return rule | {"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]}
    if draw(st.integers(0, 5)) == 0:
        rule["sessionPersistence"] = {"type": "Cookie"}
    if draw(st.integers(0, 2)) == 0:
        rule["filters"] = draw(filters(home, canary))
    return rule | {
        "timeouts": {"request": "5s"},
        "x-unknown": {"name": "podinfo-canary"},
        "backendRefs": draw(backends(home, canary, hundred=hundred)),
    }


@st.composite
def routes(
    draw: st.DrawFn, kind: str, name: str = "podinfo", *, hundred: bool = False, orphans: bool = False
) -> Document:
    """One route, in the canary's namespace or in another."""
    home = draw(st.sampled_from(["test", "test", "shop", "infra"]))
    canary = CANARY + LONELY if orphans else CANARY
    spec: Document = {"hostnames": ["app.example.com"], "parentRefs": [{"name": "public", "namespace": "infra"}]}
    listed = draw(st.lists(rules(home, canary, hundred=hundred), max_size=3))
    empty = draw(st.booleans())
    if listed or empty:
        spec["rules"] = listed
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": home, "resourceVersion": "7", "generation": 3},
        "spec": spec,
    }


@st.composite
def gateways(draw: st.DrawFn, kind: str) -> list[Document]:
    """Several routes on one hostname that reach the same canary."""
    return [draw(routes(kind, f"route-{number}")) for number in range(draw(st.integers(1, 4)))]


@st.composite
def other_weights(draw: st.DrawFn, document: Document) -> Document:
    """The same object after somebody moved weights: every sum and every backend is as before."""
    changed = copy.deepcopy(document)
    for rule in changed["spec"].get("rules", []):
        listed = rule.get("backendRefs", [])
        rest = sum(entry.get("weight", 1) for entry in listed)
        for entry in listed[1:]:
            entry["weight"] = draw(st.integers(0, rest))
            rest -= entry["weight"]
        for entry in listed[:1]:
            entry["weight"] = rest
    return changed


@st.composite
def other_structure(draw: st.DrawFn, document: Document) -> Document:
    """The same object after somebody rebuilt it: rules and backends inserted, deleted, swapped, replaced."""
    changed = copy.deepcopy(document)
    home = changed["metadata"]["namespace"]
    for _ in range(draw(st.integers(1, 3))):
        listed = changed["spec"].setdefault("rules", [])
        splits = [rule["backendRefs"] for rule in listed if rule.get("backendRefs")]
        target: list[Document] = draw(st.sampled_from([listed, *splits]))
        how = draw(st.sampled_from(["insert", "delete", "swap", "replace"]))
        if how == "insert":
            new = draw(rules(home, CANARY, hundred=True)) if target is listed else draw(_entry(home))
            target.insert(draw(st.integers(0, len(target))), new)
        elif how == "delete" and len(target) > (target is not listed):
            del target[draw(st.integers(0, len(target) - 1))]
        elif how == "swap" and target:
            target.insert(0, target.pop())
        elif how == "replace" and target is not listed:
            one = draw(st.sampled_from(target))
            for key in ("group", "kind", "namespace"):
                one.pop(key, None)
            one |= {key: value for key, value in draw(_entry(home)).items() if key != "weight"}
    return changed


@st.composite
def _entry(draw: st.DrawFn, home: str) -> Document:
    among = draw(st.sampled_from([CANARY, STABLE, OTHER]))
    return {**draw(references(home, among)), "weight": draw(st.integers(0, 100))}


@st.composite
def statuses(draw: st.DrawFn) -> Document:
    """What controllers may have written of an object of generation 3."""
    condition = st.fixed_dictionaries(
        {"type": st.sampled_from(["Accepted", "ResolvedRefs", "PartiallyInvalid"]),
         "status": st.sampled_from(["True", "False", "Unknown"]), "reason": st.just("Because")},
        optional={"observedGeneration": st.integers(1, 4), "message": st.text(max_size=5)},
    )  # fmt: skip
    parent = st.fixed_dictionaries(
        {"parentRef": st.just({"name": "public"}), "conditions": st.lists(condition, max_size=3)},
        optional={"controllerName": st.just("example.net/gateway")},
    )
    return {"parents": draw(st.lists(parent, max_size=2))}


@st.composite
def broken(draw: st.DrawFn, kind: str) -> Document:
    """A route in which anything anywhere may be something else."""
    document = {**draw(routes(kind)), "status": draw(statuses())}
    for _ in range(draw(st.integers(1, 3))):
        _break(draw, document, draw(st.integers(0, 8)))
    return document


def _break(draw: st.DrawFn, node: Any, depth: int) -> None:
    keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
    if not keys:
        return
    key = draw(st.sampled_from(keys))
    if depth and isinstance(node[key], dict | list) and node[key]:
        _break(draw, node[key], depth - 1)
    elif isinstance(node, dict) and draw(st.booleans()):
        del node[key]
    else:
        node[key] = draw(odd)
