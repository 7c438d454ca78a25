"""What ingress-nginx does with Ingresses: the judge of the planner, so it shares no code with it.

Written from the controller's source alone: upstreams are made first, one for each service and port, by the oldest
Ingress that names it; then locations, the oldest for a host and path; then canaries are merged into the upstreams of
the locations that have their host and path. A request's way is decided by session, header, cookie and die, in that
order. What a value means is tried with Go's rules: ``ParseBool``, ``Atoi``.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Document = dict[str, Any]
Upstream = tuple[str, str, str]
"""(namespace, service, port)"""
Place = tuple[str, str, str]
"""(host, path, path type)"""

EVERYBODY = "_"


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """``die`` is what is thrown, from 1; ``session`` whose cookie the user has, if any."""

    place: Place
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    die: int
    session: Upstream | None


@dataclasses.dataclass(slots=True)
class Policy:
    weight: int = 0
    total: int = 100
    header: str = ""
    header_value: str = ""
    header_pattern: str = ""
    cookie: str = ""


@dataclasses.dataclass(slots=True)
class Peer:
    """An upstream of the controller's."""

    alternative: bool = False
    policy: Policy = dataclasses.field(default_factory=Policy)
    affinity: str = ""
    others: list[Upstream] = dataclasses.field(default_factory=list)


