"""The CI gate of the release's commit has passed: GitHub's checks of that very commit, not of a branch.

API: docs.github.com, "List check runs for a Git reference".
"""

import datetime
import re
from typing import Annotated, Any, Literal, Self

import aiohttp
import pydantic
import yarl

from daemon import ports
from daemon.adapters import answers
from daemon.adapters.checks.asking import Answer, ask
from daemon.adapters.checks.findings import failed, passed, undecided, within
from daemon.adapters.checks.image import chosen
from daemon.adapters.checks.options import GRACE, Regex, Seconds, Texts, exactly_one
from daemon.adapters.checks.references import parse
from daemon.adapters.checks.registry import NotThere, Registry
from daemon.adapters.checks.registry_access import NotAllowed, RegistryOptions
from daemon.adapters.checks.surroundings import Surroundings
from daemon.adapters.kubernetes.resources import DEPLOYMENTS
from daemon.adapters.options import HttpUrl, KindOptions
from daemon.adapters.secrets import Secret, SecretFile
from daemon.adapters.workloads import read_workload
from daemon.model import errors
from daemon.model.checking import Finding, Subject

KIND = "workflow"

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PAGE, _PAGES = 100, 10
_PAGE_MOST = 8 * 1024 * 1024
"""Bytes of a page: each run carries its own output."""
_VERSION = "2022-11-28"

Conclusion = Literal["success", "neutral", "skipped"]


class Commit(KindOptions):
    """Where the release says which commit it was built from; exactly one of the three."""

    label: str | None = None
    """Of the target Deployment's pod template."""
    annotation: str | None = None
    """Of the target Deployment's pod template."""
    image_label: str | None = None
    """Of the image's configuration: ``org.opencontainers.image.revision``."""
    image: Regex | None = None
    """Which image, where there are several: the first in whose name this is found."""

    @pydantic.model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one({"label": self.label, "annotation": self.annotation, "image_label": self.image_label})
        return self


class Options(RegistryOptions):
    """``kind: workflow``."""

    repo: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}$")]
    """``owner/name``."""
    check: Annotated[Texts, pydantic.Field(min_length=1, max_length=50)]
    """Names of check runs that must all have passed."""
    commit: Commit
    accept: Annotated[tuple[Conclusion, ...], pydantic.Field(min_length=1)] = ("success",)
    """What counts as passed."""
    api_url: HttpUrl = "https://api.github.com"
    """``https://HOST/api/v3`` for GitHub Enterprise Server."""
    token_file: SecretFile | None = None
    """May read the checks of the repository; read again when changed."""
    timeout: Seconds = 20.0


def build(name: str, options: Options, surroundings: Surroundings) -> "WorkflowCheck":  # noqa: ARG001
    return WorkflowCheck(options, surroundings)


class _Undecided(Exception):  # noqa: N818
    pass


class _Failed(Exception):  # noqa: N818
    pass


class WorkflowCheck:
    """Keeps ``ports.Check``."""

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self._options = options
        self._client = surroundings.client
        self._registry = Registry(surroundings.session, surroundings.clock, options)
        self._github = GitHub(surroundings.session, surroundings.clock, options)
        self.timeout = options.timeout + GRACE
        self.once = options.once

    async def run(self, subject: Subject) -> Finding:
        try:
            async with within(self._options.timeout, "GitHub"):
                commit = await self._commit(subject)
                runs = await self._github.check_runs(commit)
        except _Undecided as error:
            return undecided(str(error))
        except _Failed as error:
            return failed(str(error))
        return _judged(runs, self._options.check, self._options.accept, f"{self._options.repo}@{commit[:12]}")

    async def _commit(self, subject: Subject) -> str:
        where = self._options.commit
        if where.image_label is not None:
            said, place = await self._of_image(subject, where.image_label)
        else:
            said, place = await self._of_template(subject)
        if not _COMMIT.fullmatch(said):
            got = repr(said[:60]) if said else "nothing"
            raise _Failed(f"expected a full commit of 40 hexadecimal digits in {place}, got {got}")
        return said

    async def _of_template(self, subject: Subject) -> tuple[str, str]:
        where, name = self._options.commit, subject.canary.workload
        document = await self._client.get(DEPLOYMENTS, subject.canary.workload_namespace, name)
        if read_workload(document).template != subject.template:
            raise _Undecided(f"the Deployment {name} has changed meanwhile")
        metadata = ((document.get("spec") or {}).get("template") or {}).get("metadata") or {}
        part, key = ("labels", where.label) if where.label else ("annotations", where.annotation)
        return str((metadata.get(part) or {}).get(key) or ""), f"{part} {key} of the pod template"

    async def _of_image(self, subject: Subject, label: str) -> tuple[str, str]:
        images = chosen(subject.images, self._options.commit.image)
        if not images:
            raise _Failed("expected an image that names its commit, got none")
        try:
            labels = await self._registry.labels(parse(images[0]))
        except (ValueError, NotThere, NotAllowed) as error:
            raise _Failed(f"{images[0]}: {error}") from error
        return labels.get(label, ""), f"label {label} of {images[0]}"


