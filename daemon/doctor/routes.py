"""Routes: which of their paths stay open when somebody lowers a weight, and which nobody can close."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daemon.doctor.documents import Document, Path, spelled
from daemon.doctor.findings import Finding, fail, fine, warn
from daemon.doctor.known import Known
from daemon.doctor.sides import GATEWAY_KINDS, is_canary, is_stable, sides

_SECTIONS = ("http", "tcp", "tls")
_MESH = "mesh"
_KINDS = frozenset({"VirtualService", "TLSRoute", "TCPRoute"}) | GATEWAY_KINDS


def examine(documents: Sequence[Document], known: Known, mover: str = "") -> list[Finding]:
    """``mover`` says who moves the traffic in a rollback where that is not Pullback: one who knows weights only."""
    found = [*_hosts(documents), *_twice(documents), *_subsets(documents)]
    for document in documents:
        if document.kind not in _KINDS:
            continue
        problems = [*_paths(document, known, mover), *_writable(document, known), *_version(document)]
        found += problems or [fine("routes/read", document.at(), "every path has its weights")]
    return found


def _hosts(documents: Sequence[Document]) -> Iterator[Finding]:
    """Istio merges several VirtualServices of one host at a gateway only, and in no order that is promised."""
    holders: defaultdict[tuple[str, str], dict[tuple[str, str], Document]] = defaultdict(dict)
    for document in documents:
        if document.kind != "VirtualService":
            continue
        spec = _mapping(document.data.get("spec"))
        for host in _texts(spec.get("hosts")):
            # A short name means another service in another namespace.
            scope = document.namespace if "." not in host else ""
            for gateway in _texts(spec.get("gateways")) or [_MESH]:
                owner = (scope, f"{host} at {gateway}")
                holders[owner].setdefault((document.namespace, document.name), document)
    for (_, host), objects in sorted(holders.items()):
        if len(objects) > 1:
            named = [f"{namespace}/{name}".strip("/") for namespace, name in objects]
            mesh = host.endswith(f" at {_MESH}")
            what = (
                "in the mesh only one of them counts" if mesh else "their rules are merged in no order that is promised"
            )
            yield (fail if mesh else warn)(
                "routes/one-host-twice", list(objects.values())[-1].at("spec", "hosts"),
                f"VirtualServices {' and '.join(named)} all answer for {host}: {what}", "one VirtualService for a host",
                "put the rules of both into one, the narrowest match first",
            )  # fmt: skip


def _twice(documents: Sequence[Document]) -> Iterator[Finding]:
    seen: dict[tuple[str, str, str], Document] = {}
    for document in documents:
        if document.kind not in _KINDS:
            continue
        key = (document.kind, document.namespace, document.name)
        first = seen.setdefault(key, document)
        if first is not document and first.data != document.data:
            yield warn(
                "routes/written-twice", document.at(), f"the same object as {first.at()}, with another content: what "
                "is applied last removes the paths of the other", "one text for one object", "keep one of them",
            )  # fmt: skip


def _subsets(documents: Sequence[Document]) -> Iterator[Finding]:
    """Where DestinationRules are given: a subset that none of them knows answers with 503."""
    known: defaultdict[str, set[str]] = defaultdict(set)
    for document in documents:
        spec = _mapping(document.data.get("spec")) if document.kind == "DestinationRule" else {}
        listed = spec.get("subsets")
        if isinstance(listed, list):
            known[str(spec.get("host")).partition(".")[0]] |= {str(_mapping(one).get("name")) for one in listed}
    for document in documents:
        for path, _, entries in rules(document) if document.kind == "VirtualService" else ():
            for index, entry in enumerate(entries):
                destination = _mapping(entry.get("destination"))
                host, subset = str(destination.get("host")).partition(".")[0], destination.get("subset")
                if subset and host in known and subset not in known[host]:
                    yield fail(
                        "routes/no-subset", document.at(*path, "route", index), f"subset {subset} of {host} is in no "
                        "DestinationRule: its requests are answered 503", f"one of {', '.join(sorted(known[host]))}",
                        f"add subset {subset} to the DestinationRule of {host}",
                    )  # fmt: skip


def rules(document: Document) -> Iterator[tuple[Path, Mapping[str, Any], list[Mapping[str, Any]]]]:
    """Path, body and destinations of every rule, Istio's and the Gateway API's alike."""
    spec = _mapping(document.data.get("spec"))
    istio = document.kind == "VirtualService"
    for section in _SECTIONS if istio else ("rules",):
        listed = spec.get(section)
        for index, body in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(body, Mapping):
                entries = body.get("route" if istio else "backendRefs")
                found = [_mapping(one) for one in entries] if isinstance(entries, list) else []
                yield ("spec", section, index), body, found


def _paths(document: Document, known: Known, mover: str) -> Iterator[Finding]:
    written = document.kind in known.kinds
    closed = _closed(document, known) if written else frozenset()
    for path, body, entries in rules(document):
        if document.kind in GATEWAY_KINDS and entries and all(one.get("weight") == 0 for one in entries):
            yield _weightless(document.at(*path), spelled(path[1:]))
            continue
        if not any(is_canary(one) for one in entries):
            continue
        if len(entries) == 1 and written:
            yield _alone(document, path, body, mover, closed=spelled(path[1:]) in closed)
        if len(entries) > 1 and document.kind == "VirtualService":
            yield from _split(document.at(*path), entries)


def _split(where: str, entries: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    weights = [one.get("weight") for one in entries]
    numbers = [one for one in weights if isinstance(one, int)]
    if len(numbers) == len(weights) and sum(numbers) != 100:
        yield warn(
            "routes/shares", where, f"the weights add up to {sum(numbers)}", "100, as people read percent and Flagger "
            "writes them", "write whole shares: stable has what the canary has not",
        )  # fmt: skip
    if not any(is_stable(one) for one in entries):
        yield fail(
            "routes/no-stable", where, "the canary shares this path with destinations that are not its stable version: "
            "what it has cannot be given back", "the stable version among the destinations",
            "name the stable Service or subset in this rule",
        )  # fmt: skip


def _alone(document: Document, path: Path, body: Mapping[str, Any], mover: str, *, closed: bool) -> Finding:
    """An only destination gets everything whatever its weight, and an only backend of weight 0 answers with errors."""
    how = "by a match" if body.get("match") or body.get("matches") else "for everybody"
    seen = f"{spelled(path[1:])} sends to the canary alone, {how}, whatever its weight"
    if closed and not mover:
        return fine("routes/repointed", document.at(*path), f"{seen}: a rollback of Pullback's points it to stable")
    return warn(
        "routes/canary-alone", document.at(*path),
        f"{seen}: {mover or 'who lowers weights elsewhere'} leaves this path as it is",
        "a path on which the canary is taken to 0 with the others",
        "let Pullback do it, which re-points such paths; or name the stable version beside it: canary 100, stable 0",
    )  # fmt: skip


def _weightless(where: str, path: str) -> Finding:
    return warn(
        "routes/no-weight", where, f"all backends of {path} have weight 0: its requests are answered with errors",
        "a backend with a weight above 0", "give the stable Service the weight, or take the rule away",
    )  # fmt: skip


def _closed(document: Document, known: Known) -> frozenset[str]:
    """Paths that a rollback would close, as far as names tell the sides."""
    kind = known.kinds[document.kind]
    view = kind.view(kind.read(document.data), sides(document, kind, known.cluster_domain))
    return frozenset(change.path for change in view.zero.changes) if view.zero else frozenset()


def _writable(document: Document, known: Known) -> Iterator[Finding]:
    canaries = [path for path, _, entries in rules(document) if any(is_canary(one) for one in entries)]
    if not canaries:
        return
    kind = known.kinds.get(document.kind)
    if kind is None:
        yield fail(
            "routes/not-written", document.at(*canaries[0]), f"Pullback writes no {document.kind}: this path to the "
            "canary stays open in a rollback until its pods are gone, and answers with errors then",
            f"one of {', '.join(sorted(known.kinds))}",
            "take this path away before the release, or give it by a kind that is written",
        )  # fmt: skip
        return
    closed = _closed(document, known)
    yield from _foreign(document)
    view = kind.view(kind.read(document.data), sides(document, kind, known.cluster_domain))
    for one in view.paths:
        if one.share > 0 and one.path not in closed:
            yield fail(
                "routes/cannot-be-closed", document.at("spec"), f"{one.path} reaches the canary, and there is no "
                "stable destination that its traffic could be given to", "a stable counterpart in the same object",
                "name the stable destination in this rule, with weight 0",
            )  # fmt: skip


def _foreign(document: Document) -> Iterator[Finding]:
    """Canaries of the Gateway API that are no Services: the daemon knows neither their pods nor their stable side."""
    for path, _, entries in rules(document) if document.kind in GATEWAY_KINDS else ():
        for index, entry in enumerate(entries):
            kind = entry.get("kind") or "Service"
            if is_canary(entry) and kind != "Service":
                yield fail(
                    "routes/cannot-be-closed", document.at(*path, "backendRefs", index), f"the {kind} {entry['name']} "
                    "is no Service: its traffic is not Pullback's to move", "a Service for the canary",
                    "send to the canary's Service in this rule",
                )  # fmt: skip


def _version(document: Document) -> Iterator[Finding]:
    version = str(document.data.get("apiVersion") or "")
    if document.kind == "HTTPRoute" and version == "gateway.networking.k8s.io/v1beta1":
        yield warn(
            "routes/http-route-v1beta1", document.at("apiVersion"), "HTTPRoute in v1beta1, which is deprecated",
            "gateway.networking.k8s.io/v1", "apiVersion: gateway.networking.k8s.io/v1; the fields are the same",
        )  # fmt: skip


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
