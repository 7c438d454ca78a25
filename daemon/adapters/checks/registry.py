"""A client of the OCI distribution API (and Docker Registry HTTP API V2): digests, and labels of images."""

import asyncio
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from daemon import ports
from daemon.adapters import answers
from daemon.adapters.checks.asking import Answer, ask
from daemon.adapters.checks.references import Reference, is_digest
from daemon.adapters.checks.registry_access import Access, NotAllowed, RegistryOptions
from daemon.model import errors

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
# Without all of these a registry converts, or says that it has nothing.
_ACCEPT = ", ".join((*_INDEXES, *_MANIFESTS))

_MANIFEST_MOST = 4 * 1024 * 1024
"""Bytes: what the specification asks registries to accept at least."""
_BLOB_MOST = 1024 * 1024
_REDIRECTS = 3


class NotThere(Exception):  # noqa: N818 - said in raise statements
    """The registry says that there is no such image."""


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index, and the digest by which it is known."""

    digest: str
    document: Mapping[str, Any]


class Registry:
    """Asks whichever registry an image names. Nothing is kept between calls: tags move."""

    def __init__(self, session: aiohttp.ClientSession, clock: ports.Clock, options: RegistryOptions) -> None:
        self._session = session
        self._clock = clock
        self._options = options

    async def digest(self, reference: Reference) -> str:
        """What the image is now. Raises NotThere, NotAllowed, or the family of NeighbourError."""
        access = self._access(reference)
        # HEAD: Docker Hub counts it as no pull.
        answer = await self._call(access, reference, "HEAD", f"manifests/{reference.version}", _MANIFEST_MOST)
        told = answer.headers.get("Docker-Content-Digest", "")
        if answer.status == 200 and is_digest(told):
            return _agreed(reference, told)
        if answer.status not in {200, 405}:
            raise self._problem(reference, answer, access)
        return (await self._manifest(access, reference, reference.version)).digest

    async def labels(self, reference: Reference) -> Mapping[str, str]:
        """The labels of the image's configuration; of an index, those of its first platform."""
        access = self._access(reference)
        manifest = await self._manifest(access, reference, reference.version)
        listed = manifest.document.get("manifests")
        if isinstance(listed, list):
            manifest = await self._manifest(access, reference, _first_platform(reference, listed))
        digest = str((manifest.document.get("config") or {}).get("digest") or "")
        if not is_digest(digest):
            raise errors.Refused(f"{reference.at(manifest.digest)}: it has no configuration to read labels from")
        answer = await self._call(access, reference, "GET", f"blobs/{digest}", _BLOB_MOST)
        if answer.status != 200:
            raise self._problem(reference, answer, access)
        document = await _read(reference, answer, digest)
        labels = (document.get("config") or {}).get("Labels") or {}
        return {str(key): str(value) for key, value in labels.items()}

    def _access(self, reference: Reference) -> Access:
        return Access(self._session, self._clock, self._options, reference)

    async def _manifest(self, access: Access, reference: Reference, version: str) -> Manifest:
        answer = await self._call(access, reference, "GET", f"manifests/{version}", _MANIFEST_MOST)
        if answer.status != 200:
            raise self._problem(reference, answer, access)
        digest = "sha256:" + await asyncio.to_thread(_hash, answer.body)
        document = await _read(reference, answer, version if is_digest(version) else digest)
        return Manifest(digest, document)

    async def _call(self, access: Access, reference: Reference, method: str, path: str, most: int) -> Answer:
        url = access.base.joinpath(*path.split("/"))
        for last in (False, True):
            answer = await ask(
                self._session, method, url, what=f"registry {reference.registry}",
                headers={"Accept": _ACCEPT, **access.headers}, most=most, redirects=_REDIRECTS,
                trusted=access.trusted, hidden=access.hidden,
            )  # fmt: skip
            if answer.status != 401 or last:
                return answer
            await access.answer(answer.headers.get("WWW-Authenticate", ""))
        raise AssertionError("unreachable: the second answer is returned")

    def _problem(self, reference: Reference, answer: Answer, access: Access) -> Exception:
        if answer.status == 404:
            return NotThere(f"{reference.registry} has no {reference.repository} {reference.version}")
        if answer.status in {401, 403}:
            who = "the credentials do not allow it" if access.headers else "it asks for credentials"
            return NotAllowed(f"{reference.registry} answered HTTP {answer.status} for {reference.repository}: {who}")
        told = f"registry {reference.registry}: HTTP {answer.status}: {answer.shown(access.hidden)}"
        return answers.refusal(told, answer.status, answer.headers, self._clock)


def _agreed(reference: Reference, told: str) -> str:
    if reference.digest and reference.digest != told:
        raise errors.Refused(f"registry {reference.registry}: asked for {reference.digest}, got {told}")
    return told


async def _read(reference: Reference, answer: Answer, digest: str) -> Mapping[str, Any]:
    """The document, when it is the one of that digest."""
    what = f"registry {reference.registry}"
    if not answer.whole:
        raise errors.Refused(f"{what}: the answer for {digest} is larger than {len(answer.body)} bytes")
    found = "sha256:" + await asyncio.to_thread(_hash, answer.body)
    if found != digest:
        raise errors.Refused(f"{what}: asked for {digest}, got {found}")
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise errors.Unreachable(f"{what}: {digest} is not JSON: {answer.shown()}") from error
    if not isinstance(document, dict):
        raise errors.Unreachable(f"{what}: {digest} is not a JSON object: {answer.shown()}")
    return document


def _first_platform(reference: Reference, listed: list[Any]) -> str:
    for one in listed:
        platform = one.get("platform") or {} if isinstance(one, dict) else {}
        # Attestations stand in an index under a platform that is none.
        if isinstance(one, dict) and platform.get("os") != "unknown" and is_digest(str(one.get("digest"))):
            return str(one["digest"])
    raise errors.Refused(f"registry {reference.registry}: the index of {reference.repository} names no image")


def _hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
