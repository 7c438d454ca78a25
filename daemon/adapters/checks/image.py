"""The images of a release are in their registries, and which digests they have now."""

import asyncio
import dataclasses
import re

from daemon.adapters.checks.findings import failed, passed, undecided, within
from daemon.adapters.checks.options import GRACE, Regex, Seconds
from daemon.adapters.checks.references import parse
from daemon.adapters.checks.registry import NotThere, Registry
from daemon.adapters.checks.registry_access import NotAllowed, RegistryOptions
from daemon.adapters.checks.surroundings import Surroundings
from daemon.model import errors
from daemon.model.checking import Finding, ImageDigest, Subject

KIND = "image"

_AT_ONCE = 4


class Options(RegistryOptions):
    """``kind: image``."""

    only: Regex | None = None
    """Images in whose name this is found; the others are not looked at (sidecars from elsewhere)."""
    timeout: Seconds = 20.0
    """Of all images together."""


def build(name: str, options: Options, surroundings: Surroundings) -> "ImageCheck":  # noqa: ARG001 - it needs none
    return ImageCheck(options, surroundings)


class ImageCheck:
    """Keeps ``ports.Check``."""

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self._options = options
        self._registry = Registry(surroundings.session, surroundings.clock, options)
        self.timeout = options.timeout + GRACE
        self.once = options.once

    async def run(self, subject: Subject) -> Finding:
        images = chosen(subject.images, self._options.only)
        if not images:
            return undecided(f"expected images to look for, got none of {len(subject.images)}")
        async with within(self._options.timeout, "registry"):
            found = await resolved(self._registry, images)
        if found.problems:
            return failed("; ".join(found.problems), found.digests)
        if found.error is not None:
            raise found.error
        shown = ", ".join(f"{one.image} is {one.digest[:19]}" for one in found.digests)
        return passed(f"found {shown}", found.digests)


@dataclasses.dataclass(slots=True)
class Resolved:
    """What registries said of several images: each is found, known not to be usable, or could not be asked for."""

    digests: list[ImageDigest] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    error: errors.NeighbourError | None = None


def chosen(images: tuple[str, ...], only: re.Pattern[str] | None) -> list[str]:
    """Each image once, in the order of the containers."""
    return [image for image in dict.fromkeys(images) if only is None or only.search(image)]


async def resolved(registry: Registry, images: list[str]) -> Resolved:
    """Asks for all, some at a time; no image keeps the others from being asked for."""
    found = Resolved()
    slots = asyncio.Semaphore(_AT_ONCE)

    async def resolve(image: str) -> None:
        async with slots:
            try:
                digest = await registry.digest(parse(image))
                found.digests.append(ImageDigest(image, digest))
            except ValueError as error:
                found.problems.append(str(error))
            except NotThere as error:
                found.problems.append(f"expected {image} in its registry, but {error}")
            except NotAllowed as error:
                found.problems.append(f"expected to see {image}, but {error}")
            except errors.NeighbourError as error:
                found.error = error

    async with asyncio.TaskGroup() as group:
        for image in images:
            group.create_task(resolve(image))
    found.digests.sort(key=lambda one: images.index(one.image))
    return found