class Controller:
    """One configuration of ingress-nginx, made of documents, the oldest first."""

    def __init__(self, documents: Iterable[Document], prefix: str = "nginx.ingress.kubernetes.io") -> None:
        self._prefix = prefix
        self._documents = list(documents)
        self.peers: dict[Upstream, Peer] = {}
        self.locations: dict[Place, Upstream] = {}
        self._copies: dict[Place, str] = {}
        self._default: Upstream | None = None
        for document in self._documents:
            self._make_upstreams(document)
        for document in self._documents:
            self._make_locations(document)
        for document in self._documents:
            if self._enabled(document):
                self._merge(document)

    def _says(self, document: Document, name: str) -> str:
        said = (document["metadata"].get("annotations") or {}).get(f"{self._prefix}/{name}")
        return said if isinstance(said, str) else ""

    def _enabled(self, document: Document) -> bool:
        return self._says(document, "canary") in {"1", "t", "T", "TRUE", "true", "True"}

    def _make_upstreams(self, document: Document) -> None:
        for _, upstream in named(document):
            if upstream not in self.peers:
                self.peers[upstream] = Peer()
                if self._enabled(document):
                    self.peers[upstream] = Peer(alternative=True, policy=self._policy(document))

    def _policy(self, document: Document) -> Policy:
        return Policy(
            weight=atoi(self._says(document, "canary-weight"), 0),
            total=max(atoi(self._says(document, "canary-weight-total"), 100), 100),
            header=self._says(document, "canary-by-header").strip(),
            header_value=self._says(document, "canary-by-header-value").strip(),
            header_pattern=self._says(document, "canary-by-header-pattern").strip(),
            cookie=self._says(document, "canary-by-cookie").strip(),
        )

    def _make_locations(self, document: Document) -> None:
        for place, upstream in named(document):
            peer = self.peers[upstream]
            if peer.alternative:
                continue
            if place not in self.locations:
                self.locations[place] = upstream
                if not self._enabled(document):
                    self._copies[place] = self._says(document, "mirror-target")
            peer.affinity = peer.affinity or self._says(document, "affinity")

    def _merge(self, document: Document) -> None:
        sticky = self._says(document, "affinity-canary-behavior").strip() != "legacy"
        for place, upstream in named(document):
            for location, primary in self.locations.items():
                if location[0] == place[0] and primary == upstream:
                    break
                peer = self.peers[primary]
                if location == place and not peer.alternative and upstream not in peer.others:
                    peer.others.append(upstream)
                    if sticky:
                        self.peers[upstream].affinity = peer.affinity

    def serving(self, request: Request) -> Upstream:
        """Who answers."""
        primary = self.locations[request.place]
        peer = self.peers[primary]
        if peer.affinity == "cookie" and request.session == primary:
            return primary
        if not peer.others:
            return primary
        other = peer.others[0]
        return other if self._chosen(other, request) else primary

    def _chosen(self, other: Upstream, request: Request) -> bool:
        peer = self.peers[other]
        if peer.affinity == "cookie" and request.session == other:
            return True
        policy = peer.policy
        header = request.headers.get(policy.header) if policy.header else None
        if header is not None:
            if policy.header_value:
                if header == policy.header_value:
                    return True
            elif policy.header_pattern:
                if re.search(policy.header_pattern, header):
                    return True
            elif header in {"always", "never"}:
                return header == "always"
        cookie = request.cookies.get(policy.cookie) if policy.cookie else None
        if cookie in {"always", "never"}:
            return cookie == "always"
        return request.die <= policy.weight

    def requests(self) -> Iterator[Request]:
        """Every kind of request that this configuration, or one that some Ingress has asked for, can tell apart."""
        policies = [self._policy(document) for document in self._documents]
        headers = {policy.header for policy in policies} - {""} or {"x-canary"}
        values = {"always", "never", "eu-1", "else", *(policy.header_value for policy in policies)} - {""}
        cookies = {policy.cookie for policy in policies} - {""} or {"canary"}
        dice = {1, 50, 100, *(policy.total for policy in policies)}
        thrown: Sequence[Mapping[str, str]] = [{}, *({h: v} for h in headers for v in values)]
        eaten: Sequence[Mapping[str, str]] = [{}, *({c: v} for c in cookies for v in ("always", "never", "else"))]
        for place in self.locations:
            for header, cookie, die, session in itertools.product(thrown, eaten, dice, (None, *self.peers)):
                yield Request(place, header, cookie, die, session)

    def reached(self) -> set[tuple[str, str]]:
        """(namespace, service) of everybody that some request gets to, copies of requests included."""
        found = {self.serving(request)[:2] for request in self.requests()}
        for target in self._copies.values():
            copied = re.match(r"https?://([a-z0-9-]+)\.([a-z0-9-]+)\.svc", target)
            if copied:
                found.add((copied[2], copied[1]))
        return found

    def share(self, place: Place, service: str) -> float:
        """The part of a place's plain requests (no header, cookie or session) that a service gets."""
        others = self.peers[self.locations[place]].others
        total = max((self.peers[other].policy.total for other in others), default=100)
        plain = (Request(place, {}, {}, die, None) for die in range(1, total + 1))
        return sum(self.serving(request)[1] == service for request in plain) / total


def named(document: Document) -> Iterator[tuple[Place, Upstream]]:
    """Every place that an Ingress names, and the upstream it wants there."""
    namespace, spec = document["metadata"]["namespace"], document["spec"]
    if "defaultBackend" in spec:
        yield (EVERYBODY, "/", "Prefix"), _upstream(namespace, spec["defaultBackend"])
    for rule in spec.get("rules") or []:
        for path in (rule.get("http") or {}).get("paths") or []:
            if "service" in path["backend"]:
                place = rule.get("host") or EVERYBODY, path.get("path") or "/", path.get("pathType") or "Prefix"
                yield place, _upstream(namespace, path["backend"])


def _upstream(namespace: str, backend: Mapping[str, Any]) -> Upstream:
    service = backend["service"]
    port = service.get("port") or {}
    return namespace, service["name"], str(port.get("name") or port.get("number") or "")


def atoi(said: str, otherwise: int) -> int:
    """As Go reads a whole number."""
    sign, digits = (said[:1], said[1:]) if said[:1] in {"+", "-"} else ("", said)
    if not digits or not all("0" <= digit <= "9" for digit in digits) or int(digits) >= 2**63:
        return otherwise
    return -int(digits) if sign == "-" else int(digits)
