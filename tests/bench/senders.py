"""Webhooks as ready-made bytes over keep-alive connections: the sender must cost less than what it measures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.neighbours import Process
from tests.builders import Json
from tests.running import TOKEN

CONNECTIONS = 4
TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Burst:
    """What one burst took, and what was answered: ``bodies`` has one per request, in no order."""

    seconds: float
    cpu_seconds: float
    bodies: tuple[bytes, ...]


def request(body: Json) -> bytes:
    content = json.dumps(body).encode()
    head = (
        "POST /webhooks/alertmanager HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def burst(process: Process, requests: Sequence[bytes]) -> Burst:
    """Sends all, as fast as they are answered. Every answer must be a 200."""
    loop = asyncio.get_running_loop()
    shares = [requests[start::CONNECTIONS] for start in range(CONNECTIONS)]
    async with asyncio.timeout(TIMEOUT):
        spent, began = process.cpu_seconds(), loop.time()
        answered = await asyncio.gather(*(_one_connection(process.port, share) for share in shares))
        seconds, cpu = loop.time() - began, process.cpu_seconds() - spent
    return Burst(seconds, cpu, tuple(body for bodies in answered for body in bodies))


async def _one_connection(port: int, requests: Sequence[bytes]) -> list[bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    bodies = []
    try:
        for one in requests:
            writer.write(one)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            bodies.append(await reader.readexactly(length))
    finally:
        writer.close()
        await writer.wait_closed()
    return bodies


def reasons(bodies: Sequence[bytes]) -> set[tuple[str, str]]:
    """Every (verdict, reason) that was answered."""
    answers: list[Any] = [alert for body in bodies for alert in json.loads(body)["alerts"]]
    return {(answer["verdict"], answer["reason"]) for answer in answers}
