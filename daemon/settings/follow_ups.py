"""What is brought in step after zero, so that nobody's next deployment raises the canary again."""

import re
from typing import Annotated

import pydantic

from daemon.model.canary import CanaryRef
from daemon.model.helm_release import Tracked
from daemon.settings.groups import Group, Seconds

_NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_CANARY = re.compile(rf"({_NAME})/([a-z0-9]([-a-z0-9.]*[a-z0-9])?)")
_RELEASE = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"


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
    timeout: Annotated[Seconds, pydantic.Field(gt=0, le=60)] = 10.0
    """Of one try."""
    give_up_after: Annotated[Seconds, pydantic.Field(gt=0)] = 900.0
    """From the first try; then the record says what to do by hand."""

    @pydantic.field_validator("helm")
    @classmethod
    def _named(cls, helm: dict[str, HelmValue]) -> dict[str, HelmValue]:
        for name in helm:
            if not _CANARY.fullmatch(name):
                raise ValueError(f"{name!r}: expected a canary as NAMESPACE/NAME")
        return helm

    @property
    def tracked(self) -> dict[CanaryRef, Tracked]:
        """What belongs to which canary."""
        found = {}
        for name, value in self.helm.items():
            namespace, _, canary = name.partition("/")
            where = value.namespace or namespace
            found[CanaryRef(namespace, canary)] = Tracked(where, value.release, value.weight_value)
        return found
