"""Images are in their registry, against one with token authentication on loopback."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from daemon.adapters.checks.references import parse
from daemon.adapters.checks.registry_access import Access, RegistryOptions
from daemon.model import errors
from daemon.model.checking import CheckState, ImageDigest
from daemon.sandbox.processes import free_port
from tests.checks import fails, hesitates, passes, run, subject, surrounded
from tests.registry import Registry, running

PASSWORD = "a-registry-password"


@pytest.fixture
async def registry() -> Registry:
    return Registry()


@pytest.fixture
async def host(registry: Registry) -> AsyncIterator[str]:
    async with running(registry) as name:
        yield name


def entry(host: str, **options: Any) -> dict[str, Any]:
    return {"kind": "image", "insecure": [host], **options}


def docker_config(folder: Path, host: str, *, password: str = PASSWORD) -> str:
    path = folder / ".dockerconfigjson"
    auth = base64.b64encode(f"robot:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {f"http://{host}/v2/": {"auth": auth}}}), "utf-8")
    return str(path)


@pytest.mark.parametrize("index", [False, True])
async def test_an_image_that_is_there_has_its_digest_recorded(registry: Registry, host: str, index: bool) -> None:
    digest = registry.push("team/podinfo", "v2", index=index)
    image = f"{host}/team/podinfo:v2"
    finding = await run(entry(host), subject(image, image))
    assert finding.state is CheckState.PASSED
    assert finding.images == (ImageDigest(image, digest),)
    assert registry.asked == ["HEAD /v2/team/podinfo/manifests/v2"] * 2
    pinned = f"{host}/team/podinfo:ignored@{digest}"
    assert (await run(entry(host), subject(pinned))).images == (ImageDigest(pinned, digest),)


@pytest.mark.parametrize(("head", "says"), [(True, False), (False, True), (False, False)])
async def test_a_registry_that_says_less_is_asked_for_the_manifest(
    registry: Registry, host: str, head: bool, says: bool
) -> None:
    registry.knows_head, registry.says_digest = head, says
    digest = registry.push("podinfo", "v2", index=True)
    assert (await run(entry(host), subject(f"{host}/podinfo:v2"))).images[0].digest == digest


async def test_what_is_not_there_fails_and_is_named(registry: Registry, host: str) -> None:
    digest = registry.push("podinfo", "v2")
    said = await fails(entry(host), subject(f"{host}/podinfo:v2", f"{host}/podinfo:v3"))
    assert said == f"expected {host}/podinfo:v3 in its registry, but {host} has no podinfo v3"
    assert "has no podinfo sha256:000" in await fails(entry(host), subject(f"{host}/podinfo@sha256:{'0' * 64}"))
    finding = await run(entry(host), subject(f"{host}/podinfo:v2", "Not an image"))
    assert finding.state is CheckState.FAILED
    assert "expected an image such as" in finding.detail
    assert finding.images == (ImageDigest(f"{host}/podinfo:v2", digest),)


async def test_a_private_image_needs_credentials(registry: Registry, host: str, tmp_path: Path) -> None:
    registry.push("podinfo", "v2")
    registry.private.add("podinfo")
    of = subject(f"{host}/podinfo:v2")
    assert "anonymous visitors get none, and no credentials fit" in await fails(entry(host), of)
    await passes(entry(host, docker_config=docker_config(tmp_path, host)), of)
    said = await fails(entry(host, docker_config=docker_config(tmp_path, host, password="wrong-one")), of)
    assert "the credentials were not accepted" in said
    assert "wrong-one" not in said


async def test_basic_authentication(registry: Registry, host: str, tmp_path: Path) -> None:
    registry.push("podinfo", "v2")
    registry.authenticate = "basic"
    of = subject(f"{host}/podinfo:v2")
    assert "asks for credentials, and there are none for it" in await fails(entry(host), of)
    await passes(entry(host, docker_config=docker_config(tmp_path, host)), of)
    said = await fails(entry(host, docker_config=docker_config(tmp_path, host, password="wrong")), of)
    assert "HTTP 401 for podinfo: the credentials do not allow it" in said


async def test_a_registry_without_authentication(registry: Registry, host: str) -> None:
    registry.push("podinfo", "v2")
    registry.authenticate = "none"
    await passes(entry(host), subject(f"{host}/podinfo:v2"))


async def test_only_those_that_are_meant_are_looked_for(registry: Registry, host: str) -> None:
    registry.push("podinfo", "v2")
    of = subject("sidecar.invalid/proxy:1", f"{host}/podinfo:v2")
    await passes(entry(host, only="/podinfo:"), of)
    assert "got none of 2" in await hesitates(entry(host, only="nothing"), of)


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [(429, {"Retry-After": "7"}, errors.Throttled), (503, {}, errors.Unreachable), (500, {}, errors.Unreachable),
     (400, {}, errors.Refused)],
)  # fmt: skip
async def test_trouble_of_the_registry_is_no_finding(
    registry: Registry, host: str, status: int, headers: dict[str, str], error: type[errors.NeighbourError]
) -> None:
    of = subject(f"{host}/podinfo:v2")
    registry.fault = web.Response(status=status, headers=headers)
    with pytest.raises(error) as caught:
        await run(entry(host), of)
    assert getattr(caught.value, "retry_after", 7.0) == 7.0
    registry.fault, registry.realm_fault = None, web.Response(status=status, headers=headers)
    with pytest.raises(error):
        await run(entry(host), of)


async def test_a_missing_image_outweighs_a_registry_that_is_down(registry: Registry, host: str) -> None:
    down = f"127.0.0.1:{free_port()}"
    both = subject(f"{down}/proxy:1", f"{host}/podinfo:v2")
    assert "has no podinfo v2" in await fails(entry(host, insecure=[host, down]), both)
    with pytest.raises(errors.Unreachable):
        await run(entry(host, insecure=[host, down]), subject(f"{down}/proxy:1"))


async def test_a_registry_is_spoken_to_in_the_clear_only_where_that_is_said(registry: Registry, host: str) -> None:
    registry.push("podinfo", "v2")
    with pytest.raises(errors.Unreachable):
        await run({"kind": "image"}, subject(f"{host}/podinfo:v2"))
    assert registry.asked == []


@pytest.mark.parametrize("realm", ["http://127.0.0.1:1/token", "", "ftp://x", "https://[::1/token"])
async def test_a_password_does_not_go_to_a_realm_in_the_clear(realm: str, tmp_path: Path) -> None:
    options = RegistryOptions.model_validate({"docker_config": docker_config(tmp_path, "registry.example")})
    async with surrounded() as surroundings:
        access = Access(surroundings.session, surroundings.clock, options, parse("registry.example/podinfo:v2"))
        with pytest.raises(errors.Refused, match=r"expected a realm over https|not a URL"):
            await access.answer(f'Bearer realm="{realm}",service="x"')


async def test_another_digest_than_the_one_that_was_asked_for_is_no_finding(registry: Registry, host: str) -> None:
    registry.push("podinfo", "v2")
    (known,) = registry.manifests
    other = ("podinfo", "sha256:" + "1" * 64)
    registry.manifests[other] = registry.manifests[known]
    for registry.says_digest in (True, False):
        with pytest.raises(errors.Refused, match=f"asked for {other[1]}, got {known[1]}"):
            await run(entry(host), subject(f"{host}/podinfo@{other[1]}"))
