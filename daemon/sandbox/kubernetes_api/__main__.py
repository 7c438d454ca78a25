"""The embedded Kubernetes API as its own process, for demos and for tests that kill daemons."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from daemon.sandbox.kubernetes_api.server import KubernetesApi


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m daemon.sandbox.kubernetes_api", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="written once the server answers")
    parser.add_argument("--crds", type=Path, nargs="*", default=[], help="YAML files or folders of them")
    parser.add_argument("--namespace", action="append", default=[], help="created at start; may be repeated")
    parser.add_argument("--history", type=int, default=10_000, help="events kept per resource for watches")
    parser.add_argument("--bookmark-interval", type=float, default=60.0, help="seconds")
    return parser.parse_args()


async def serve(arguments: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with KubernetesApi(
        arguments.crds,
        arguments.namespace,
        port=arguments.port,
        history=arguments.history,
        bookmark_interval=arguments.bookmark_interval,
    ) as api:
        api.kubeconfig(arguments.kubeconfig)
        print(api.url, flush=True)  # noqa: T201 - whoever started this process reads it
        await stopping.wait()


if __name__ == "__main__":
    asyncio.run(serve(parsed()))
