"""A release whose weight a chart value owns, driven by the real Helm engine; its history as any client reads it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.builders import Json
from tests.component.undriven import NAME
from tests.running import eventually
from tests.scene import Scene

SECRETS = "/api/v1/namespaces/{}/secrets"
RELEASE = "summit"

_TEMPLATE = """\
{{{{- if .Values.routes }}}}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: {name}
spec:
  hosts: [api.summit.internal]
  http:
    - match: [{{headers: {{x-canary: {{exact: "true"}}}}}}]
      route: [{{destination: {{host: {name}, subset: canary}}, weight: 100}}]
    - timeout: {{{{ .Values.timeout }}}}
      route:
        - destination: {{host: {name}, subset: stable}}
          weight: {{{{ sub 100 (int .Values.canary.weight) }}}}
        - destination: {{host: {name}, subset: canary}}
          weight: {{{{ .Values.canary.weight }}}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}-settings
data:
  timeout: {{{{ .Values.timeout | quote }}}}
{{{{- end }}}}
"""


def chart(folder: Path) -> Path:
    """On disk, as Helm wants it. Without ``routes`` it has no objects at all."""
    made = folder / "chart"
    (made / "templates").mkdir(parents=True)
    (made / "Chart.yaml").write_text(f"apiVersion: v2\nname: {NAME}\nversion: 0.1.0\n")
    (made / "values.yaml").write_text("routes: true\ntimeout: 10s\ncanary:\n  weight: 0\n")
    (made / "templates" / "routes.yaml").write_text(_TEMPLATE.format(name=NAME))
    return made


def packed(body: Json) -> str:
    """``data.release`` of a Secret."""
    return base64.b64encode(base64.b64encode(gzip.compress(json.dumps(body).encode()))).decode()


def unpacked(secret: Json) -> Json:
    """The release in a Secret, read without a line of the daemon's."""
    found: Json = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
    return found


def stored(namespace: str, number: int, status: str, weight: Any) -> Json:
    """A revision as Helm leaves it, for where no engine is needed."""
    body = {
        "name": RELEASE,
        "namespace": namespace,
        "version": number,
        "info": {"status": status, "first_deployed": "2026-11-23T07:00:00Z", "description": "Upgrade complete"},
        "chart": {"metadata": {"name": NAME, "version": "0.1.0"}, "values": {"canary": {"weight": 0}}},
        "config": {"canary": {"weight": weight}},
        "manifest": "",
    }
    labels = {"name": RELEASE, "owner": "helm", "status": status, "version": str(number)}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": namespace, "name": f"sh.helm.release.v1.{RELEASE}.v{number}", "labels": labels},
        "type": "helm.sh/release.v1",
        "data": {"release": packed(body)},
    }


async def revisions(scene: Scene) -> list[Json]:
    """The Secrets of the release, oldest revision first."""
    path = SECRETS.format(scene.namespace)
    async with scene.http.get(path, params={"labelSelector": f"owner=helm,name={RELEASE}"}) as response:
        assert response.status == 200, await response.text()
        items: list[Json] = (await response.json())["items"]
    return sorted(items, key=lambda one: int(one["metadata"]["labels"]["version"]))


async def states(scene: Scene) -> list[tuple[str, str, Any]]:
    """Of each revision: its status by its label, by its JSON, and its weight."""
    found = []
    for secret in await revisions(scene):
        body = unpacked(secret)
        weight = body["config"]["canary"]["weight"]
        found.append((secret["metadata"]["labels"]["status"], body["info"]["status"], weight))
    return found


async def follow_up(scene: Scene, state: str, said: str = "") -> Json:
    """The only one of the only record, once it is in that state and says that."""

    async def found() -> Json | None:
        records = await scene.records()
        entries = records[0].get("status", {}).get("followUps", []) if records else []
        there = entries and entries[0]["state"] == state and said in entries[0]["detail"]
        return entries[0] if there else None

    entry: Json = await eventually(found)
    return entry


@dataclass(frozen=True, slots=True)
class Helm:
    """What a person at a terminal does. Each command in a thread: the engine waits for the cluster."""

    kubeconfig: Path
    chart: Path
    scene: Scene

    async def install(self, values: Json | None = None) -> None:
        """The first revision as Helm 3 has left it in most clusters: it says nothing of server-side apply, which a
        release keeps to from then on. Objects come with the first upgrade, the way that Helm 3 writes them."""
        await self._run(lambda helm: helm.install(self.chart, RELEASE, {**(values or {}), "routes": False}))
        (secret,) = await revisions(self.scene)
        body = unpacked(secret)
        del body["apply_method"]
        await self.scene.merge(SECRETS, secret["metadata"]["name"], {"data": {"release": packed(body)}}, manager="Helm")

    async def upgrade(self, values: Json | None = None) -> Json:
        """``helm upgrade --reuse-values --set …``"""
        done: Json = await self._run(
            lambda helm: helm.upgrade(self.chart, RELEASE, values or {}, reuse_values=True, timeout=20)
        )
        return done

    async def rollback(self, revision: int) -> None:
        """``helm rollback``, which is also what ``--atomic`` does when an upgrade fails."""
        await self._run(lambda helm: helm.rollback(RELEASE, version=revision, timeout=20))

    async def values(self) -> Json:
        """``helm get values``"""
        found: Json = await self._run(lambda helm: helm.get_values(RELEASE))
        return found

    async def manifest(self) -> str:
        """``helm get manifest``"""
        return str((await self._run(lambda helm: helm.status(RELEASE)))["manifest"])

    async def history(self) -> list[tuple[int, str]]:
        """``helm history``: revision and status."""
        found = await self._run(lambda helm: helm.history(RELEASE))
        return [(one["revision"], one["status"]) for one in found]

    async def description(self) -> str:
        """What ``helm history`` says of the newest revision."""
        return str((await self._run(lambda helm: helm.get_all(RELEASE)))["info"]["description"])

    async def _run(self, command: Callable[[Any], Any]) -> Any:
        # Here, so that collecting the tests of other rings loads no engine of 85 MB.
        import helm_python  # noqa: PLC0415

        def run() -> Any:
            with helm_python.Config(kubeconfig_path=self.kubeconfig, namespace=self.scene.namespace) as helm:
                return command(helm)

        return await asyncio.to_thread(run)
