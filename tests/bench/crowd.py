"""The embedded API server as its own process, filled with canaries before it opens: `python -m tests.bench.crowd`."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from daemon.sandbox.kubernetes_api import KubernetesApi
from tests import builders
from tests.cluster import CRDS

NAMESPACE = "bench"


def fill(api: KubernetesApi, canaries: int) -> None:
    for number in range(canaries):
        name = f"canary-{number}"
        api.create(builders.deployment(NAMESPACE, name, version=f"v{number}"))
        api.create(builders.virtual_service(NAMESPACE, name))
        api.create(builders.canary(NAMESPACE, name) | {"status": builders.canary_status()})


async def serve(port: int, canaries: int, kubeconfig: Path) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with KubernetesApi(CRDS, [NAMESPACE], port=port) as api:
        fill(api, canaries)  # nothing is answered meanwhile: the loop is ours
        api.kubeconfig(kubeconfig)
        await stopping.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.crowd", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--canaries", type=int, default=0)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.canaries, given.kubeconfig))


if __name__ == "__main__":
    main()
