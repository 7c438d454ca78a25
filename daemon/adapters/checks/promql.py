"""A criterion: one number out of Prometheus within bounds, alone or against the stable version's.

Where nothing can be judged yet (too few requests, no series, NaN) it says so instead of guessing.
"""

import json
import math
from typing import Any, Self

import aiohttp
import pydantic
import yarl

from daemon.adapters.checks.asking import Answer, ask
from daemon.adapters.checks.filling import Template, fill
from daemon.adapters.checks.findings import failed, passed, unknown, within
from daemon.adapters.checks.options import GRACE, CheckOptions, Number, Seconds, Unknown
from daemon.adapters.checks.surroundings import Surroundings
from daemon.adapters.options import HttpUrl, KindOptions
from daemon.adapters.secrets import Secret, SecretFile
from daemon.model import errors
from daemon.model.checking import Finding, Subject

KIND = "promql"

_ANSWER_MOST = 1024 * 1024
_ZERO = 1e-12


class Ratio(KindOptions):
    """Bounds of canary divided by stable."""

    min: Number | None = None
    max: Number | None = None
    floor: pydantic.NonNegativeFloat = 0.0
    """A stable value below this counts as this: one error against none is no catastrophe. With 0, a stable value of
    0 passes when the canary's is 0 too, and exceeds every ``max`` when not."""

    @pydantic.model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("expected min, max or both")
        return self


class Sample(KindOptions):
    """How much must have been seen before a judgement means anything."""

    query: Template
    min: Number


class Options(CheckOptions):
    """``kind: promql``."""

    query: Template
    """One number: aggregate it. Fields are filled in, ``$window`` is as long as the soak so far."""
    min: Number | None = None
    max: Number | None = None
    stable: Template | None = None
    """The same of the stable version, for ``ratio``."""
    ratio: Ratio | None = None
    sample: Sample | None = None
    too_few: Unknown = Unknown.UNDECIDED
    """When ``sample`` is below its ``min``."""
    no_data: Unknown = Unknown.UNDECIDED
    """When there is no series, or NaN."""
    url: HttpUrl | None = None
    """Another Prometheus than the one everything else asks."""
    bearer_token_file: SecretFile | None = None
    timeout: Seconds = 5.0
    """Of all queries together."""
    once: bool = False

    @pydantic.model_validator(mode="after")
    def _judges(self) -> Self:
        if self.min is None and self.max is None and self.ratio is None:
            raise ValueError("expected min, max or ratio")
        if (self.stable is None) != (self.ratio is None):
            raise ValueError("expected stable and ratio together")
        return self


def build(name: str, options: Options, surroundings: Surroundings) -> "PromqlCheck":  # noqa: ARG001 - it needs none
    if not (options.url or surroundings.prometheus_url):
        raise errors.ConfigurationError("url: expected a URL, since no Prometheus is configured")
    return PromqlCheck(options, surroundings)


class PromqlCheck:
    """Keeps ``ports.Check``."""

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self._options = options
        url = (options.url or surroundings.prometheus_url).rstrip("/")
        self._prometheus = Prometheus(surroundings.session, url, options.bearer_token_file)
        self.timeout = options.timeout + GRACE
        self.once = options.once

    async def run(self, subject: Subject) -> Finding:
        async with within(self._options.timeout, self._prometheus.what):
            return await self._judged(subject)

    async def _judged(self, subject: Subject) -> Finding:
        options = self._options
        if options.sample is not None:
            seen = await self._ask(options.sample.query, subject)
            if seen is None or seen < options.sample.min:
                had = "no requests" if seen is None else f"{seen:g} requests"
                return unknown(
                    options.too_few, f"not enough traffic yet: {had}, expected at least {options.sample.min:g}"
                )
        canary = await self._ask(options.query, subject)
        if canary is None:
            return unknown(options.no_data, f"expected {self._wanted()}, got no data")
        if problem := _outside(canary, options.min, options.max):
            return failed(f"expected {problem}, got {canary:.4g}")
        if options.stable is None or options.ratio is None:
            return passed(f"{canary:.4g}, expected {self._wanted()}")
        stable = await self._ask(options.stable, subject)
        if stable is None or math.isinf(stable):
            # Everything is nothing beside it, and itself is no number of times itself.
            got = "no data" if stable is None else f"{stable:g}"
            return unknown(options.no_data, f"expected {self._wanted()}, got {got} of stable (canary {canary:.4g})")
        return _compared(canary, stable, options.ratio)

    def _wanted(self) -> str:
        options = self._options
        bounds = [_bounds(options.min, options.max)] if (options.min, options.max) != (None, None) else []
        if options.ratio is not None:
            bounds.append(f"{_bounds(options.ratio.min, options.ratio.max)} times stable")
        return " and ".join(bounds)

    async def _ask(self, query: str, subject: Subject) -> float | None:
        value = await self._prometheus.value(fill(query, subject))
        return None if value is None or math.isnan(value) else value


