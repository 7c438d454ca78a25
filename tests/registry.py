"""An OCI registry on loopback with token authentication, as the distribution specification has it.

The manifests are kept as bytes under their digests; tags point to digests. The realm that gives out tokens is a
server of its own, as it is for Docker Hub and GHCR.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from tests.checks import serving

Json = dict[str, Any]

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def digest_of(raw: bytes) -> str:
    return "sha256:" + hashlib.sha256(raw).hexdigest()


class Registry:
    """``users`` are names and passwords; ``private`` repositories are for them only, others for all with a token."""

    def __init__(self) -> None:
        self.users = {"robot": "a-registry-password"}
        self.private: set[str] = set()
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.tags: dict[tuple[str, str], str] = {}
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.asked: list[str] = []
        self.authenticate = "bearer"
        self.says_digest = True
        self.knows_head = True
        self.fault: web.Response | None = None
        self.realm_fault: web.Response | None = None
        self.realm = ""
        self.elsewhere = ""
        self.seen_elsewhere: list[str] = []
        self._tokens: dict[str, str] = {}

    def push(self, repository: str, tag: str, *, index: bool = False, **labels: str) -> str:
        """An image with these labels, alone or in an index behind an attestation; the digest of what is tagged."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Labels": labels}}).encode()
        self.blobs[repository, digest_of(config)] = config
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
            "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        }  # fmt: skip
        digest = self._keep(repository, MANIFEST, manifest)
        if index:
            attestation = self._keep(repository, MANIFEST, {**manifest, "annotations": {"a": "attestation"}})
            nowhere = {"os": "unknown", "architecture": "unknown"}
            listed = [
                {"mediaType": MANIFEST, "digest": attestation, "platform": nowhere},
                {"mediaType": MANIFEST, "digest": digest, "platform": {"os": "linux", "architecture": "amd64"}},
            ]
            digest = self._keep(repository, INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed})
        self.tags[repository, tag] = digest
        return digest

    def _keep(self, repository: str, media_type: str, document: Json) -> str:
        raw = json.dumps(document).encode()
        self.manifests[repository, digest_of(raw)] = (media_type, raw)
        return digest_of(raw)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        if self.fault is not None:
            return web.Response(status=self.fault.status, headers=self.fault.headers, body=self.fault.body)
        repository, _, rest = request.path.removeprefix("/v2/").partition("/manifests/")
        if not rest:
            repository, _, rest = request.path.removeprefix("/v2/").partition("/blobs/")
            return self._blob(request, repository, rest)
        if refused := self._refused(request, repository):
            return refused
        if request.method == "HEAD" and not self.knows_head:
            return web.Response(status=405)
        found = self.manifests.get((repository, self.tags.get((repository, rest), rest)))
        if found is None or found[0] not in request.headers.get("Accept", ""):
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        media_type, raw = found
        headers = {"Docker-Content-Digest": digest_of(raw)} if self.says_digest else {}
        return web.Response(body=raw, content_type=media_type, headers=headers)

    def _blob(self, request: web.Request, repository: str, digest: str) -> web.Response:
        if refused := self._refused(request, repository):
            return refused
        if (repository, digest) not in self.blobs:
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if self.elsewhere:
            return web.Response(status=307, headers={"Location": f"{self.elsewhere}/{repository}/{digest}"})
        return web.Response(body=self.blobs[repository, digest], content_type="application/octet-stream")

    async def cdn(self, request: web.Request) -> web.Response:
        """Where blobs really are."""
        self.seen_elsewhere.append(request.headers.get("Authorization", ""))
        repository, _, digest = request.path.removeprefix("/").rpartition("/")
        return web.Response(body=self.blobs[repository, digest])

    def _refused(self, request: web.Request, repository: str) -> web.Response | None:
        given = request.headers.get("Authorization", "")
        if self.authenticate == "none":
            return None
        if self.authenticate == "basic":
            ok, challenge = self._user(given) is not None, 'Basic realm="registry"'
        else:
            ok = self._tokens.get(given.removeprefix("Bearer ")) == f"repository:{repository}:pull"
            scope = f'scope="repository:{repository}:pull"'
            challenge = f'Bearer realm="{self.realm}/token",service="registry.test",{scope}'
        return None if ok else _error(401, "UNAUTHORIZED", "authentication required", challenge)

    async def give_token(self, request: web.Request) -> web.Response:
        if self.realm_fault is not None:
            return self.realm_fault
        given = request.headers.get("Authorization", "")
        user, scope = self._user(given), request.query["scope"]
        assert request.query["service"] == "registry.test"
        if (given and user is None) or (user is None and scope.split(":")[1] in self.private):
            return web.json_response({"details": "incorrect username or password"}, status=401)
        token = secrets.token_urlsafe(16)
        self._tokens[token] = scope
        return web.json_response({"token": token, "access_token": token, "expires_in": 300})

    def _user(self, given: str) -> str | None:
        if not given.startswith("Basic "):
            return None
        name, _, password = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
        return name if self.users.get(name) == password else None


def _error(status: int, code: str, message: str, challenge: str = "") -> web.Response:
    headers = {"WWW-Authenticate": challenge} if challenge else {}
    errors = {"errors": [{"code": code, "message": message, "detail": None}]}
    return web.json_response(errors, status=status, headers=headers)


@contextlib.asynccontextmanager
async def running(registry: Registry) -> AsyncIterator[str]:
    """Its name, as it stands in images: ``127.0.0.1:PORT``."""
    async with serving(registry.answer) as url, serving(registry.give_token) as realm:
        registry.realm = realm
        yield url.removeprefix("http://")
