"""Images in a real registry (Debian's docker-registry), open to all, with a password, and with tokens."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import secrets
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web

from daemon.model.checking import CheckState, ImageDigest
from daemon.sandbox.packages import PackagesUnavailableError, default_cache, find_program
from daemon.sandbox.processes import Children, free_port, wait_until_ready
from tests.checks import fails, run, serving, subject
from tests.neighbours import CHECKOUT
from tests.registry import CONFIG, INDEX, MANIFEST, digest_of

pytestmark = pytest.mark.e2e

USER, PASSWORD = "robot", "a-registry-password"
# The same password in the only form that the registry takes (bcrypt).
HTPASSWD = f"{USER}:$2b$04$hemeccagCgPVJIc2G6zMw.vdSalttYXOEEbTrAZJCTwKSwXCb6s7W\n"


@pytest.fixture
async def program() -> Path:
    cache = default_cache(os.environ, CHECKOUT, Path.home())
    try:
        return await find_program(cache, "docker-registry", "docker-registry")
    except PackagesUnavailableError as error:
        pytest.skip(str(error))


class Started:
    """Registries of one test."""

    def __init__(self, program: Path, children: Children, session: aiohttp.ClientSession, folder: Path) -> None:
        self._program, self._children, self._session, self._folder = program, children, session, folder

    async def start(self, **auth: Any) -> str:
        """Over one storage, so that what is pushed where nobody asks is there behind every door."""
        host = f"127.0.0.1:{free_port()}"
        configuration = {
            "version": 0.1, "log": {"level": "warn"}, "http": {"addr": host},
            "storage": {"filesystem": {"rootdirectory": str(self._folder / "data")}},
            **({"auth": auth} if auth else {}),
        }  # fmt: skip
        path = self._folder / f"{host}.yaml"
        path.write_text(yaml.safe_dump(configuration), "utf-8")
        child = await self._children.start(f"registry-{host}", [self._program, "serve", path])
        await wait_until_ready(child, f"http://{host}/", self._session)
        return host

    async def push(self, host: str, repository: str, tag: str, *, index: bool = False) -> str:
        """An image of no layers, as a client pushes one; the digest that its tag has then."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
        base = f"http://{host}/v2/{repository}"
        async with self._session.post(f"{base}/blobs/uploads/") as response:
            assert response.status == 202, await response.text()
            upload = response.headers["Location"]
        joiner = "&" if "?" in upload else "?"
        url = f"{upload}{joiner}digest={digest_of(config.encode())}"
        headers = {"Content-Type": "application/octet-stream"}
        async with self._session.put(url, data=config.encode(), headers=headers) as response:
            assert response.status == 201, await response.text()
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
            "config": {"mediaType": CONFIG, "digest": digest_of(config.encode()), "size": len(config)},
        }  # fmt: skip
        if not index:
            return await self._put(base, tag, MANIFEST, manifest)
        raw = json.dumps(manifest).encode()
        digest = await self._put(base, digest_of(raw), MANIFEST, manifest)
        platform = {"os": "linux", "architecture": "amd64"}
        listed = [{"mediaType": MANIFEST, "digest": digest, "size": len(raw), "platform": platform}]
        return await self._put(base, tag, INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed})

    async def _put(self, base: str, reference: str, media_type: str, document: Any) -> str:
        raw = json.dumps(document).encode()
        headers = {"Content-Type": media_type}
        async with self._session.put(f"{base}/manifests/{reference}", data=raw, headers=headers) as response:
            assert response.status == 201, await response.text()
        return digest_of(raw)


@pytest.fixture
async def registries(
    program: Path, children: Children, session: aiohttp.ClientSession, tmp_path: Path
) -> Started:
    return Started(program, children, session, tmp_path)


def docker_config(folder: Path, host: str, password: str = PASSWORD) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps({"auths": {host: {"username": USER, "password": password}}}), "utf-8")
    return str(path)


