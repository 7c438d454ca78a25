"""Random routing objects, as people, Flagger and accidents write them."""

import copy
from typing import Any

from hypothesis import strategies as st

from daemon.model.route import Sides

Document = dict[str, Any]
Host = tuple[str, str, str | None]
"""(namespace, service, subset)"""

SIDES = Sides(
    namespace="test",
    canary_services=frozenset({("test", "podinfo-canary")}),
    stable_services=frozenset({("test", "podinfo-primary")}),
    shared_services=frozenset({("test", "podinfo"), ("test", "summit-server")}),
)
ORPHANED = Sides(
    namespace="test",
    canary_services=SIDES.canary_services | {("test", "lonely-canary")},
    stable_services=SIDES.stable_services | {("test", "summit-server-primary")},
    shared_services=SIDES.shared_services,
)
"""Sides in which ``lonely-canary`` has no stable service that anybody could name."""

CANARY: list[Host] = [
    ("test", "podinfo-canary", None),
    ("test", "podinfo-canary", "v2"),
    ("test", "podinfo", "canary"),
    ("test", "podinfo", "v2-canary"),
    ("test", "summit-server", "canary"),
]
LONELY: list[Host] = [("test", "lonely-canary", None)]
STABLE: list[Host] = [
    ("test", "podinfo-primary", None),
    ("test", "podinfo-primary", "v1"),
    ("test", "podinfo", "stable"),
    ("test", "podinfo", "v2-primary"),
    ("test", "summit-server", "v1-stable"),
]
OTHER: list[Host] = [
    ("test", "auth", None),
    ("test", "podinfo", None),
    ("test", "podinfo", "canary-v7"),
    ("test", "podinfo-primary", "canary"),
    ("other", "podinfo-canary", None),
    ("other", "podinfo", "canary"),
]

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 200),
    st.floats(allow_nan=False),
    st.sampled_from(["", "5", "podinfo-canary", "..", "a..b.svc", "*"]),
    st.lists(st.none() | st.integers() | st.dictionaries(st.sampled_from(["host", "route"]), st.none())),
    st.dictionaries(st.sampled_from(["host", "destination", "weight", "value", "x"]), st.integers() | st.text()),
)
weights = st.one_of(st.none(), st.just(0), st.integers(0, 100), st.integers(0, 1000))


@st.composite
def destinations(draw: st.DrawFn, home: str, among: list[Host]) -> Document:
    namespace, name, subset = draw(st.sampled_from(among))
    spelled = [f"{name}.{namespace}{tail}" for tail in ("", ".svc", ".svc.cluster.local")]
    if namespace == home:
        spelled.append(name)
    destination: Document = {"host": draw(st.sampled_from(spelled))}
    if among is OTHER and draw(st.integers(0, 5)) == 0:
        return {"host": "api.example.com"}
    if subset is not None:
        destination["subset"] = subset
    if draw(st.booleans()):
        destination["port"] = {"number": draw(st.sampled_from([80, 9898]))}
    return destination


@st.composite
def entries(draw: st.DrawFn, home: str, canary: list[Host], *, hundred: bool) -> list[Document]:
    """A rule's route: any mix of sides. ``hundred`` makes the weights add up as Istio's examples do."""
    kinds = draw(st.lists(st.sampled_from([canary, canary, STABLE, STABLE, OTHER]), min_size=1, max_size=4))
    route: list[Document] = []
    for kind in kinds:
        entry: Document = {"destination": draw(destinations(home, kind))}
        if (weight := draw(weights)) is not None:
            entry["weight"] = weight
        if draw(st.integers(0, 4)) == 0:
            entry["headers"] = {"response": {"set": {"x-version": "canary"}}}
        route.append(entry)
    if hundred:
        rest = 100
        for entry in route[1:]:
            entry["weight"] = draw(st.integers(0, rest))
            rest -= entry["weight"]
        route[0]["weight"] = rest
    return route


@st.composite
def rules(draw: st.DrawFn, section: str, home: str, canary: list[Host], *, hundred: bool) -> Document:
    rule: Document = {}
    if draw(st.booleans()):
        rule["match"] = [{"headers": {"x-canary": {"exact": draw(st.sampled_from(["true", "opt/in", "~"]))}}}]
    if section == "http":
        if draw(st.booleans()):
            rule["name"] = draw(st.sampled_from(["opt-in", "default", "a/b~c"]))
        if draw(st.integers(0, 6)) == 0:
            return rule | draw(st.sampled_from([{"redirect": {"uri": "/"}}, {"directResponse": {"status": 503}}]))
        rule |= draw(mirrors(home, canary)) | {"timeout": "5s", "x-unknown": {"host": "podinfo-canary"}}
    return rule | {"route": draw(entries(home, canary, hundred=hundred))}


