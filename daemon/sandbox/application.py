"""The two versions of the app behind the canary, as small as an app can be and still misbehave on command.

Runs as its own process (`python -m daemon.sandbox.application --version v2 --port 8081`), so that a slow or
failing version costs the demo's own event loop nothing. `PUT /sandbox/behaviour` makes a version fail or
slow down while requests are flowing; the change counts from the next request on.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

BEHAVIOUR_PATH = "/sandbox/behaviour"
VERSION_HEADER = "x-app-version"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a version treats its users: the share of requests answered 500, and the seconds added to each."""

    error_ratio: float = 0.0
    latency_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.error_ratio <= 1:
            raise ValueError(f"error_ratio must be within 0 and 1, not {self.error_ratio}")
        if not 0 <= self.latency_seconds <= 60:
            raise ValueError(f"latency_seconds must be within 0 and 60, not {self.latency_seconds}")


@dataclass(slots=True)
class Application:
    """One version of the app."""

    version: str
    behaviour: Behaviour = field(default_factory=Behaviour)
    _debt: float = 0.0

    def _fails_now(self) -> bool:
        """Errors come evenly: at 0.05 exactly each twentieth request, so that figures repeat between runs."""
        self._debt += self.behaviour.error_ratio
        if self._debt < 1 - 1e-9:
            return False
        self._debt -= 1
        return True

    async def serve(self, _request: web.Request) -> web.Response:
        fails = self._fails_now()
        if self.behaviour.latency_seconds:
            await asyncio.sleep(self.behaviour.latency_seconds)
        answer = {"version": self.version, **({"error": "told to fail"} if fails else {})}
        return web.json_response(answer, status=500 if fails else 200, headers={VERSION_HEADER: self.version})

    async def show_behaviour(self, _request: web.Request) -> web.Response:
        return web.json_response(asdict(self.behaviour))

    async def change_behaviour(self, request: web.Request) -> web.Response:
        try:
            self.behaviour = Behaviour(**{name: float(value) for name, value in (await request.json()).items()})
        except (ValueError, TypeError, AttributeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self._debt = 0.0
        return web.json_response(asdict(self.behaviour))

    def routes(self) -> web.Application:
        application = web.Application()
        application.router.add_get(BEHAVIOUR_PATH, self.show_behaviour)
        application.router.add_put(BEHAVIOUR_PATH, self.change_behaviour)
        application.router.add_route("*", "/{path:.*}", self.serve)
        return application


def command(version: str, port: int) -> list[str | Path]:
    """The argv that runs a version in a process of its own."""
    return [sys.executable, "-m", "daemon.sandbox.application", "--version", version, "--port", str(port)]


async def set_behaviour(session: aiohttp.ClientSession, port: int, behaviour: Behaviour) -> None:
    """Tell a running version how to behave; raises when it did not take it."""
    url = f"http://127.0.0.1:{port}{BEHAVIOUR_PATH}"
    async with session.put(url, json=asdict(behaviour), timeout=aiohttp.ClientTimeout(total=5)) as response:
        response.raise_for_status()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="One version of the sandbox app.")
    parser.add_argument("--version", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(argv)
    application = Application(options.version).routes()
    web.run_app(application, host="127.0.0.1", port=options.port, access_log=None, print=None, shutdown_timeout=1)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
