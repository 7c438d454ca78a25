"""A process with an elector: writes down when it leads. Stopped with signals, by the tests of the lease.

Arguments: kubeconfig, namespace, lease, identity, file, and duration, renew_deadline and retry in seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import signal
import sys
import time

from daemon.adapters.clock import SystemChance, SystemClock
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.lease import KubernetesLease
from daemon.model.lease import Terms
from daemon.workflow.leading import Elector, Leadership

EVERY = 0.02


def append(file: str, line: str) -> None:
    with pathlib.Path(file).open("a", encoding="utf-8") as lines:
        lines.write(line)


async def main(kubeconfig: str, namespace: str, name: str, identity: str, file: str, terms: Terms) -> None:
    async def work(leadership: Leadership) -> None:
        while True:
            # Asked before: a line that is on its way when the process is stopped says when it was begun.
            moment = time.monotonic()
            if leadership.holds():
                append(file, f"{identity} {moment}\n")
            await asyncio.sleep(EVERY)

    async with await KubernetesClient.connect(
        kubeconfig=pathlib.Path(kubeconfig), context=None, timeout=terms.renew_deadline
    ) as client:
        elector = Elector(
            store=KubernetesLease(client, namespace=namespace, name=name),
            identity=identity,
            terms=terms,
            work=work,
            report=lambda what, detail: print(identity, what, detail, flush=True),
            clock=SystemClock(),
            chance=SystemChance(),
        )
        running = asyncio.create_task(elector.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await running


if __name__ == "__main__":
    _, config, lease_namespace, lease_name, own_identity, where = sys.argv[:6]
    own_terms = Terms(*(float(value) for value in sys.argv[6:]))
    asyncio.run(main(config, lease_namespace, lease_name, own_identity, where, own_terms))
