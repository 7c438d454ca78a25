"""How people say which destination is the canary where no controller says it: by annotations, else by names."""

import dataclasses

from daemon.model.route import RouteObject

CANARY = "pullback.dev/canary"
STABLE = "pullback.dev/stable"
"""On the routing object: a destination as the object names it, ``host`` or ``host/subset``; a word without a dot or a
slash may be a subset alone."""
WORKLOAD = "pullback.dev/workload"
"""The Deployment that runs the canary's pods."""
STABLE_WORKLOAD = "pullback.dev/stable-workload"
"""The Deployment that runs the stable side's pods."""

_CANARY = "canary"
_STABLE = ("stable", "primary")


@dataclasses.dataclass(frozen=True, slots=True)
class Named:
    """A destination as an annotation names it. ``subset`` is empty where only a host, or one word, was given."""

    host: str
    subset: str = ""


def annotated(route: RouteObject) -> tuple[Named | None, Named | None]:
    """What the annotations say: the canary, and the stable side; None for what is not said."""
    return _named(route.annotations.get(CANARY, "")), _named(route.annotations.get(STABLE, ""))


def says_canary(name: object) -> bool:
    """Whether a subset, or a service, is called as canaries are."""
    return isinstance(name, str) and (name == _CANARY or name.endswith(f"-{_CANARY}"))


def says_stable(name: object) -> bool:
    """Whether a subset, or a service, is called as stable sides are."""
    return isinstance(name, str) and (name in _STABLE or name.endswith(tuple(f"-{word}" for word in _STABLE)))


def family(name: str) -> str:
    """What the sides of one application have in common in their names: ``podinfo`` of ``podinfo-canary`` and
    ``podinfo-primary``."""
    for mark in (_CANARY, *_STABLE):
        if name.endswith(f"-{mark}"):
            return name.removesuffix(f"-{mark}")
    return name


def _named(word: str) -> Named | None:
    host, _, subset = word.strip().partition("/")
    return Named(host, subset) if host else None
