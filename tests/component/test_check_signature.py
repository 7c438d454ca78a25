"""Signatures: what cosign is run with, and what its ends mean, with a program that stands in for it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daemon.model import errors
from daemon.model.checking import CheckState, ImageDigest
from tests.checks import fails, passes, run, subject
from tests.registry import Registry, running

PROGRAM = f"""#!{sys.executable}
import json, os, pathlib, sys, time
folder = pathlib.Path(__file__).parent
docker = pathlib.Path(os.environ["DOCKER_CONFIG"], "config.json")
call = {{"arguments": sys.argv[1:], "environment": dict(os.environ), "pid": os.getpid(), "cwd": os.getcwd(),
         "docker": docker.read_text() if docker.exists() else ""}}
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps(call) + "\\n")
print("payload " * 100_000)
answer = json.loads((folder / "answer").read_text())
sys.stderr.write(answer["said"] * answer.get("times", 1))
sys.stderr.flush()
time.sleep(answer.get("seconds", 0))
sys.exit(answer["code"])
"""


@dataclass(frozen=True, slots=True)
class Cosign:
    """The program, and what it was run with."""

    folder: Path

    @property
    def path(self) -> str:
        return str(self.folder / "cosign")

    def answers(self, code: int, said: str = "", **more: Any) -> None:
        (self.folder / "answer").write_text(json.dumps({"code": code, "said": said, **more}), "utf-8")

    def calls(self) -> list[dict[str, Any]]:
        written = self.folder / "calls"
        return [json.loads(line) for line in written.read_text("utf-8").splitlines()] if written.exists() else []

    @staticmethod
    def left_nothing_in(folder: str) -> bool:
        return not Path(folder).exists()


@pytest.fixture
def cosign(tmp_path: Path) -> Cosign:
    program = tmp_path / "cosign"
    program.write_text(PROGRAM, "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    found = Cosign(tmp_path)
    found.answers(0)
    return found


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "cosign.pub"
    path.write_text("-----BEGIN PUBLIC KEY-----\n", "utf-8")
    return str(path)


@pytest.fixture
async def registry() -> Registry:
    return Registry()


@pytest.fixture
async def host(registry: Registry) -> AsyncIterator[str]:
    async with running(registry) as name:
        yield name


def entry(cosign: Cosign, host: str, **options: Any) -> dict[str, Any]:
    return {"kind": "signature", "cosign": cosign.path, "insecure": [host], **options}


async def test_the_digest_is_verified_with_a_key(registry: Registry, host: str, cosign: Cosign, key: str) -> None:
    digest = registry.push("podinfo", "v2")
    image = f"{host}/podinfo:v2"
    finding = await run(entry(cosign, host, key=key, annotations={"env": "prod"}), subject(image))
    assert finding.state is CheckState.PASSED
    assert finding.images == (ImageDigest(image, digest),)
    (call,) = cosign.calls()
    assert call["arguments"] == [
        "verify", f"--key={key}", "--allow-http-registry=true", "--annotations=env=prod", f"{host}/podinfo@{digest}",
    ]  # fmt: skip


async def test_or_by_who_has_signed(registry: Registry, host: str, cosign: Cosign) -> None:
    digest = registry.push("podinfo", "v2")
    issuer = "https://token.actions.githubusercontent.com"
    workflow = "https://github.com/acme/podinfo/.github/workflows/release.yaml@refs/tags/v2; rm -rf /"
    await passes(entry(cosign, host, identity=workflow, issuer=issuer), subject(f"{host}/podinfo:v2"))
    options = {"identity_regexp": "^https://github.com/acme/", "issuer": issuer, "transparency_log": False}
    await passes(entry(cosign, host, **options), subject(f"{host}/podinfo:v2"))
    first, second = (call["arguments"] for call in cosign.calls())
    image = f"{host}/podinfo@{digest}"
    assert first == [
        "verify", f"--certificate-oidc-issuer={issuer}", f"--certificate-identity={workflow}",
        "--allow-http-registry=true", image,
    ]  # fmt: skip
    assert second[2:4] == ["--certificate-identity-regexp=^https://github.com/acme/", "--insecure-ignore-tlog=true"]


async def test_it_sees_nothing_of_our_environment_but_its_credentials(
    registry: Registry, host: str, cosign: Cosign, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULLBACK_SECRET", "hush")
    registry.push("podinfo", "v2")
    config = tmp_path / ".dockerconfigjson"
    config.write_text('{"auths": {}}', "utf-8")
    await passes(entry(cosign, host, key=key, docker_config=str(config)), subject(f"{host}/podinfo:v2"))
    (call,) = cosign.calls()
    assert "PULLBACK_SECRET" not in call["environment"]
    assert call["docker"] == '{"auths": {}}'
    assert call["environment"]["HOME"] == call["cwd"]
    assert cosign.left_nothing_in(call["cwd"])


NONE = "Error: no signatures found\nmain.go:69: error during command execution: no signatures found\n"


@pytest.mark.parametrize(("code", "said"), [(10, NONE), (12, "no matching signatures"), (1, NONE)])
async def test_what_is_not_signed_fails(
    registry: Registry, host: str, cosign: Cosign, key: str, code: int, said: str
) -> None:
    registry.push("podinfo", "v2")
    cosign.answers(code, said)
    told = await fails(entry(cosign, host, key=key), subject(f"{host}/podinfo:v2"))
    assert told.startswith(f"expected {host}/podinfo:v2 to be signed with ")
    assert "but cosign says: " in told
    assert told.endswith(said.rsplit(": ", maxsplit=1)[-1].strip())


async def test_whatever_else_ends_it_is_no_finding(registry: Registry, host: str, cosign: Cosign, key: str) -> None:
    registry.push("podinfo", "v2")
    cosign.answers(1, "Error: Get https://rekor.sigstore.dev: dial tcp: i/o timeout, password=hunter2hunter2")
    with pytest.raises(errors.Unreachable, match=r"cosign ended with 1 .* i/o timeout") as caught:
        await run(entry(cosign, host, key=key), subject(f"{host}/podinfo:v2"))
    assert "hunter2" not in str(caught.value)


async def test_what_it_says_without_end_is_bounded(registry: Registry, host: str, cosign: Cosign, key: str) -> None:
    registry.push("podinfo", "v2")
    cosign.answers(12, "no matching signatures\n", times=100_000)
    await fails(entry(cosign, host, key=key), subject(f"{host}/podinfo:v2"))


async def test_it_does_not_outlive_its_time(registry: Registry, host: str, cosign: Cosign, key: str) -> None:
    registry.push("podinfo", "v2")
    cosign.answers(0, seconds=60)
    with pytest.raises(errors.Unreachable, match="cosign: no answer within 1 s"):
        await run(entry(cosign, host, key=key, timeout="1s"), subject(f"{host}/podinfo:v2"))
    (call,) = cosign.calls()
    await asyncio.sleep(0)
    with pytest.raises(ProcessLookupError):
        os.kill(call["pid"], 0)


async def test_what_is_not_there_is_not_verified(host: str, cosign: Cosign, key: str) -> None:
    assert "has no podinfo v2" in await fails(entry(cosign, host, key=key), subject(f"{host}/podinfo:v2"))
    assert cosign.calls() == []


async def test_one_of_several_is_enough_to_fail(registry: Registry, host: str, cosign: Cosign, key: str) -> None:
    for tag in ("v1", "v2"):
        registry.push("podinfo", tag, version=tag)
    await passes(entry(cosign, host, key=key), subject(f"{host}/podinfo:v1", f"{host}/podinfo:v2"))
    assert len(cosign.calls()) == 2
    await passes(entry(cosign, host, key=key, only=":v1$"), subject(f"{host}/podinfo:v1", f"{host}/podinfo:v2"))
    assert len(cosign.calls()) == 3
