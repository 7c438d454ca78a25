"""Turns the Gateway API's HTTPRoutes into Envoy's virtual hosts: what the sandbox has of a gateway's controller.

Pure, and as truthful as ``translating`` is for VirtualServices: the most specific match of all routes of a hostname
has the request, weights are shares of their sum, and what leads nowhere (no backend, a sum of 0, a backend that is
not there) is answered with a 500 in just its share. One gateway with one listener for all hostnames; leave to refer
to other namespaces (ReferenceGrant) is taken as given. Rules that cannot be translated truthfully are refused, never
guessed; what moves no traffic between backends (retries, header rewriting, CORS) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from daemon.sandbox import gateway_matching
from daemon.sandbox.delegating import TranslationError, name_of
from daemon.sandbox.translating import MILLIONTHS_PER_PERCENT, age, cluster_name

Json = dict[str, Any]
Hostname = tuple[int, int]
"""How specific a hostname is: letters of one without a wildcard, letters."""

EVERY_HOST = "*"
NOWHERE = "nowhere"
"""Stands for the cluster of a share that is answered before any cluster is asked."""
FAULT_FILTER = "envoy.filters.http.fault"
FAULT_TYPE = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
MOVES_NO_TRAFFIC = {"RequestHeaderModifier", "ResponseHeaderModifier", "CORS"}
MILLION = 1_000_000
DURATION = re.compile(r"(\d+)(ms|s|m|h)")
MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


class UnsupportedRouteError(TranslationError):
    """An HTTPRoute that cannot be put into force: which (NAMESPACE/NAME), and why."""

    def __init__(self, route: str, why: str) -> None:
        super().__init__(f"HTTPRoute {route}: {why}")
        self.route = route
        self.why = why


@dataclass(frozen=True, slots=True)
class _Entry:
    """One match of one rule: whom it is for, where it stands among its like, and what Envoy does."""

    hostnames: tuple[str, ...]
    place: tuple[Any, ...]
    route: Json


def translate_http_routes(routes: Iterable[Mapping[str, Any]], known: Collection[str]) -> list[Json]:
    """Envoy's virtual hosts for all `routes`, one per hostname; `known` are the clusters that there are.

    Raises `UnsupportedRouteError` for the first route that cannot be translated, the oldest first.
    """
    entries = [entry for order, route in enumerate(sorted(routes, key=age)) for entry in _entries(route, order, known)]
    domains = sorted({domain for entry in entries for domain in entry.hostnames})
    # Envoy looks into one virtual host only, so each has also what is said for all the hosts that it is one of.
    return [{"name": domain, "domains": [domain], "routes": _ordered(domain, entries)} for domain in domains]


def gateways(route: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The parents that are gateways. A route that has none is attached to nothing."""
    parents = route.get("spec", {}).get("parentRefs") or []
    return [one for one in parents if one.get("kind", "Gateway") == "Gateway"]


def unresolved(route: Mapping[str, Any], known: Collection[str]) -> tuple[str, str] | None:
    """Why not all backends of a route can be resolved: reason and message of its condition; None where they can."""
    namespace = route["metadata"].get("namespace", "default")
    try:
        return next(filter(None, (_problem(entry, namespace, known) for entry in _references(route))), None)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return "InvalidKind", f"a backend cannot be read ({error!r})"


def _problem(entry: Mapping[str, Any], namespace: str, known: Collection[str]) -> tuple[str, str] | None:
    if (entry.get("group") or "", entry.get("kind") or "Service") != ("", "Service"):
        return "InvalidKind", f"backend {entry['name']} is a {entry.get('kind')}, not a Service"
    if _cluster(entry, namespace) not in known:
        return "BackendNotFound", f"Service {entry.get('namespace') or namespace}/{entry['name']} is not there"
    return None


