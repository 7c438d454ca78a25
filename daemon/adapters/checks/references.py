"""Names of container images, read as Docker and containerd read them."""

import dataclasses
import re

DOCKER_HUB = "docker.io"
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_HUB_HOST = "registry-1.docker.io"

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST = 512


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """``digest`` wins where an image has a tag too, as it does for a kubelet."""

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def host(self) -> str:
        """Where its API is."""
        return _HUB_HOST if self.registry == DOCKER_HUB else self.registry

    @property
    def version(self) -> str:
        """What the registry is asked for."""
        return self.digest or self.tag

    def at(self, digest: str) -> str:
        """The very image: ``registry/repository@sha256:…``."""
        return f"{self.registry}/{self.repository}@{digest}"


def is_digest(text: str) -> bool:
    """Whether it is one of those that registries must all know (SHA-256)."""
    return _DIGEST.fullmatch(text) is not None


def parse(image: str) -> Reference:
    """``nginx``, ``ghcr.io/a/b:1``, ``localhost:5000/a@sha256:…``. Raises ValueError saying what was expected."""
    problem = f"expected an image such as registry.example/team/app:1.2 or …@sha256:…, got {image[:100]!r}"
    if len(image) > _LONGEST:
        raise ValueError(problem)
    name, _, digest = image.partition("@")
    first, slash, rest = name.partition("/")
    # The rule by which a host is told from a part of the path: it has a dot or a port, or is localhost.
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, path = first, rest
    else:
        registry, path = DOCKER_HUB, name
    repository, colon, tag = path.partition(":")
    registry = DOCKER_HUB if registry in _HUB_NAMES else registry
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    if not colon and not digest:
        tag = "latest"
    usable = _HOST.fullmatch(registry) and _REPOSITORY.fullmatch(repository)
    if not usable or (colon and not _TAG.fullmatch(tag)) or ("@" in image and not is_digest(digest)):
        raise ValueError(problem)
    return Reference(registry, repository, tag, digest)
