"""The CI gate of a commit, against GitHub's checks API as it answers and a Deployment as it stands."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from daemon.adapters.workloads import read_workload
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.checking import Subject
from tests import builders
from tests.checks import fails, hesitates, passes, run, serving, subject
from tests.cluster import Cluster
from tests.registry import Registry, running
from tests.scene import DEPLOYMENTS, Scene

COMMIT = "ce587453ced02b1526dfb4cb910479d431683101"
TOKEN = "ghs_0123456789abcdefghij"
LABEL = "example.com/commit"


class GitHub:
    """Check runs of one repository, by commit, in the shapes of docs.github.com."""

    def __init__(self) -> None:
        self.runs: dict[str, list[dict[str, Any]]] = {COMMIT: []}
        self.asked: list[web.Request] = []
        self.fault: dict[str, Any] | None = None
        self._ids = itertools.count(1)

    def add(self, name: str, conclusion: str | None = "success", commit: str = COMMIT) -> None:
        number = next(self._ids)
        self.runs.setdefault(commit, []).append({
            "id": number, "name": name, "head_sha": commit, "external_id": "", "node_id": f"CR_{number}",
            "html_url": f"https://github.com/acme/podinfo/runs/{number}",
            "status": "in_progress" if conclusion is None else "completed", "conclusion": conclusion,
            "started_at": "2026-05-01T12:00:00Z",
            "completed_at": None if conclusion is None else "2026-05-01T12:05:00Z",
            "output": {"title": None, "summary": "x" * 1000, "text": None, "annotations_count": 0},
            "check_suite": {"id": number}, "app": {"id": 15368, "slug": "github-actions"}, "pull_requests": [],
        })  # fmt: skip

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        assert request.headers["Accept"] == "application/vnd.github+json"
        assert request.query["filter"] == "latest"
        if self.fault is not None:
            return web.json_response(**self.fault)
        prefix, _, rest = request.path.partition("/commits/")
        commit = rest.removesuffix("/check-runs")
        if prefix != "/api/v3/repos/acme/podinfo" or not rest.endswith("/check-runs"):
            return web.json_response({"message": "Not Found", "status": "404"}, status=404)
        if commit not in self.runs:
            return web.json_response({"message": f"No commit found for SHA: {commit}", "status": "422"}, status=422)
        runs = [one for one in self.runs[commit] if request.query.get("check_name", one["name"]) == one["name"]]
        size, page = int(request.query["per_page"]), int(request.query["page"])
        return web.json_response({"total_count": len(runs), "check_runs": runs[size * (page - 1) : size * page]})


@pytest.fixture
async def github() -> GitHub:
    return GitHub()


@pytest.fixture
async def api(github: GitHub) -> AsyncIterator[str]:
    async with serving(github.answer) as url:
        yield f"{url}/api/v3/"


async def released(scene: Scene, *, commit: str | None = COMMIT, place: str = "labels") -> Subject:
    """A Deployment whose pod template names its commit."""
    document = builders.deployment(scene.namespace)
    if commit is not None:
        document["spec"]["template"]["metadata"].setdefault(place, {})[LABEL] = commit
    made = await scene.create(DEPLOYMENTS, document)
    return subject(
        ref=CanaryRef(scene.namespace, "podinfo"), workload="podinfo", template=read_workload(made).template
    )


def entry(api: str, **options: Any) -> dict[str, Any]:
    given = {"repo": "acme/podinfo", "check": "gate", "api_url": api, "commit": {"label": LABEL}}
    return {"kind": "workflow", **given, **options}


async def test_a_gate_that_passed(github: GitHub, api: str, cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN, "utf-8")
    of = await released(scene)
    github.add("gate")
    github.add("lint", "failure")
    said = await passes(entry(api, token_file=str(token)), of, kubeconfig=cluster.kubeconfig)
    assert said == "gate passed for acme/podinfo@ce587453ced0"
    (request,) = github.asked
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.query["check_name"] == "gate"


async def test_the_commit_may_stand_in_an_annotation(github: GitHub, api: str, cluster: Cluster, scene: Scene) -> None:
    of = await released(scene, place="annotations")
    github.add("gate")
    await passes(entry(api, commit={"annotation": LABEL}), of, kubeconfig=cluster.kubeconfig)


@pytest.mark.parametrize("conclusion", ["failure", "cancelled", "timed_out", "action_required", "stale", "skipped"])
async def test_a_gate_that_did_not_pass_fails_with_its_run(
    conclusion: str, github: GitHub, api: str, cluster: Cluster, scene: Scene
) -> None:
    of = await released(scene)
    github.add("gate")
    github.add("gate", conclusion)
    assert await fails(entry(api), of, kubeconfig=cluster.kubeconfig) == (
        f"expected check gate of acme/podinfo@ce587453ced0 to be success, got {conclusion} "
        "(https://github.com/acme/podinfo/runs/2)"
    )


async def test_what_counts_as_passed_is_configuration(
    github: GitHub, api: str, cluster: Cluster, scene: Scene
) -> None:
    of = await released(scene)
    github.add("gate", "skipped")
    await passes(entry(api, accept=["success", "skipped"]), of, kubeconfig=cluster.kubeconfig)


async def test_a_gate_that_runs_or_has_not_begun_is_waited_for(
    github: GitHub, api: str, cluster: Cluster, scene: Scene
) -> None:
    of = await released(scene)
    given = {"kubeconfig": cluster.kubeconfig}
    github.add("gate", commit="a" * 40)
    assert await hesitates(entry(api), of, **given) == (
        "expected check gate of acme/podinfo@ce587453ced0, which has not been started yet"
    )
    github.add("gate", None)
    assert await hesitates(entry(api), of, **given) == (
        "check gate of acme/podinfo@ce587453ced0 is in_progress (https://github.com/acme/podinfo/runs/2)"
    )
    assert "check e2e of" in await hesitates(entry(api, check=["gate", "e2e"]), of, **given)


async def test_every_page_is_looked_at(github: GitHub, api: str, cluster: Cluster, scene: Scene) -> None:
    of = await released(scene)
    for number in range(250):
        github.add(f"job {number}")
    github.add("e2e", "failure")
    github.add("gate")
    assert "expected check e2e" in await fails(entry(api, check=["gate", "e2e"]), of, kubeconfig=cluster.kubeconfig)
    assert len(github.asked) == 3


@pytest.mark.parametrize(
    ("commit", "told"),
    [("main", "'main'"), (COMMIT[:12], f"'{COMMIT[:12]}'"), (COMMIT.upper(), "'CE58"), (None, "got nothing")],
)
async def test_only_a_full_commit_is_one(
    commit: str | None, told: str, github: GitHub, api: str, cluster: Cluster, scene: Scene
) -> None:
    of = await released(scene, commit=commit)
    said = await fails(entry(api), of, kubeconfig=cluster.kubeconfig)
    assert said.startswith(f"expected a full commit of 40 hexadecimal digits in labels {LABEL} of the pod template")
    assert told in said
    assert github.asked == []


async def test_a_deployment_that_changed_meanwhile_is_no_finding(
    github: GitHub, api: str, cluster: Cluster, scene: Scene
) -> None:
    of = await released(scene)
    changed = builders.deployment(scene.namespace, version="v3")
    await scene.merge(DEPLOYMENTS, "podinfo", {"spec": {"template": changed["spec"]["template"]}})
    said = await hesitates(entry(api), of, kubeconfig=cluster.kubeconfig)
    assert said == "the Deployment podinfo has changed meanwhile"
    assert github.asked == []


@pytest.mark.parametrize("index", [False, True])
async def test_the_image_may_say_its_commit(github: GitHub, api: str, index: bool) -> None:
    github.add("gate")
    registry, name = Registry(), "org.opencontainers.image.revision"
    registry.push("podinfo", "v2", index=index, **{name: COMMIT})
    registry.push("podinfo", "v3", index=index)
    async with running(registry) as host, serving(registry.cdn) as elsewhere:
        one = entry(api, commit={"image_label": name, "image": "/podinfo:"}, insecure=[host])
        await passes(one, subject("sidecar.invalid/proxy:1", f"{host}/podinfo:v2"))
        registry.elsewhere = elsewhere
        await passes(one, subject(f"{host}/podinfo:v2"))
        # Another host is not told who we are.
        assert registry.seen_elsewhere == [""]
        said = await fails(one, subject(f"{host}/podinfo:v3"))
        assert said.endswith(f"in label {name} of {host}/podinfo:v3, got nothing")
        assert "has no podinfo v4" in await fails(one, subject(f"{host}/podinfo:v4"))


LIMITED = {"message": "API rate limit exceeded for installation ID 1.", "documentation_url": "https://docs.github.com"}


@pytest.mark.parametrize(
    ("status", "headers", "body", "error", "pause"),
    [
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "+90"}, LIMITED, errors.Throttled, 90),
        (429, {"Retry-After": "17"}, LIMITED, errors.Throttled, 17),
        (403, {}, {"message": "You have exceeded a secondary rate limit"}, errors.Throttled, 30),
        (403, {}, {"message": "Resource not accessible by integration"}, errors.Refused, None),
        (401, {}, {"message": "Bad credentials"}, errors.Refused, None),
        (404, {}, {"message": "Not Found"}, errors.Refused, None),
        (502, {}, {"message": "Server Error"}, errors.Unreachable, None),
        (200, {}, {"message": "moved"}, errors.Unreachable, None),
    ],
)
async def test_trouble_of_github_is_no_finding(
    status: int, headers: dict[str, str], body: Any, error: type[errors.NeighbourError], pause: float | None,
    github: GitHub, api: str, cluster: Cluster, scene: Scene,
) -> None:  # fmt: skip
    of = await released(scene)
    at = {key: str(int(time.time()) + 90) if value == "+90" else value for key, value in headers.items()}
    github.fault = {"data": body, "status": status, "headers": at}
    with pytest.raises(error) as caught:
        await run(entry(api), of, kubeconfig=cluster.kubeconfig)
    if pause is not None:
        assert isinstance(caught.value, errors.Throttled)
        assert caught.value.retry_after == pytest.approx(pause, abs=3)


async def test_a_commit_that_the_repository_does_not_have_fails(
    github: GitHub, api: str, cluster: Cluster, scene: Scene
) -> None:
    of = await released(scene, commit="b" * 40)
    said = await fails(entry(api), of, kubeconfig=cluster.kubeconfig)
    assert said == f"expected commit {'b' * 40} in acme/podinfo, but it has no such commit"
