"""A real Alertmanager for the demo, with the shipped routes.

The demo's daemon listens on another address and reads another token file than a cluster's; only these two
things are put in, so that grouping, timing and what is sent are exactly what a user gets from the shipped
file.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from daemon.sandbox.packages import AlertingBinaries
from daemon.sandbox.processes import ChildProcess, Children, free_port, wait_until_ready


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """A running Alertmanager; `address` is HOST:PORT, as Prometheus wants it."""

    child: ChildProcess
    address: str

    @property
    def url(self) -> str:
        return f"http://{self.address}"


def pointed_at(shipped: Mapping[str, Any], webhook_url: str, credentials_file: Path) -> dict[str, Any]:
    """The shipped configuration with every webhook sent to `webhook_url`, token from `credentials_file`."""
    config: dict[str, Any] = copy.deepcopy(dict(shipped))
    for receiver in config["receivers"]:
        for webhook in receiver.get("webhook_configs", []):
            webhook["url"] = webhook_url
            webhook["http_config"]["authorization"]["credentials_file"] = str(credentials_file)
    return config


async def start_alertmanager(
    children: Children,
    session: aiohttp.ClientSession,
    binaries: AlertingBinaries,
    *,
    folder: Path,
    shipped_config: Path,
    webhook_url: str,
    credentials_file: Path,
) -> Alertmanager:
    """Start Alertmanager on a free port, alone (no cluster), and wait until it answers."""
    address = f"127.0.0.1:{free_port()}"
    path = _written(shipped_config, folder / "alertmanager.yaml", webhook_url, credentials_file)
    argv: list[str | Path] = [
        binaries.alertmanager,
        f"--config.file={path}",
        f"--storage.path={folder / 'alertmanager-data'}",
        f"--web.listen-address={address}",
        # Without this it joins a cluster of its own on all addresses.
        "--cluster.listen-address=",
    ]
    # In the program's own folder, because an unpacked one finds its templates from there.
    child = await children.start("alertmanager", argv, folder=binaries.alertmanager.parent)
    await wait_until_ready(child, f"http://{address}/-/ready", session)
    return Alertmanager(child, address)


def _written(shipped: Path, path: Path, webhook_url: str, credentials_file: Path) -> Path:
    config = pointed_at(yaml.safe_load(shipped.read_text("utf-8")), webhook_url, credentials_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    return path
