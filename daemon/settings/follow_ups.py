"""What is brought in step after zero, so that nobody's next deployment raises the canary again."""

import re
from typing import Annotated, Any, Literal

import pydantic

from daemon.model.canary import CanaryRef
from daemon.model.helm_release import Tracked
from daemon.settings.groups import Group, Seconds

_NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_CANARY = re.compile(rf"({_NAME})/([a-z0-9]([-a-z0-9.]*[a-z0-9])?)")
_RELEASE = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"


Choice = Literal["off", "suspend"]


class HelmValue(Group):
    """A value of a Helm release that says how much traffic the canary gets."""

    release: Annotated[str, pydantic.Field(pattern=_RELEASE, max_length=53)]
    namespace: Annotated[str, pydantic.Field(pattern=rf"^({_NAME})?$")] = ""
    """Of the release; default: the canary's."""
    weight_value: Annotated[str, pydantic.Field(pattern=r"^[^\s.\[\]]+(\.[^\s.\[\]]+)*$")] = "canary.weight"
    """The path of the value, parts separated by dots."""


class FollowUps(Group):
    """Each fails alone, and what became of it stands in the record."""

    helm: dict[str, HelmValue] = pydantic.Field(default={})
    """By canary, as NAMESPACE/NAME."""
    gitops: Choice | dict[str, Choice] = "off"
    """What becomes of the Kustomization, HelmRelease or Application that raises a held canary again: off says who and
    how to make it leave that field alone; suspend stops it for the time of the rollback as well. For all canaries, or
    by canary, as NAMESPACE/NAME."""
    argocd_namespace: Annotated[str, pydantic.Field(pattern=rf"^{_NAME}$")] = "argocd"
    """Where Argo CD is: of Applications whose namespace a route does not tell."""
    timeout: Annotated[Seconds, pydantic.Field(gt=0, le=60)] = 10.0
    """Of one try."""
    give_up_after: Annotated[Seconds, pydantic.Field(gt=0)] = 900.0
    """From the first try; then the record says what to do by hand."""

    @pydantic.field_validator("helm")
    @classmethod
    def _named(cls, helm: dict[str, HelmValue]) -> dict[str, HelmValue]:
        _canaries(helm)
        return helm

    @pydantic.field_validator("gitops", mode="before")
    @classmethod
    def _off(cls, said: Any) -> Any:
        """YAML reads a bare ``off`` as false."""
        if isinstance(said, dict):
            _canaries(said)
            return {name: "off" if choice is False else choice for name, choice in said.items()}
        return "off" if said is False else said

    def suspends(self, canary: CanaryRef) -> bool:
        """Whether what raises this canary is stopped for the time of a rollback."""
        chosen = self.gitops if isinstance(self.gitops, str) else self.gitops.get(str(canary), "off")
        return chosen == "suspend"

    @property
    def tracked(self) -> dict[CanaryRef, Tracked]:
        """What belongs to which canary."""
        found = {}
        for name, value in self.helm.items():
            namespace, _, canary = name.partition("/")
            where = value.namespace or namespace
            found[CanaryRef(namespace, canary)] = Tracked(where, value.release, value.weight_value)
        return found


def _canaries(named: dict[str, Any]) -> None:
    for name in named:
        if not _CANARY.fullmatch(name):
            raise ValueError(f"{name!r}: expected a canary as NAMESPACE/NAME")
