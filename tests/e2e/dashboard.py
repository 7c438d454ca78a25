"""The shipped dashboard's questions, put to the Prometheus of a running stack as Grafana would put them."""

from __future__ import annotations

import contextlib
import json
import math
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from aiohttp import web

from daemon.sandbox.shop import NAME, NAMESPACE
from daemon.sandbox.stack import Stack
from tests.neighbours import CHECKOUT

Json = dict[str, Any]

DASHBOARD = CHECKOUT / "helm" / "pullback" / "files" / "dashboards" / "pullback.json"
TEMPLATES = CHECKOUT / "config" / "flagger" / "canary.yaml"
STEP = 1
"""Second between two points, as far apart as the scrapes are here."""
LABEL_VALUES = re.compile(r"label_values\((?P<selector>.+), (?P<label>\w+)\)")


def dashboard() -> Json:
    loaded: Json = json.loads(DASHBOARD.read_text("utf-8"))
    return loaded


def panels() -> list[Json]:
    return [one for one in dashboard()["panels"] if one["type"] != "row"]


def questions() -> Iterator[tuple[str, str]]:
    """Where it stands, and the query: every target of every panel, and every annotation."""
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for annotation in dashboard()["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"]


def metric_templates() -> Iterator[tuple[str, str]]:
    """The queries of the Flagger example, which ask the same Prometheus."""
    for document in yaml.safe_load_all(TEMPLATES.read_text("utf-8")):
        if document["kind"] == "MetricTemplate":
            query = document["spec"]["query"]
            for variable, value in (("namespace", NAMESPACE), ("target", NAME), ("interval", "4s")):
                query = query.replace(f"{{{{ {variable} }}}}", value)
            yield f"MetricTemplate {document['metadata']['name']}", query


def filled(expression: str, seconds: int) -> str:
    """The variables as Grafana fills them in, with a scrape a second."""
    for variable, value in (
        ("$__rate_interval", "4s"), ("$__range", f"{seconds}s"), ("$namespace", NAMESPACE), ("$canary", NAME),
    ):  # fmt: skip
        expression = expression.replace(variable, value)
    assert "$" not in expression, expression
    return expression


@dataclass(frozen=True, slots=True)
class Grafana:
    """Somebody who has had the dashboard open since ``began``."""

    stack: Stack
    began: float

    async def answers(self, expression: str) -> list[Json]:
        """The series of a query over all the time there was."""
        now = time.time()
        asked = filled(expression, math.ceil(now - self.began))
        found = await self._get("query_range", query=asked, start=f"{self.began}", end=f"{now}", step=f"{STEP}")
        series: list[Json] = found["result"]
        return series

    async def shown(self, title: str, target: str = "A") -> list[float]:
        """What the only line of this panel's target went through."""
        (asked,) = [
            one["expr"] for panel in panels() if panel["title"] == title
            for one in panel["targets"] if one["refId"] == target
        ]  # fmt: skip
        (series,) = await self.answers(asked)
        return [float(value) for _, value in series["values"] if math.isfinite(float(value))]

    async def legends(self, title: str) -> dict[tuple[str, ...], float]:
        """The most that each line of a panel showed, by the values of its labels in the order of their names."""
        (panel,) = [one for one in panels() if one["title"] == title]
        return {
            tuple(value for _, value in sorted(series["metric"].items())): max(float(v) for _, v in series["values"])
            for target in panel["targets"] for series in await self.answers(target["expr"])
        }  # fmt: skip

    async def without_data(self) -> list[str]:
        """Where there is a query with nothing to show, or a variable without a value."""
        empty = []
        for where, expression in (*questions(), *metric_templates()):
            series = await self.answers(expression)
            if not any(math.isfinite(float(value)) for one in series for _, value in one["values"]):
                empty.append(f"{where}: {expression}")
        for variable, wanted in (("namespace", NAMESPACE), ("canary", NAME)):
            if await self.values_of(variable) != [wanted]:
                empty.append(f"variable {variable}")
        return empty

    async def values_of(self, variable: str) -> list[str]:
        (query,) = [
            one["query"]["query"] for one in dashboard()["templating"]["list"] if one["name"] == variable
        ]  # fmt: skip
        found = LABEL_VALUES.fullmatch(query)
        assert found is not None
        selector = found["selector"].replace("$namespace", NAMESPACE)
        values: list[str] = await self._get(f"label/{found['label']}/values", **{"match[]": selector})
        return values

    async def _get(self, path: str, **parameters: str) -> Any:
        assert self.stack.prometheus is not None
        url = f"{self.stack.prometheus.url}/api/v1/{path}"
        async with self.stack.session.get(url, params=parameters) as response:
            document = await response.json()
        assert document["status"] == "success", (parameters, document)
        return document["data"]


@contextlib.asynccontextmanager
async def opened(stack: Stack) -> AsyncIterator[Grafana]:
    """Has the stack's Prometheus scrape Pullback too, and what stands for kube-state-metrics."""
    assert stack.prometheus is not None
    runner = web.AppRunner(_pods(stack))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        path = stack.folder / "prometheus.yaml"
        config = yaml.safe_load(path.read_text("utf-8"))
        config["scrape_configs"] += [
            # As the chart's ServiceMonitor has it: in Pullback's metrics `namespace` is the canary's.
            _job("pullback", stack.daemon_url.removeprefix("http://"), honor_labels=True),
            _job("kube-state-metrics", "{}:{}".format(*runner.addresses[0]), honor_labels=True),
        ]
        path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
        stack.prometheus.child.process.send_signal(signal.SIGHUP)
        yield Grafana(stack, time.time())
    finally:
        await runner.cleanup()


def _job(name: str, target: str, *, honor_labels: bool) -> Json:
    return {"job_name": name, "honor_labels": honor_labels, "static_configs": [{"targets": [target]}]}


def _pods(stack: Stack) -> web.Application:
    """The sandbox has Deployments and no pods: as many of them as a Deployment says are ready."""

    async def metrics(_: web.Request) -> web.Response:
        lines = []
        for deployment in stack.api.list("deployments", NAMESPACE):
            (container,) = deployment["spec"]["template"]["spec"]["containers"]
            for number in range((deployment.get("status") or {}).get("readyReplicas", 0)):
                pod = f'namespace="{NAMESPACE}",pod="{deployment["metadata"]["name"]}-5d9c7f6b8d-{number:05}"'
                lines += [
                    f'kube_pod_status_phase{{{pod},phase="Running"}} 1',
                    f'kube_pod_status_phase{{{pod},phase="Failed"}} 0',
                    f'kube_pod_status_ready{{{pod},condition="true"}} 1',
                    f'kube_pod_container_info{{{pod},container="{container["name"]}",image="{container["image"]}"}} 1',
                    f'kube_pod_container_status_restarts_total{{{pod},container="{container["name"]}"}} 0',
                ]
        return web.Response(text="\n".join(lines) + "\n", content_type="text/plain")

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    return application