class Prometheus:
    """Instant queries that have one number as their answer."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token_file: Any) -> None:
        self._session = session
        self._url = yarl.URL(url + "/api/v1/query")
        self._token = None if token_file is None else Secret(token_file)
        self.what = f"Prometheus at {self._url.with_user(None)}"

    async def value(self, query: str) -> float | None:
        """None when there is no series. Raises Unreachable, or Refused for a query that cannot be answered so."""
        token = "" if self._token is None else self._token.read()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # POST: a query may be longer than a URL.
        answer = await ask(
            self._session, "POST", self._url, what=self.what, headers=headers, data={"query": query},
            most=_ANSWER_MOST, hidden=[token],
        )  # fmt: skip
        try:
            return _number(self._result(answer, token))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            said = f"expected an instant vector or a scalar, got {answer.shown()}"
            raise errors.Refused(f"{self.what}: {said}") from error

    def _result(self, answer: Answer, token: str) -> Any:
        if answer.status in {400, 422}:
            # Of the query itself; a 5xx, or a proxy's answer, says nothing about it.
            raise errors.Refused(f"{self.what}: {_error(answer)}")
        if answer.status in {401, 403}:
            raise errors.Refused(f"{self.what}: HTTP {answer.status}: credentials were not accepted")
        if answer.status != 200:
            raise errors.Unreachable(f"{self.what}: HTTP {answer.status}: {answer.shown([token])}")
        document = answer.json(self.what)
        if document.get("status") != "success":
            raise errors.Unreachable(f"{self.what}: {_error(answer)}")
        return document["data"]


def _number(data: Any) -> float | None:
    if data["resultType"] == "scalar":
        return float(data["result"][1])
    if data["resultType"] != "vector":
        raise ValueError(data["resultType"])
    series = data["result"]
    if len(series) > 1:
        raise errors.Refused(f"Prometheus: expected one number, got {len(series)} series: aggregate them in the query")
    return float(series[0]["value"][1]) if series else None


def _error(answer: Answer) -> str:
    try:
        document = json.loads(answer.body)
        return f"{document['errorType']}: {document['error']}"[:300]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status}: {answer.shown()}"


def _compared(canary: float, stable: float, ratio: Ratio) -> Finding:
    against = max(stable, ratio.floor)
    both = f"canary {canary:.4g}, stable {stable:.4g}"
    if abs(against) < _ZERO:
        if abs(canary) < _ZERO:
            return passed(f"{both}: no difference")
        if ratio.max is not None:
            return failed(f"expected at most {ratio.max:g} times stable, got {both}")
        return passed(f"{both}: above every ratio")
    found = canary / against
    if problem := _outside(found, ratio.min, ratio.max):
        return failed(f"expected {problem} times stable, got {found:.3g} ({both})")
    return passed(f"{found:.3g} times stable ({both}), expected {_bounds(ratio.min, ratio.max)}")


def _outside(value: float, least: float | None, most: float | None) -> str:
    if least is not None and value < least:
        return f"at least {least:g}"
    if most is not None and value > most:
        return f"at most {most:g}"
    return ""


def _bounds(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"{least:g} to {most:g}"
    return f"at least {least:g}" if least is not None else f"at most {most:g}"
