"""Smoke tests against a server on loopback that answers well, badly, late, without end, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from daemon.adapters import checks
from daemon.adapters.clock import SystemClock
from daemon.model.checking import CheckState
from daemon.sandbox.processes import free_port
from tests.checks import SUBJECT, fails, hesitates, passes, run, serving, subject

TOKEN = "a-bearer-token"


class Canary:
    """What it was asked, and what it answers."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.cookies: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.method, request.path_qs, headers, await request.read()))
        match request.path:
            case "/slow":
                await asyncio.sleep(float(request.query.get("s", "30")))
                return web.Response(text="late")
            case "/moved":
                return web.Response(status=302, headers={"Location": request.query.get("to", "/ok")})
            case "/round":
                return web.Response(status=302, headers={"Location": "/round"})
            case "/broken":
                return web.Response(status=500, text="panic: password=hunter2\n at line 1")
            case "/huge":
                return await self._huge(request)
            case "/json":
                return web.json_response({"status": "ok", "version": "v2", "checks": [{"name": "db", "up": True}]})
            case "/cookie":
                answer = web.Response()
                answer.set_cookie("sticky", "pod-1")
                return answer
        return web.Response(text="fine: version v2")

    async def _huge(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await answer.write(b"x" * 65536)
        return answer


@pytest.fixture
async def canary() -> AsyncIterator[tuple[Canary, str]]:
    one = Canary()
    async with serving(one.answer) as url:
        yield one, url


Asked = tuple[Canary, str]


async def test_what_is_as_expected_passes(canary: Asked) -> None:
    _, url = canary
    assert (await passes({"kind": "http", "url": f"{url}/ok"})).startswith(f"GET {url}/ok: 200 in ")
    await passes({"kind": "http", "url": f"{url}/ok", "contains": "version v2", "matches": r"v\d$"})
    await passes({"kind": "http", "url": f"{url}/json", "json": {"status": "ok", "checks.0.up": True}})
    await passes({"kind": "http", "url": f"{url}/ok", "latency": "5s"})
    await passes({"kind": "http", "url": f"{url}/broken", "status": [404, "5xx"]})
    await passes({"kind": "http", "url": f"{url}/ok", "method": "HEAD"})


async def test_what_is_not_as_expected_fails_with_both(canary: Asked) -> None:
    _, url = canary
    assert await fails({"kind": "http", "url": f"{url}/ok", "status": [201, 404]}) == (
        f"GET {url}/ok: expected 201 or 404, got 200: fine: version v2"
    )
    assert "expected 'v3' in the answer, got 200: fine" in await fails(
        {"kind": "http", "url": f"{url}/ok", "contains": "v3"}
    )
    assert "to match '^v2'" in await fails({"kind": "http", "url": f"{url}/ok", "matches": "^v2"})
    assert 'expected version to be "v3", got "v2"' in await fails(
        {"kind": "http", "url": f"{url}/json", "json": {"version": "v3"}}
    )
    assert "expected 200 within 10 ms, got it after" in await fails(
        {"kind": "http", "url": f"{url}/slow?s=0.1", "latency": "10ms"}
    )


async def test_an_error_of_the_canary_is_a_failure_and_its_secrets_are_not_repeated(canary: Asked) -> None:
    _, url = canary
    said = await fails({"kind": "http", "url": f"{url}/broken"})
    assert said.startswith(f"GET {url}/broken: expected 200-299, got 500: panic: password=[redacted]")


async def test_no_answer_is_a_failure(canary: Asked) -> None:
    _, url = canary
    said = await fails({"kind": "http", "url": f"{url}/slow", "timeout": "200ms", "no_answer": "fail"})
    assert said == f"GET {url}/slow: expected 200-299 within 0.2 s, got no answer"
    nobody = f"http://127.0.0.1:{free_port()}/"
    said = await fails({"kind": "http", "url": nobody, "no_answer": "fail"})
    assert said.startswith(f"GET {nobody}: expected 200-299, got no answer: ")


async def test_a_load_generator_that_is_down_says_nothing_about_the_canary(canary: Asked) -> None:
    _, url = canary
    said = await hesitates({"kind": "http", "url": f"{url}/slow", "timeout": "200ms"})
    assert said == f"cannot know: GET {url}/slow: expected 200-299 within 0.2 s, got no answer"
    nobody = f"http://127.0.0.1:{free_port()}/"
    said = await hesitates({"kind": "http", "method": "POST", "url": nobody})
    assert said.startswith(f"cannot know: POST {nobody}: expected 200-299, got no answer: ")
    await fails({"kind": "http", "url": f"{url}/broken"})  # an answer is one, whoever gives it


async def test_a_name_that_does_not_exist_is_a_failure() -> None:
    entry = {"kind": "http", "url": "http://$canary_service.$namespace.invalid/", "timeout": "10s"}
    assert "GET http://podinfo-svc-canary.shop.invalid/: expected 200-299" in await fails(entry)


async def test_redirects_are_an_answer_unless_they_are_followed(canary: Asked) -> None:
    _, url = canary
    assert "got 302" in await fails({"kind": "http", "url": f"{url}/moved"})
    await passes({"kind": "http", "url": f"{url}/moved", "status": 302})
    await passes({"kind": "http", "url": f"{url}/moved", "redirects": True})
    assert "more than 5 redirects" in await fails({"kind": "http", "url": f"{url}/round", "redirects": True})


async def test_an_answer_without_end_is_cut(canary: Asked) -> None:
    _, url = canary
    await passes({"kind": "http", "url": f"{url}/huge", "timeout": "5s", "contains": "xxx"})
    assert "expected JSON, got more than 262144 bytes" in await fails(
        {"kind": "http", "url": f"{url}/huge", "json": {"a": 1}}
    )


async def test_what_is_sent_is_filled_in(canary: Asked) -> None:
    one, url = canary
    entry = {
        "kind": "http", "method": "POST", "url": f"{url}/run/$name?ns=$namespace",
        "headers": {"X-Revision": "$revision"}, "body": {"name": "load", "metadata": {"cmd": "hey http://$canary_service/"}},
    }  # fmt: skip
    await passes(entry)
    ((method, path, headers, body),) = one.requests
    assert (method, path) == ("POST", "/run/podinfo?ns=shop")
    assert (headers["x-revision"], headers["content-type"]) == ("7b8cb8dc5d", "application/json")
    assert body == b'{"name": "load", "metadata": {"cmd": "hey http://podinfo-svc-canary/"}}'
    await passes({"kind": "http", "method": "PUT", "url": url, "body": "weight=$weight"})
    assert one.requests[1][3] == b"weight=5"


async def test_a_token_goes_to_its_host_only_and_into_no_detail(canary: Asked, tmp_path: Path) -> None:
    one, url = canary
    token = tmp_path / "token"
    token.write_text(TOKEN, "utf-8")

    async def echo(request: web.Request) -> web.Response:
        return web.Response(status=403, text=f"not for {request.headers.get('Authorization')} or {TOKEN}")

    async with serving(echo) as other:
        entry = {"kind": "http", "bearer_token_file": str(token), "redirects": True}
        said = await fails({**entry, "url": other})
        assert TOKEN not in said
        said = await fails({**entry, "url": f"{url}/moved?to={other}/x"})
        assert "None" in said
    assert one.requests[0][2]["authorization"] == f"Bearer {TOKEN}"


async def test_credentials_and_queries_of_the_url_stay_out_of_details(canary: Asked) -> None:
    _, url = canary
    said = await passes({"kind": "http", "url": url.replace("://", "://user:hush@") + "/ok?key=hush"})
    assert "hush" not in said


async def test_no_cookie_of_one_run_decides_the_next() -> None:
    one = Canary()
    async with serving(one.answer) as url, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        nothing: Any = None
        surroundings = checks.Surroundings(session, nothing, SystemClock(), "", None, lambda _: None)
        check = checks.build({"it": {"kind": "http", "url": f"{url}/cookie"}}, surroundings)["it"]
        for _ in range(2):
            assert (await check.run(SUBJECT)).state is CheckState.PASSED
    assert all("cookie" not in headers for _, _, headers, _ in one.requests)


async def test_a_subject_that_is_no_name_asks_nothing(canary: Asked) -> None:
    from daemon.model import errors  # noqa: PLC0415

    one, url = canary
    with pytest.raises(errors.Refused, match="cannot be filled in"):
        await run({"kind": "http", "url": f"{url}/$revision"}, subject(revision="../../admin"))
    assert one.requests == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of 127.0.0.1, signed by itself; its key is beside it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate


@pytest.fixture
async def secure(certificate: Path) -> AsyncIterator[tuple[str, Path]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    application = web.Application()
    application.router.add_get("/", Canary().answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}/", certificate
    await runner.cleanup()


async def test_certificates_are_verified_unless_said_otherwise(secure: tuple[str, Path]) -> None:
    url, certificate = secure
    assert "certificate" in (await fails({"kind": "http", "url": url, "no_answer": "fail"})).lower()
    await passes({"kind": "http", "url": url, "ca_file": str(certificate)})
    await passes({"kind": "http", "url": url, "verify": False})
