"""What can be asked for: the built-in kinds, and those that CustomResourceDefinitions add while running."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from daemon.sandbox.kubernetes_api.statuses import JsonObject, UnknownPathError, qualified

ResourceKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    path: str
    priority: int = 0
    format: str = ""
    description: str = ""


@dataclass(frozen=True)
class Resource:
    plural: str
    kind: str
    group: str = ""
    versions: tuple[str, ...] = ("v1",)
    storage: str = "v1"
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: frozenset[str] = frozenset()  # the versions with a status subresource
    scale: bool = False
    logs: bool = False
    generations: bool = False
    # The real strategies differ per kind: who may PUT without a resourceVersion, who may PUT a new object.
    unconditional_update: bool = True
    create_on_update: bool = False
    label_names: bool = False  # names are DNS labels, not subdomains
    schemas: dict[str, JsonObject] | None = None  # by version; None for built-ins
    columns: dict[str, tuple[Column, ...]] = field(default_factory=dict)

    @property
    def key(self) -> ResourceKey:
        return self.group, self.plural

    @cached_property
    def qualified(self) -> str:
        return qualified(self.group, self.plural)

    @property
    def custom(self) -> bool:
        return self.schemas is not None

    def api_version(self, version: str) -> str:
        return f"{self.group}/{version}" if self.group else version

    @cached_property
    def prefixes(self) -> dict[str, bytes]:
        """The opening of an encoded object, per version: objects are kept without apiVersion and kind."""
        return {v: f'{{"apiVersion":"{self.api_version(v)}","kind":"{self.kind}",'.encode() for v in self.versions}


V1 = frozenset({"v1"})
NAMESPACES = Resource("namespaces", "Namespace", namespaced=False, short_names=("ns",), status=V1, label_names=True)
DEFINITIONS = Resource(
    "customresourcedefinitions",
    "CustomResourceDefinition",
    "apiextensions.k8s.io",
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    status=V1,
    generations=True,
    unconditional_update=False,
)
BUILT_INS = (
    NAMESPACES,
    Resource("pods", "Pod", short_names=("po",), categories=("all",), status=V1, logs=True),
    Resource(
        "services",
        "Service",
        short_names=("svc",),
        categories=("all",),
        status=V1,
        create_on_update=True,
        label_names=True,
    ),
    Resource("configmaps", "ConfigMap", short_names=("cm",)),
    Resource("secrets", "Secret"),
    Resource("events", "Event", short_names=("ev",), create_on_update=True),
    Resource(
        "deployments",
        "Deployment",
        "apps",
        short_names=("deploy",),
        categories=("all",),
        status=V1,
        scale=True,
        generations=True,
    ),
    Resource(
        "replicasets",
        "ReplicaSet",
        "apps",
        short_names=("rs",),
        categories=("all",),
        status=V1,
        scale=True,
        generations=True,
    ),
    Resource(
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        "autoscaling",
        versions=("v2",),
        storage="v2",
        short_names=("hpa",),
        categories=("all",),
        status=frozenset({"v2"}),
    ),
    Resource(
        "jobs",
        "Job",
        "batch",
        categories=("all",),
        status=V1,
        generations=True,
    ),
    Resource("ingresses", "Ingress", "networking.k8s.io", short_names=("ing",), status=V1, generations=True),
    Resource("leases", "Lease", "coordination.k8s.io", unconditional_update=False, create_on_update=True),
    DEFINITIONS,
)


def defined(definition: JsonObject) -> Resource:
    """The resource a CustomResourceDefinition describes."""
    spec = definition["spec"]
    names = spec["names"]
    served = [v for v in spec["versions"] if v.get("served")]
    return Resource(
        plural=names["plural"],
        kind=names["kind"],
        group=spec["group"],
        versions=tuple(sorted((v["name"] for v in served), key=_stability)),
        storage=next(v["name"] for v in spec["versions"] if v.get("storage")),
        namespaced=spec["scope"] == "Namespaced",
        singular=names.get("singular") or names["kind"].lower(),
        short_names=tuple(names.get("shortNames", ())),
        categories=tuple(names.get("categories", ())),
        status=frozenset(v["name"] for v in served if "status" in v.get("subresources", {})),
        generations=True,
        unconditional_update=False,
        schemas={v["name"]: v.get("schema", {}).get("openAPIV3Schema", {}) for v in served},
        columns={v["name"]: _columns(v) for v in served},
    )


def _columns(version: JsonObject) -> tuple[Column, ...]:
    return tuple(
        Column(
            name=c["name"],
            type=c["type"],
            path=c["jsonPath"],
            priority=c.get("priority", 0),
            format=c.get("format", ""),
            description=c.get("description", ""),
        )
        for c in version.get("additionalPrinterColumns", ())
    )


def _stability(version: str) -> tuple[int, str]:
    """GA before beta before alpha, as discovery prefers."""
    return (2 if "alpha" in version else 1 if "beta" in version else 0), version


class Catalog:
    """Every resource served at this moment, by where its URL says it is."""

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._by_key: dict[ResourceKey, Resource] = {}
        for resource in BUILT_INS:
            self.add(resource)

    def add(self, resource: Resource) -> None:
        self.remove(resource.key)
        self._by_key[resource.key] = resource
        for version in resource.versions:
            self._by_path[resource.group, version, resource.plural] = resource

    def remove(self, key: ResourceKey) -> None:
        if known := self._by_key.pop(key, None):
            for version in known.versions:
                self._by_path.pop((known.group, version, known.plural), None)

    def find(self, group: str, version: str, plural: str) -> Resource:
        resource = self._by_path.get((group, version, plural))
        if resource is None:
            raise UnknownPathError
        return resource

    def get(self, key: ResourceKey) -> Resource | None:
        return self._by_key.get(key)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._by_key.values())