def _references(route: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for rule in route.get("spec", {}).get("rules") or []:
        for holder in (rule, *(rule.get("backendRefs") or [])):
            for one in holder.get("filters") or []:
                if one.get("type") == "RequestMirror":
                    yield one["requestMirror"]["backendRef"]
        yield from rule.get("backendRefs") or []


def _ordered(domain: str, entries: Iterable[_Entry]) -> list[Json]:
    fitting = [(found, entry) for entry in entries if (found := _specificity(entry.hostnames, domain)) is not None]
    fitting.sort(key=lambda one: ((-one[0][0], -one[0][1]), one[1].place))
    return [entry.route for _, entry in fitting]


def _specificity(hostnames: Iterable[str], domain: str) -> Hostname | None:
    """The most specific of the hostnames that every host of the domain has; None where there is none."""
    found = (_one_specificity(hostname, domain) for hostname in hostnames)
    return max((one for one in found if one is not None), default=None)


def _one_specificity(hostname: str, domain: str) -> Hostname | None:
    if hostname == EVERY_HOST:
        return 0, 0
    if hostname.startswith("*."):
        return (0, len(hostname)) if domain == hostname or domain.endswith(hostname[1:]) else None
    return (len(hostname), len(hostname)) if hostname == domain else None


def _entries(route: Mapping[str, Any], order: int, known: Collection[str]) -> Iterator[_Entry]:
    try:
        yield from _translated(route, order, known)
    except TranslationError as error:
        raise UnsupportedRouteError(name_of(route), str(error)) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # an API server would have refused it
        raise UnsupportedRouteError(name_of(route), f"it cannot be read ({error!r})") from None


def _translated(route: Mapping[str, Any], order: int, known: Collection[str]) -> Iterator[_Entry]:
    spec, namespace = route.get("spec", {}), route["metadata"].get("namespace", "default")
    attached = gateways(route)
    if len(attached) < len(spec.get("parentRefs") or []):
        raise TranslationError("a parent that is no Gateway (a mesh's route) is not translated")
    if not attached:
        return
    hostnames = tuple(host.lower() for host in spec.get("hostnames") or [EVERY_HOST])
    for number, rule in enumerate(spec.get("rules") or []):
        action = _action(rule, namespace, known)
        for match in rule.get("matches") or [{}]:
            place = (gateway_matching.rank(match), order, number)
            yield _Entry(hostnames, place, {"match": gateway_matching.translated(match), **action})


def _action(rule: Mapping[str, Any], namespace: str, known: Collection[str]) -> Json:
    if rule.get("sessionPersistence"):
        raise TranslationError("sessionPersistence (sessions that stay with a backend) is not translated")
    mirrors = [_mirror(mirror, namespace) for mirror in _mirrors(rule)]
    for entry in rule.get("backendRefs") or []:
        if list(_mirrors(entry)):
            raise TranslationError(f"a mirror of {entry['name']}'s requests alone is not translated")
    target = _target(rule.get("backendRefs") or [], namespace, known)
    if target is None:
        return {"direct_response": {"status": 500}}
    action = {**target, "timeout": _timeout((rule.get("timeouts") or {}).get("request") or "0s")}
    copied = [mirror for mirror in mirrors if mirror["cluster"] in known]
    return {"route": {**action, "request_mirror_policies": copied} if copied else action}


def _target(entries: Collection[Mapping[str, Any]], namespace: str, known: Collection[str]) -> Json | None:
    """Who shares the requests of a rule; None where all that anybody gets is an error."""
    shares = [_share(_cluster(entry, namespace), _weight(entry), known) for entry in entries]
    sent = [share for share in shares if share["weight"] > 0]
    if all(share["name"] == NOWHERE for share in sent):
        return None
    if len(sent) == 1:
        return {"cluster": sent[0]["name"]}
    return {"weighted_clusters": {"clusters": shares}}


def _share(cluster: str, weight: int, known: Collection[str]) -> Json:
    if cluster in known:
        return {"name": cluster, "weight": weight}
    abort = {"http_status": 500, "percentage": {"numerator": 100}}
    return {
        "name": NOWHERE, "weight": weight,
        "typed_per_filter_config": {FAULT_FILTER: {"@type": FAULT_TYPE, "abort": abort}},
    }  # fmt: skip


def _weight(entry: Mapping[str, Any]) -> int:
    weight = entry.get("weight")
    return 1 if weight is None else int(weight)


def _cluster(entry: Mapping[str, Any], namespace: str) -> str:
    """As the same Service is called in a VirtualService's route; of what is no Service a name that no cluster has."""
    if (entry.get("group") or "", entry.get("kind") or "Service") != ("", "Service"):
        return f"{entry.get('kind')}/{entry['name']}"
    host = f"{entry['name']}.{entry.get('namespace') or namespace}.svc.cluster.local"
    return cluster_name({"host": host}, namespace)


def _mirrors(holder: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for one in holder.get("filters") or []:
        if one.get("type") == "RequestMirror":
            yield one["requestMirror"]
        elif one.get("type") not in MOVES_NO_TRAFFIC:
            raise TranslationError(f"filter {one.get('type')} is not translated")


def _mirror(mirror: Mapping[str, Any], namespace: str) -> Json:
    fraction = mirror.get("fraction")
    if fraction:
        part = round(fraction["numerator"] * MILLION / fraction.get("denominator", 100))
    else:
        percent = mirror.get("percent")
        part = (100 if percent is None else int(percent)) * MILLIONTHS_PER_PERCENT
    return {
        "cluster": _cluster(mirror["backendRef"], namespace),
        "runtime_fraction": {"default_value": {"numerator": part, "denominator": "MILLION"}},
    }


def _timeout(duration: str) -> str:
    """The API's `1m30s` as Envoy's `90.000s`. 0 is without one."""
    found = DURATION.findall(duration)
    if "".join(number + unit for number, unit in found) != duration:
        raise TranslationError(f"{duration!r} is no duration")
    return f"{sum(int(number) * MILLISECONDS[unit] for number, unit in found) / 1000:.3f}s"
