"""What the daemon needs of the API server, asked verb by verb for whoever runs this (SelfSubjectAccessReview)."""

import asyncio
import dataclasses
import pathlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from daemon.adapters import traffic
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import Resource
from daemon.doctor.documents import Document
from daemon.doctor.findings import Finding, fail, fine
from daemon.model import errors
from daemon.model.brake import SecondBrake
from daemon.settings import Settings

REVIEWS = Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview")
_AT_ONCE = 16
_OWN_NAMESPACE = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclasses.dataclass(frozen=True, slots=True)
class Need:
    """``resource`` may name a subresource, as in ``deployments/scale``."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.resource}.{self.group}".rstrip(".")

    @property
    def kind(self) -> str:
        """As kinds are named that the API server serves: without the subresource."""
        return f"{self.resource.partition('/')[0]}.{self.group}".rstrip(".")


_SEEN = ("get", "list", "watch")
ROUTES = tuple(
    Need(resource.group, resource.plural, (*_SEEN, "patch"), "the brake: weights are written here")
    for kind in traffic.discover().values()
    for resource in kind.RESOURCES[:1]
)
NEEDS = (
    Need("flagger.app", "canaries", (*_SEEN, "patch"), "canaries are watched, pauses are written on them"),
    *ROUTES,
    Need("networking.istio.io", "destinationrules", _SEEN, "which version a subset is"),
    Need("argoproj.io", "rollouts", (*_SEEN, "patch"), "canaries are watched, pauses are written on them"),
    Need("argoproj.io", "rollouts/status", ("patch",), "aborts"),
    Need("apps", "deployments", _SEEN, "versions and readiness"),
    Need("apps", "deployments/scale", ("patch",), "cleanup"),
    Need("pullback.dev", "rollbacks", (*_SEEN, "create", "delete"), "records"),
    Need("pullback.dev", "rollbacks/status", ("patch",), "records"),
    Need("pullback.dev", "canaryrevisions", (*_SEEN, "create", "delete"), "soaks and gates"),
    Need("pullback.dev", "canaryrevisions/status", ("patch",), "soaks and gates"),
    Need("autoscaling", "horizontalpodautoscalers", ("list", "patch"), "cleanup"),
    Need("keda.sh", "scaledobjects", ("list", "patch"), "cleanup"),
    Need("", "pods", ("list",), "evidence"),
    Need("", "pods/log", ("get",), "evidence"),
    Need("", "configmaps", ("get", "create"), "evidence"),
    Need("", "events", ("list", "create"), "evidence, and the story in kubectl describe"),
)
_ALWAYS = frozenset({"", "apps", "autoscaling", "batch", "pullback.dev"})
"""Groups without which there is no daemon; what is in another is needed where it is installed."""
JOBS = Need("batch", "jobs", ("get", "create"), "checks of kind job")
DIVERSION = Need("", "services", ("get", "patch"), "rollback.second_brake")
_ROUTED = frozenset(traffic.discover())
_FLUX = {"kustomize.toolkit.fluxcd.io": "kustomizations", "helm.toolkit.fluxcd.io": "helmreleases"}
RELEASES = Need("", "secrets", ("get", "list", "create", "patch"), "follow_ups.helm: Helm keeps its releases there")


def needed(settings: Settings) -> tuple[Need, ...]:
    """Where canaries are."""
    jobs = any(check.get("kind") == "job" for check in settings.gates.checks.values())
    diverts = settings.rollback.second_brake is not SecondBrake.NONE
    return (*NEEDS, *((JOBS,) if jobs else ()), *((DIVERSION,) if diverts else ()))


def elsewhere(settings: Settings, documents: Sequence[Document] = ()) -> list[tuple[Need, str]]:
    """In namespaces of their own: the lease, releases that are brought in step, and what GitOps controllers act by, as
    far as routes among ``documents`` name it."""
    leases = settings.lease.namespace or _own_namespace()
    group, why = "coordination.k8s.io", "who leads"
    releases = {tracked.namespace for tracked in settings.follow_ups.tracked.values()}
    return [
        (Need(group, "leases", ("create",), why), leases),
        (Need(group, "leases", ("get", "update"), why, settings.lease.name), leases),
        *((RELEASES, namespace) for namespace in sorted(releases)),
        *(sorted(set(_owners(settings, documents)), key=str) if _suspends(settings) else ()),
    ]


def _suspends(settings: Settings) -> bool:
    chosen = settings.follow_ups.gitops
    return "suspend" in ({chosen} if isinstance(chosen, str) else set(chosen.values()))


def _owners(settings: Settings, documents: Sequence[Document]) -> Iterator[tuple[Need, str]]:
    """Nothing else is ever stopped; and a namespace that no route names needs no permission."""
    for document in documents:
        if document.kind not in _ROUTED:
            continue
        labels, annotations = document.labels, document.annotations
        for group, plural in _FLUX.items():
            namespace = labels.get(f"{group}/namespace")
            if namespace:
                yield Need(group, plural, ("get", "patch"), "follow_ups.gitops: suspend"), str(namespace)
        by_label = labels.get("argocd.argoproj.io/instance")
        if tracked := str(annotations.get("argocd.argoproj.io/tracking-id") or by_label or ""):
            # Applications outside of Argo CD's own namespace are tracked as NAMESPACE_NAME.
            namespace = tracked.partition(":")[0].rpartition("_")[0] or settings.follow_ups.argocd_namespace
            yield Need("argoproj.io", "applications", ("get", "patch"), "follow_ups.gitops: suspend"), namespace


async def examine(
    settings: Settings, client: KubernetesClient, served: Collection[str], documents: Sequence[Document]
) -> list[Finding]:
    """``served`` are the kinds there are, as ``canaries.flagger.app``: what is not installed is not needed."""
    who = await _who(client)
    bound = asyncio.Semaphore(_AT_ONCE)
    wanted = [(one, namespace) for namespace in settings.kubernetes.namespaces or ("",)
              for one in needed(settings) if one.group in _ALWAYS or one.kind in served]  # fmt: skip
    wanted += elsewhere(settings, documents)

    async def missing(need: Need, namespace: str) -> list[str]:
        async with bound:
            return [verb for verb in need.verbs if not await _allowed(client, need, verb, namespace)]

    answers = await asyncio.gather(*(missing(*one) for one in wanted))
    found = list(_missing(who, wanted, answers))
    asked = sum(len(need.verbs) for need, _ in wanted)
    if not found:
        found = [fine("permissions/all", f"cluster, as {who}", f"{asked} permissions that the daemon needs are there")]
    note = "whoever runs this was checked; the daemon's own account is, where this runs as it, in its pod"
    return [*found, fine("permissions/who", f"cluster, as {who}", note)]


def _missing(who: str, wanted: list[tuple[Need, str]], answers: list[list[str]]) -> Iterator[Finding]:
    for (need, namespace), verbs in zip(wanted, answers, strict=True):
        if verbs:
            scope = f"namespace {namespace}" if namespace else "the whole cluster"
            yield fail(
                "permissions/missing", f"cluster, as {who}",
                f"may not {', '.join(verbs)} {need} in {scope}: {need.why}",
                "every verb that the daemon calls", f"a Role with apiGroups: [{need.group!r}], resources: "
                f"[{need.resource}], verbs: [{', '.join(need.verbs)}]; the chart has it",
            )  # fmt: skip


async def _allowed(client: KubernetesClient, need: Need, verb: str, namespace: str) -> bool:
    resource, _, subresource = need.resource.partition("/")
    asked: dict[str, Any] = {"verb": verb, "group": need.group, "resource": resource}
    narrower = {"subresource": subresource, "namespace": namespace, "name": need.name}
    asked |= {key: value for key, value in narrower.items() if value}
    body = {"apiVersion": REVIEWS.api_version, "kind": REVIEWS.kind, "spec": {"resourceAttributes": asked}}
    review = await client.create(REVIEWS, None, body)
    return bool((review.get("status") or {}).get("allowed"))


def _own_namespace() -> str:
    """Where the daemon would keep its lease, ran it here."""
    try:
        return _OWN_NAMESPACE.read_text(encoding="utf-8").strip()
    except OSError:
        return "default"


async def _who(client: KubernetesClient) -> str:
    try:
        return await client.whoami() or "nobody that the API server names"
    except (errors.Missing, errors.Refused):
        return "somebody (the API server does not say)"
