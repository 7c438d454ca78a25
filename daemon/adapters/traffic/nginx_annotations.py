"""What the annotations of an Ingress mean to ingress-nginx, read whatever people wrote into them.

The rules, from its documentation (user-guide, annotations, "Canary" and "Session Affinity") and, where that is silent,
its source (``internal/ingress/annotations/canary/main.go``, ``rootfs/etc/nginx/lua/balancer.lua``,
``internal/ingress/controller/controller.go``):

- ``canary: "true"`` makes the whole object an alternative to the Ingress that has the same host and path, the *main*
  one. Where there is no main Ingress, it serves nothing. With any other value it is an Ingress like any other.
- A request goes to the alternative if the header of ``canary-by-header`` says ``always``, or matches
  ``canary-by-header-value`` or else ``canary-by-header-pattern``; then if the cookie of ``canary-by-cookie`` says
  ``always`` (``never`` of either ends the question); then by a die of ``canary-weight-total`` sides, which counts only
  above 100 and is 100 otherwise: at most ``canary-weight`` means the alternative.
- Before all that comes the session: where the main Ingress has ``affinity: cookie``, whoever was once served by the
  canary goes on to be, whatever the weight, unless the canary's Ingress says ``affinity-canary-behavior: legacy``.
- Flags are what Go's ``ParseBool`` takes, whole numbers what its ``Atoi`` takes. What cannot be read counts as absent
  (a weight as 0), after a new start at the latest: until then a controller may keep what it had before.
- ``mirror-target`` copies every request of an ordinary Ingress to a URL; a canary's own is ignored.

``nginx.ingress.kubernetes.io`` is only the default of the prefix: ingress-nginx and Flagger both take another by a
flag. So the prefix is whatever stands before ``/canary`` where that says true.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping

from daemon.adapters.traffic import conventions

DEFAULT_PREFIX = "nginx.ingress.kubernetes.io"
TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
HEADER, COOKIE = "canary-by-header", "canary-by-cookie"
STICKY, LEGACY = "affinity-canary-behavior", "legacy"
MIRROR = "mirror-target"

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_URL_HOST = re.compile(r"\s*\"?[A-Za-z][A-Za-z0-9+.-]*://([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)")


@dataclasses.dataclass(frozen=True, slots=True)
class Alternative:
    """The canary rules of one Ingress, under one prefix.

    ``weight`` is what is written there, of ``total``; None where it cannot be read.
    """

    prefix: str
    annotations: Mapping[str, str]
    weight: int | None
    total: int

    def key(self, name: str) -> str:
        return f"{self.prefix}/{name}"

    def path(self, name: str) -> str:
        """How the record spells the way to the canary: with the prefix only where it is an unusual one."""
        return name if self.prefix == DEFAULT_PREFIX else self.key(name)

    def value(self, name: str) -> str | None:
        return self.annotations.get(self.key(name))

    @property
    def share(self) -> float:
        """The part that the die gives to the canary; the worst where the weight cannot be read."""
        return 1.0 if self.weight is None else min(max(self.weight, 0), self.total) / self.total

    def asked(self) -> Iterator[str]:
        """The annotations by which requests ask for the canary. An empty one is none."""
        for name in (HEADER, COOKIE):
            if (self.value(name) or "").strip():
                yield name

    @property
    def sticky(self) -> bool:
        """Whether sessions may lead to the canary, as far as this object tells: the main Ingress decides, but whoever
        copies its annotations, as Flagger does, copies the affinity too."""
        return self.value("affinity") == "cookie" and not self.lets_go

    @property
    def lets_go(self) -> bool:
        return (self.value(STICKY) or "").strip() == LEGACY


def alternatives(annotations: Mapping[str, str]) -> list[Alternative]:
    """The canary rules of an Ingress, by prefix; none where it is an ordinary one."""
    found = []
    for key, said in sorted(annotations.items()):
        prefix, slash, name = key.rpartition("/")
        if slash and name == "canary" and key != conventions.CANARY and said in TRUE:
            weight = annotations.get(f"{prefix}/canary-weight", "0")
            found.append(Alternative(prefix, annotations, _integer(weight), _total(annotations, prefix)))
    return found


def mirrors(annotations: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Where requests are copied to: the annotation's whole name, and the host of the URL in it."""
    for key, said in sorted(annotations.items()):
        url = _URL_HOST.match(said) if key.endswith(f"/{MIRROR}") else None
        if url is not None:
            yield key, url[1].lower()


def pointer(key: str) -> str:
    """Where an annotation stands, as a JSON pointer (RFC 6901): the slash of its name is spelled ``~1``."""
    return f"/metadata/annotations/{key.replace('~', '~0').replace('/', '~1')}"


def _total(annotations: Mapping[str, str], prefix: str) -> int:
    return max(_integer(annotations.get(f"{prefix}/canary-weight-total", "")) or 0, 100)


def _integer(said: str) -> int | None:
    """An empty value counts as absent."""
    return int(said or "0") if not said or _INTEGER.fullmatch(said) else None
