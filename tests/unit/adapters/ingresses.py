"""Ingresses as people and Flagger write them, for the examples and for the properties."""

import copy
from typing import Any

from hypothesis import strategies as st

from daemon.model.route import Sides

Document = dict[str, Any]

PREFIX = "nginx.ingress.kubernetes.io"
SIDES = Sides(
    namespace="test",
    canary_services=frozenset({("test", "podinfo-canary")}),
    stable_services=frozenset({("test", "podinfo-primary")}),
    shared_services=frozenset({("test", "podinfo")}),
)


def backend(service: str, port: Any = 80) -> Document:
    return {"service": {"name": service, "port": {"number": port} if isinstance(port, int) else {"name": port}}}


def rule(host: str, *paths: tuple[str, str]) -> Document:
    """``paths``: where, and the service."""
    listed = [{"path": path, "pathType": "Prefix", "backend": backend(service)} for path, service in paths]
    return {"host": host, "http": {"paths": listed}} if host else {"http": {"paths": listed}}


def ingress(name: str, *rules: Document, annotations: Document | None = None, **spec: Any) -> Document:
    document: Document = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"namespace": "test", "name": name, "resourceVersion": "40991", "generation": 2},
        "spec": {"ingressClassName": "nginx", "rules": list(rules), **spec},
    }
    if annotations is not None:
        document["metadata"]["annotations"] = dict(annotations)
    return document


def nginx(prefix: str = PREFIX, **annotations: str) -> dict[str, str]:
    """``nginx(canary_weight="5")``: annotations under the prefix, written with underscores."""
    return {f"{prefix}/{name.replace('_', '-')}": value for name, value in annotations.items()}


def main(**annotations: str) -> Document:
    return ingress("podinfo", rule("app.example.com", ("/", "podinfo")), annotations=nginx(**annotations))


def canary(prefix: str = PREFIX, **annotations: str) -> Document:
    """Flagger's, in the middle of a release unless ``annotations`` say otherwise."""
    said = nginx(prefix, canary="true", **annotations)
    return ingress("podinfo-canary", rule("app.example.com", ("/", "podinfo-canary")), annotations=said)


# -- random ones

HOSTS = ["app.example.com", "www.example.com", ""]
PATHS = ["/", "/api", "/admin"]
numbers = st.sampled_from(["0", "1", "5", "50", "100", "+7", "-3", "007", "250"])
unreadable = st.sampled_from(["abc", "5.5", "5%", " 5", "1_0", "", "9" * 30, "٣"])


@st.composite
def rules_to(draw: st.DrawFn, *services: str) -> Document:
    """Rules and perhaps a default backend that lead to some of these services, and at least to one."""
    listed = []
    for host in draw(st.lists(st.sampled_from(HOSTS), min_size=1, max_size=2, unique=True)):
        paths = draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=2, unique=True))
        listed.append(rule(host, *((path, draw(st.sampled_from(services))) for path in paths)))
    spec: Document = {"rules": listed}
    if draw(st.integers(0, 4)) == 0:
        spec["defaultBackend"] = backend(draw(st.sampled_from(services)))
    return spec


@st.composite
def canary_annotations(draw: st.DrawFn, *, readable: bool = True) -> Document:
    said = {"canary": draw(st.sampled_from(["true", "true", "1", "T"]))}
    weight = numbers if readable else numbers | unreadable
    for name, values in (
        ("canary-weight", weight),
        ("canary-weight-total", weight),
        ("canary-by-header", st.sampled_from(["x-canary", "x-region"])),
        ("canary-by-header-value", st.just("eu-1")),
        ("canary-by-header-pattern", st.sampled_from(["^eu", "never|else"])),
        ("canary-by-cookie", st.sampled_from(["canary", "beta"])),
        ("affinity-canary-behavior", st.sampled_from(["legacy", "sticky"])),
        ("rewrite-target", st.just("/$1")),
    ):
        if draw(st.booleans()):
            said[name] = draw(values)
    return {f"{PREFIX}/{name}": value for name, value in said.items()}


@st.composite
def releases(draw: st.DrawFn, *, readable: bool = True) -> list[Document]:
    """A main Ingress, a canary's own for the same rules and perhaps an opt-in host of its own, in any order of age.

    Where sessions stick, the canary's own says so too, as Flagger's copy does.
    """
    spec = draw(rules_to("podinfo", "podinfo", "auth"))
    affinity = {f"{PREFIX}/affinity": "cookie"} if draw(st.booleans()) else {}
    first = ingress("podinfo", annotations=affinity) | {"spec": spec}
    copied = copy.deepcopy(spec)
    for one in [copied.get("defaultBackend"), *(p["backend"] for r in copied["rules"] for p in r["http"]["paths"])]:
        if one and one["service"]["name"] == "podinfo":
            one["service"]["name"] = "podinfo-canary"
    second = ingress("podinfo-canary", annotations=affinity | draw(canary_annotations(readable=readable)))
    third = ingress("opt-in", annotations=draw(st.sampled_from([None, {}, MIRRORED, nginx(canary="false")])))
    opt_in = draw(rules_to("podinfo-canary", "podinfo-primary", "auth"))
    for one in opt_in["rules"]:
        one["host"] = "beta.example.com"
    found = [first, second | {"spec": copied}, third | {"spec": opt_in}]
    ordered: list[Document] = draw(st.permutations(found[: draw(st.integers(2, 3))]))
    return ordered


MIRRORED = nginx(mirror_target="http://podinfo-canary.test.svc.cluster.local$request_uri")

odd = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 200), st.sampled_from(["", "podinfo-canary", "~1/~0", "*"]),
    st.lists(st.none() | st.integers() | st.dictionaries(st.sampled_from(["http", "host"]), st.none())),
    st.dictionaries(st.sampled_from(["service", "name", "paths", "http", "backend"]), st.none() | st.text()),
)  # fmt: skip


IDENTITY = {"namespace", "name", "resourceVersion"}


@st.composite
def broken(draw: st.DrawFn) -> Document:
    """Somewhere in an object stands what should not stand there."""
    document: Document = copy.deepcopy(draw(st.sampled_from(draw(releases(readable=False)))))
    for _ in range(draw(st.integers(1, 3))):
        node: Any = draw(st.sampled_from([document, document["metadata"]]))
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            keys = [key for key in keys if key not in {"namespace", "name", "metadata", "kind"} or node is not document]
            keys = [key for key in keys if not (node is document["metadata"] and key in IDENTITY)]
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], dict | list) and node[key] and draw(st.booleans()):
                node = node[key]
                continue
            node[key] = draw(odd)
            break
    return document