@st.composite
def mirrors(draw: st.DrawFn, home: str, canary: list[Host]) -> Document:
    percentage = st.sampled_from([{"value": 50.0}, {"value": 0.5}, {"value": 0}, {}, {"value": 100}])
    anywhere = st.sampled_from([canary, STABLE, OTHER]).flatmap(lambda kind: destinations(home, kind))
    kind = draw(st.sampled_from(["none", "none", "mirror", "mirrors"]))
    if kind == "mirror":
        return {"mirror": draw(anywhere)} | draw(st.fixed_dictionaries({}, optional={"mirrorPercentage": percentage}))
    if kind == "mirrors":
        one = st.fixed_dictionaries({"destination": anywhere}, optional={"percentage": percentage})
        return {"mirrors": draw(st.lists(one, max_size=4))}
    return {}


@st.composite
def virtual_services(
    draw: st.DrawFn, name: str = "podinfo", *, hundred: bool = False, orphans: bool = False
) -> Document:
    """One VirtualService, in the canary's namespace or in another."""
    home = draw(st.sampled_from(["test", "test", "mesh"]))
    canary = CANARY + LONELY if orphans else CANARY
    spec: Document = {"hosts": ["podinfo"], "gateways": ["mesh"]}
    for section, most in (("http", 3), ("tcp", 1), ("tls", 1)):
        listed = draw(st.lists(rules(section, home, canary, hundred=hundred), max_size=most))
        if listed or draw(st.integers(0, 4)) == 0:
            spec[section] = listed
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": home, "resourceVersion": "7", "generation": 3},
        "spec": spec,
    }


@st.composite
def meshes(draw: st.DrawFn) -> list[Document]:
    """Several VirtualServices that reach the same canary; some hand on to others as delegates."""
    count = draw(st.integers(1, 4))
    found = [draw(virtual_services(f"route-{number}")) for number in range(count)]
    for document in found[1:]:
        if draw(st.booleans()):
            del document["spec"]["hosts"], document["spec"]["gateways"]
            metadata = document["metadata"]
            delegate = {"name": metadata["name"], "namespace": metadata["namespace"]}
            found[0]["spec"].setdefault("http", []).append({"delegate": delegate})
    return found


@st.composite
def other_weights(draw: st.DrawFn, document: Document) -> Document:
    """The same object after somebody moved weights: every sum and every destination is as before."""
    changed = copy.deepcopy(document)
    for section in ("http", "tcp", "tls"):
        for rule in changed["spec"].get(section, []):
            weighed = [entry for entry in rule.get("route", []) if "weight" in entry]
            rest = sum(entry["weight"] for entry in weighed)
            for entry in weighed[1:]:
                entry["weight"] = draw(st.integers(0, rest))
                rest -= entry["weight"]
            for entry in weighed[:1]:
                entry["weight"] = rest
    return changed


@st.composite
def other_structure(draw: st.DrawFn, document: Document) -> Document:
    """The same object after somebody rebuilt it: rules and destinations inserted, deleted, swapped, replaced."""
    changed = copy.deepcopy(document)
    home = changed["metadata"]["namespace"]
    for _ in range(draw(st.integers(1, 3))):
        section = draw(st.sampled_from(["http", "tcp", "tls"]))
        listed = changed["spec"].setdefault(section, [])
        routes = [listed] + [rule["route"] for rule in listed if rule.get("route")]
        target = draw(st.sampled_from(routes))
        kind = draw(st.sampled_from(["insert", "delete", "swap", "replace"]))
        if kind == "insert":
            new = rules(section, home, CANARY, hundred=True) if target is listed else _entry(home)
            target.insert(draw(st.integers(0, len(target))), draw(new))
        elif kind == "delete" and len(target) > (target is not listed):
            del target[draw(st.integers(0, len(target) - 1))]
        elif kind == "swap" and target:
            target.insert(0, target.pop())
        elif kind == "replace" and target is not listed:
            draw(st.sampled_from(target))["destination"] = draw(_entry(home))["destination"]
    return changed


@st.composite
def _entry(draw: st.DrawFn, home: str) -> Document:
    kind = draw(st.sampled_from([CANARY, STABLE, OTHER]))
    return {"destination": draw(destinations(home, kind)), "weight": draw(st.integers(0, 100))}


@st.composite
def broken(draw: st.DrawFn) -> Document:
    """A VirtualService in which anything anywhere may be something else."""
    document = draw(virtual_services())
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