@pytest.mark.parametrize("index", [False, True])
async def test_open_to_all(registries: Started, index: bool) -> None:
    host = await registries.start()
    digest = await registries.push(host, "team/podinfo", "v2", index=index)
    image = f"{host}/team/podinfo:v2"
    finding = await run({"kind": "image", "insecure": [host]}, subject(image))
    assert finding.state is CheckState.PASSED
    assert finding.images == (ImageDigest(image, digest),)
    pinned = f"{host}/team/podinfo@{digest}"
    assert (await run({"kind": "image", "insecure": [host]}, subject(pinned))).images[0].digest == digest
    for missing in ("team/podinfo:v3", "team/other:v2"):
        assert "in its registry, but" in await fails(
            {"kind": "image", "insecure": [host]}, subject(f"{host}/{missing}")
        )


async def test_with_a_password(registries: Started, tmp_path: Path) -> None:
    passwords = tmp_path / "htpasswd"
    passwords.write_text(HTPASSWD, "utf-8")
    entrance = await registries.start()
    digest = await registries.push(entrance, "podinfo", "v2")
    host = await registries.start(htpasswd={"realm": "test", "path": str(passwords)})
    entry, of = {"kind": "image", "insecure": [host]}, subject(f"{host}/podinfo:v2")
    assert "asks for credentials" in await fails(entry, of)
    assert "credentials" in await fails({**entry, "docker_config": docker_config(tmp_path, host, "wrong")}, of)
    finding = await run({**entry, "docker_config": docker_config(tmp_path, host)}, of)
    assert finding.images == (ImageDigest(f"{host}/podinfo:v2", digest),)


class Tokens:
    """Gives out what the registry believes: JWTs signed with a key whose certificate it knows."""

    def __init__(self, folder: Path) -> None:
        self.key, self.certificate = folder / "token.key", folder / "token.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=tokens",
             "-keyout", self.key, "-out", self.certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        lines = self.certificate.read_text("utf-8").splitlines()
        self._certificate = "".join(line for line in lines if "-----" not in line)

    async def give(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "")
        if given and given != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
            return web.json_response({"details": "incorrect username or password"}, status=401)
        kind, name, action = request.query["scope"].split(":")
        # As registries do: who may not, gets a token that is good for nothing.
        access = [{"type": kind, "name": name, "actions": [action]}] if given or name != "private" else []
        now = int(time.time())
        claims = {
            "iss": "tokens", "sub": USER if given else "", "aud": request.query["service"], "exp": now + 60,
            "nbf": now - 5, "iat": now, "jti": secrets.token_hex(8), "access": access,
        }  # fmt: skip
        token = await asyncio.to_thread(self._signed, claims)
        return web.json_response({"token": token, "expires_in": 60})

    def _signed(self, claims: Any) -> str:
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self._certificate]}
        said = b".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        command = ["openssl", "dgst", "-sha256", "-sign", str(self.key)]
        signature = subprocess.run(command, input=said, check=True, capture_output=True).stdout
        return (said + b"." + _encoded(signature)).decode()


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


@contextlib.asynccontextmanager
async def with_tokens(registries: Started, folder: Path) -> AsyncIterator[str]:
    tokens = await asyncio.to_thread(Tokens, folder)
    async with serving(tokens.give) as realm:
        yield await registries.start(token={
            "realm": f"{realm}/token", "service": "registry.test", "issuer": "tokens",
            "rootcertbundle": str(tokens.certificate),
        })  # fmt: skip


async def test_with_tokens(registries: Started, tmp_path: Path) -> None:
    entrance = await registries.start()
    digest = await registries.push(entrance, "podinfo", "v2")
    await registries.push(entrance, "private", "v2")
    async with with_tokens(registries, tmp_path) as host:
        entry = {"kind": "image", "insecure": [host]}
        finding = await run(entry, subject(f"{host}/podinfo:v2"))
        assert finding.images == (ImageDigest(f"{host}/podinfo:v2", digest),)
        private = subject(f"{host}/private:v2")
        said = await fails(entry, private)
        assert "answered HTTP 401 for private: the credentials do not allow it" in said
        finding = await run({**entry, "docker_config": docker_config(tmp_path, host)}, private)
        assert finding.state is CheckState.PASSED
        said = await fails({**entry, "docker_config": docker_config(tmp_path, host, "wrong")}, private)
        assert "the credentials were not accepted" in said