class GitHub:
    """The checks of one repository."""

    def __init__(self, session: aiohttp.ClientSession, clock: ports.Clock, options: Options) -> None:
        self._session = session
        self._clock = clock
        self._options = options
        self._token = None if options.token_file is None else Secret(options.token_file)
        self._what = f"GitHub checks of {options.repo}"

    async def check_runs(self, commit: str) -> list[dict[str, Any]]:
        """The latest runs of a commit. Raises the family of NeighbourError."""
        runs: list[dict[str, Any]] = []
        for page in range(1, _PAGES + 1):
            document = await self._page(commit, page)
            found = document.get("check_runs")
            if not isinstance(found, list):
                raise errors.Unreachable(f"{self._what}: expected check_runs, got {str(document)[:200]}")
            runs += [run for run in found if isinstance(run, dict) and run.get("head_sha") == commit]
            if len(found) < _PAGE:
                return runs
        raise errors.Refused(f"{self._what}: more than {_PAGE * _PAGES} runs of one commit")

    async def _page(self, commit: str, page: int) -> dict[str, Any]:
        query = {"filter": "latest", "per_page": str(_PAGE), "page": str(page)}
        if len(self._options.check) == 1:
            query["check_name"] = self._options.check[0]
        base = yarl.URL(self._options.api_url.rstrip("/") + f"/repos/{self._options.repo}/commits/{commit}/check-runs")
        token = "" if self._token is None else self._token.read()
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": _VERSION, "User-Agent": "pullback"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        answer = await ask(
            self._session, "GET", base.with_query(query), what=self._what, headers=headers, most=_PAGE_MOST,
            hidden=[token],
        )  # fmt: skip
        if answer.status != 200:
            raise self._problem(commit, answer, token)
        document = answer.json(self._what)
        return document if isinstance(document, dict) else {}

    def _problem(self, commit: str, answer: Answer, token: str) -> Exception:
        told = f"{self._what}: HTTP {answer.status}: {answer.shown([token])}"
        if answer.status == 422:
            return _Failed(f"expected commit {commit} in {self._options.repo}, but it has no such commit")
        if answer.status in {403, 429} and _is_rate_limit(answer):
            return errors.Throttled(told, _pause(answer, self._clock.now()))
        if answer.status == 404:
            return errors.Refused(f"{told}: no such repository, or not for this token")
        return answers.refusal(told, answer.status, answer.headers, self._clock)


def _is_rate_limit(answer: Answer) -> bool:
    """docs.github.com, "Rate limits for the REST API": also the secondary limits, which answer 403 as well."""
    headers = answer.headers
    return (
        answer.status == 429
        or headers.get("X-RateLimit-Remaining") == "0"
        or "Retry-After" in headers
        or b"rate limit" in answer.body[:2_000].lower()
    )


def _pause(answer: Answer, now: datetime.datetime) -> float:
    reset = answer.headers.get("X-RateLimit-Reset", "")
    if "Retry-After" not in answer.headers and reset.isascii() and reset.isdigit():
        return min(max(float(reset[:12]) - now.timestamp(), 1.0), 3600.0)
    return answers.retry_after(answer.headers, now)


def _judged(runs: list[dict[str, Any]], names: tuple[str, ...], accept: tuple[str, ...], where: str) -> Finding:
    """Every run of these names must have passed: several workflows may call their job the same."""
    wanted = [run for run in runs if run.get("name") in names]
    bad = [run for run in wanted if run.get("status") == "completed" and run.get("conclusion") not in accept]
    if bad:
        first = bad[0]
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        got = f"{first.get('conclusion')} ({first.get('html_url')}){more}"
        return failed(f"expected check {first.get('name')} of {where} to be {' or '.join(accept)}, got {got}")
    missing = [name for name in names if all(run.get("name") != name for run in wanted)]
    if missing:
        return undecided(f"expected check {', '.join(missing)} of {where}, which has not been started yet")
    pending = [run for run in wanted if run.get("status") != "completed"]
    if pending:
        first = pending[0]
        return undecided(f"check {first.get('name')} of {where} is {first.get('status')} ({first.get('html_url')})")
    return passed(f"{', '.join(names)} passed for {where}")
