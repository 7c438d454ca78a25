"""Criteria against a Prometheus that is down, late, refuses, or answers what nobody expects."""

from __future__ import annotations

import asyncio
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from daemon.model import errors
from daemon.sandbox.processes import free_port
from tests.checks import fails, hesitates, passes, run, serving


class Spoken:
    """Answers each query as it is told to, in the shapes of Prometheus' HTTP API."""

    def __init__(self, **numbers: Any) -> None:
        self.numbers = numbers
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        query = urllib.parse.parse_qs((await request.read()).decode())["query"][0]
        self.asked.append(query)
        value = self.numbers.get(query.split("{")[0])
        if callable(value):
            answer: web.Response = await value(request)
            return answer
        numbers = [] if value is None else value if isinstance(value, list) else [value]
        result = [{"metric": {"i": str(at)}, "value": [1435781451.781, str(one)]} for at, one in enumerate(numbers)]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})


CRITERION = {"kind": "promql", "query": "errors", "max": 0.01}
RATIO = {"kind": "promql", "query": "canary", "stable": "stable", "ratio": {"max": 1.5}}


async def judged(judge: Any, entry: dict[str, Any], **numbers: Any) -> str:
    async with serving(Spoken(**numbers).answer) as url:
        said: str = await judge(entry, prometheus_url=url)
        return said


async def test_bounds() -> None:
    assert await judged(passes, CRITERION, errors=0.0012345) == "0.001234, expected at most 0.01"
    assert await judged(fails, CRITERION, errors=0.05) == "expected at most 0.01, got 0.05"
    assert await judged(fails, {"kind": "promql", "query": "up", "min": 2}, up=1) == "expected at least 2, got 1"
    assert await judged(passes, {"kind": "promql", "query": "up", "min": 1, "max": 3}, up=3) == "3, expected 1 to 3"
    assert await judged(fails, CRITERION, errors="+Inf") == "expected at most 0.01, got inf"


@pytest.mark.parametrize("value", [None, "NaN"])
async def test_no_data_is_what_the_configuration_says(value: Any) -> None:
    assert await judged(hesitates, CRITERION, errors=value) == "expected at most 0.01, got no data"
    await judged(passes, {**CRITERION, "no_data": "pass"}, errors=value)
    await judged(fails, {**CRITERION, "no_data": "fail"}, errors=value)


async def test_too_little_traffic_is_no_judgement() -> None:
    entry = {**CRITERION, "sample": {"query": "seen", "min": 100}}
    told = "not enough traffic yet: 12 requests, expected at least 100"
    assert await judged(hesitates, entry, seen=12, errors=1) == told
    assert await judged(hesitates, entry, errors=1) == told.replace("12", "no")
    assert await judged(passes, {**entry, "too_few": "pass"}, seen=12, errors=1) == told
    assert await judged(fails, {**entry, "too_few": "fail"}, seen=12, errors=0) == told
    await judged(fails, entry, seen=100, errors=1)


async def test_against_stable() -> None:
    assert await judged(passes, RATIO, canary=0.3, stable=0.25) == (
        "1.2 times stable (canary 0.3, stable 0.25), expected at most 1.5"
    )
    assert await judged(fails, RATIO, canary=0.5, stable=0.25) == (
        "expected at most 1.5 times stable, got 2 (canary 0.5, stable 0.25)"
    )
    assert await judged(hesitates, RATIO, canary=0.5) == (
        "expected at most 1.5 times stable, got no data of stable (canary 0.5)"
    )
    await judged(fails, {**RATIO, "max": 0.1}, canary=0.5, stable=0.5)


async def test_a_stable_of_zero() -> None:
    assert await judged(passes, RATIO, canary=0, stable=0) == "canary 0, stable 0: no difference"
    assert await judged(fails, RATIO, canary=0.01, stable=0) == (
        "expected at most 1.5 times stable, got canary 0.01, stable 0"
    )
    await judged(passes, {**RATIO, "ratio": {"min": 0.5}}, canary=0.01, stable=0)
    await judged(passes, {**RATIO, "ratio": {"max": 1.5, "floor": 0.01}}, canary=0.01, stable=0)
    await judged(fails, {**RATIO, "ratio": {"max": 1.5, "floor": 0.01}}, canary=0.02, stable=0)


@pytest.mark.parametrize("canary", [0.5, "+Inf"])
async def test_a_stable_without_a_number_is_nothing_to_compare_with(canary: Any) -> None:
    told = f"expected at most 1.5 times stable, got inf of stable (canary {float(canary):.4g})"
    assert await judged(hesitates, RATIO, canary=canary, stable="+Inf") == told
    await judged(fails, RATIO, canary="+Inf", stable=0.5)


async def test_what_is_asked_is_filled_in() -> None:
    spoken = Spoken(errors=0)
    entry = {**CRITERION, "query": 'errors{app="$workload",ns="$namespace"}[$window]'}
    async with serving(spoken.answer) as url:
        await passes({**entry, "url": f"{url}/"}, prometheus_url="http://elsewhere.invalid")
    assert spoken.asked == ['errors{app="podinfo-app",ns="shop"}[90s]']


def answering(status: int, text: str, content_type: str = "application/json") -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, content_type=content_type)

    return answer


BAD_QUERY = '{"status":"error","errorType":"bad_data","error":"1:3: parse error: unexpected end of input"}'
TOO_LONG = '{"status":"error","errorType":"timeout","error":"query timed out"}'
MATRIX = '{"status":"success","data":{"resultType":"matrix","result":[]}}'


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (answering(400, BAD_QUERY), errors.Refused, "bad_data: 1:3: parse error: unexpected end of input"),
        (answering(503, TOO_LONG), errors.Unreachable, "query timed out"),
        (answering(502, "<html>", "text/html"), errors.Unreachable, "HTTP 502: <html>"),
        (answering(200, "<html>", "text/html"), errors.Unreachable, "not JSON"),
        (answering(401, "who?"), errors.Refused, "credentials were not accepted"),
        (answering(200, MATRIX), errors.Refused, "expected an instant vector or a scalar"),
        (answering(200, "[]"), errors.Refused, "expected an instant vector or a scalar"),
        (answering(200, "x" * 2_000_000), errors.Unreachable, "larger than"),
        (lambda _: asyncio.sleep(30), errors.Unreachable, "no answer within 0.3 s"),
    ],
)
async def test_what_is_no_answer_is_no_finding(answer: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told.replace("?", r"\?")):
        await judged(run, {**CRITERION, "timeout": "300ms"}, errors=answer)


async def test_several_series_are_no_number() -> None:
    with pytest.raises(errors.Refused, match="expected one number, got 2 series: aggregate them"):
        await judged(run, CRITERION, errors=[0, 1])


async def test_a_prometheus_that_is_down_is_no_finding() -> None:
    with pytest.raises(errors.Unreachable, match="Prometheus at"):
        await run(CRITERION, prometheus_url=f"http://127.0.0.1:{free_port()}")


async def test_a_token_is_sent_and_not_repeated(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-secret-token", "utf-8")

    async def echo(request: web.Request) -> web.Response:
        return web.Response(status=500, text=request.headers["Authorization"])

    with pytest.raises(errors.Unreachable) as caught:
        await judged(run, {**CRITERION, "bearer_token_file": str(token)}, errors=echo)
    assert str(caught.value).endswith("Bearer ***")
