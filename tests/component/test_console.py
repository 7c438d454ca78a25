"""The console page, as a browser gets it: what it tells, to whom; and what a payload brings is only text."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser
from pathlib import Path

import aiohttp
import pytest

from tests import builders
from tests.cluster import Cluster
from tests.running import Daemon, eventually, running
from tests.scene import Scene

EVIL = "<script>alert(1)</script><b onload=x>&amp;\u202e\"'"


class Page(HTMLParser):
    """The elements of a page, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.links: list[str] = []
        self.style = ""
        self.refresh = ""
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        given = dict(attrs)
        assert not [name for name in given if name.startswith("on")], f"a handler in <{tag}>: {given}"
        if tag == "a":
            self.links.append(given["href"] or "")
        if given.get("http-equiv") == "refresh":
            self.refresh = given["content"] or ""

    def handle_data(self, data: str) -> None:
        if self.elements[-1:] == ["style"] and not self.style:
            self.style = data
        else:
            self.words = " ".join((self.words + " " + data).split())


async def page(daemon: Daemon, path: str = "/") -> Page:
    async with daemon.http.get(path) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/html"
        return Page(await response.text())


async def test_a_quiet_cluster_is_a_quiet_page(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with running(cluster, tmp_path) as daemon:
        seen = await page(daemon, f"/?namespace={scene.namespace}")
    assert "Rollbacks that stand none" in seen.words
    assert "Canaries on their way or held none" in seen.words
    assert seen.refresh == "5"


async def test_a_release_on_its_way_is_told_with_what_each_gate_would_say(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    await scene.add_canary("at-rest", weight=0, phase="Initialized")
    async with running(cluster, tmp_path) as daemon:
        seen = await page(daemon, f"/?namespace={scene.namespace}")
    assert f"10% {scene.namespace}/podinfo revision 7b8cb8dc5d, Progressing, Flagger" in seen.words
    assert "confirm-traffic-increase yes, open" in seen.words
    assert f"pullback status podinfo -n {scene.namespace}" in seen.words
    assert "at-rest" not in seen.words
    assert f"/?namespace={scene.namespace}&canary=podinfo" in seen.links


async def test_a_rollback_stands_on_top_with_why_its_clocks_and_its_proof(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path) as daemon:
        await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        await scene.record("Proved")

        async def proved() -> Page | None:
            seen = await page(daemon)
            return seen if "Proved " + f"{scene.namespace}/podinfo" in seen.words else None

        seen = await eventually(proved)
        alone = await page(daemon, f"/?namespace={scene.namespace}&canary=podinfo")
    for one in (seen, alone):
        for told in ("alert-fires", "0% after 0.", "proved after 0.", "before 10% on VirtualService", "read back at 0",
                     f"kubectl describe rollback podinfo-7b8cb8dc5d -n {scene.namespace}"):  # fmt: skip
            assert told in one.words, f"{told!r} is not in {one.words}"
    assert "confirm-traffic-increase no, rollback-in-force" in alone.words
    assert "Revision 7b8cb8dc5d" in alone.words
    assert "alert" in alone.words.partition("Revision 7b8cb8dc5d")[2]


async def test_what_is_over_stands_below_with_its_clocks_and_no_longer_on_top(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path) as daemon:
        await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        await scene.record("Proved")
        await scene.set_status(phase="Failed", weight=0)
        await scene.record("Completed")

        async def over() -> bool:
            seen = await page(daemon, f"/?namespace={scene.namespace}")
            top, _, below = seen.words.partition("Rollbacks that are over")
            return "Rollbacks that stand none" in top and f"{scene.namespace}/podinfo 7b8cb8dc5d Completed" in below

        assert await eventually(over)


async def test_whatever_a_payload_brings_is_text(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary(weight=10)
    alert = builders.alert(scene.namespace, alertname=EVIL)
    alert["annotations"] = {"summary": EVIL, "value": EVIL}
    async with running(cluster, tmp_path) as daemon:
        await daemon.alert(builders.webhook(alert))
        await scene.record("Proved")
        pages = [await page(daemon), await page(daemon, f"/?namespace={scene.namespace}&canary=podinfo")]
    assert any("<script>alert(1)</script>" in seen.words for seen in pages)
    for seen in pages:
        assert "script" not in seen.elements


async def test_a_browser_may_load_nothing_else_and_run_nothing(cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path) as daemon, daemon.http.get("/") as response:
        policy = response.headers["Content-Security-Policy"]
        style = Page(await response.text()).style
        assert response.headers["Cache-Control"] == "no-store"
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'", f"style-src 'sha256-{digest}'", "base-uri 'none'", "form-action 'none'",
        "frame-ancestors 'none'",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("?canary=podinfo", 400, "namespace: expected beside canary"),
        ("?name=podinfo", 400, "name: no such parameter; expected some of namespace, canary"),
        ("?namespace=shop&canary=nobody", 404, "no canary nobody in namespace shop"),
    ],
)
async def test_what_cannot_be_shown_is_said(
    cluster: Cluster, tmp_path: Path, query: str, status: int, said: str
) -> None:
    async with running(cluster, tmp_path) as daemon:
        assert await daemon.get(f"/{query}") == (status, f'{{"error": "{said}"}}')


async def test_it_is_for_those_whom_the_configuration_names(cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path) as daemon:
        url = str(daemon.http._base_url)
        async with aiohttp.ClientSession() as stranger, stranger.get(url) as response:
            assert response.status == 401
            # Of several in one line a browser would see the first alone.
            challenges = response.headers.getall("WWW-Authenticate")
            assert challenges == ['Basic realm="pullback"', 'Bearer realm="pullback"']
            assert "text/html" not in response.headers["Content-Type"]
