"""What the data plane says, through Prometheus: how many requests per second reach the canary."""

import json
import string
from typing import Any

import aiohttp

from daemon.model import errors
from daemon.model.canary import Canary, Controller

FIELDS = frozenset({"namespace", "name", "workload", "service", "canary_service", "revision"})
_APART = frozenset({"canary_service", "revision"})
"""What a query may be filled with: names of Kubernetes objects, never labels of an alert (law 10)."""


class PrometheusProbe:
    """Keeps ``ports.TrafficProbe`` with one instant query."""

    def __init__(self, session: aiohttp.ClientSession, *, url: str, query: str, timeout: float) -> None:
        """``query`` is PromQL with ``$namespace``, ``$workload`` … (see FIELDS); ``timeout`` in seconds."""
        self._session = session
        self._url = url.rstrip("/") + "/api/v1/query"
        self._query = string.Template(query)
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    def tells(self, canary: Canary) -> bool:
        """A Rollout runs both sides under one name: only its Service, or its pods' hash, tells them apart."""
        asked = set(self._query.get_identifiers())
        return canary.controller is not Controller.ARGO or "workload" not in asked or bool(asked & _APART)

    async def canary_rate(self, canary: Canary) -> float | None:
        if not canary.workload and "workload" in self._query.get_identifiers():
            return None  # nobody knows what runs its pods: an empty name is other people's traffic
        query = self._query.substitute(
            namespace=canary.workload_namespace,
            name=canary.ref.name,
            workload=canary.workload,
            service=canary.service,
            canary_service=canary.canary_service,
            revision=canary.revision,
        )
        try:
            async with self._session.get(self._url, params={"query": query}, timeout=self._timeout) as response:
                raw = await response.read()
                status = response.status
            answer = json.loads(raw)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise errors.Unreachable(f"Prometheus at {self._url}: {type(error).__name__}: {error}") from error
        said = answer if isinstance(answer, dict) else {}
        if status != 200 or said.get("status") != "success":
            raise errors.Refused(f"Prometheus at {self._url}: HTTP {status}: {said.get('error', raw[:200])}")
        try:
            return _sum(said["data"])
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise errors.Refused(
                f"Prometheus at {self._url}: expected an instant vector or a scalar, got {raw[:200]!r}"
            ) from error


def check_query(query: str) -> None:
    """Raises ValueError when a query has a field that cannot be filled."""
    unknown = set(string.Template(query).get_identifiers()) - FIELDS
    if unknown:
        raise ValueError(f"unknown field ${min(unknown)}; expected some of {', '.join(sorted(FIELDS))}")


def _sum(data: dict[str, Any]) -> float | None:
    # No series is no data, not zero: a canary whose metrics have gone missing proves nothing.
    if data.get("resultType") == "scalar":
        return float(data["result"][1])
    values = [float(series["value"][1]) for series in data.get("result", [])]
    return sum(values) if values else None
