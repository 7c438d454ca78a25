"""A Kubernetes Job decides: a smoke suite, a migration's dry run, a load run, a verification.

Its template stands in a ConfigMap beside the canary. There is one Job for what is released, found again by its name
whoever began it: a second replica, or the next call, attaches to it. What it said stays true for that release; it is
run again by deleting it.
"""

import asyncio
import datetime
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from daemon.adapters import times
from daemon.adapters.checks import job_logs
from daemon.adapters.checks.filling import values
from daemon.adapters.checks.findings import failed, passed
from daemon.adapters.checks.job_template import OWNER, manifest, name_of
from daemon.adapters.checks.options import GRACE, CheckOptions, Seconds
from daemon.adapters.checks.surroundings import Surroundings
from daemon.adapters.evidence.redacting import Redactor
from daemon.adapters.kubernetes.resources import CONFIG_MAPS, JOBS
from daemon.model import errors
from daemon.model.checking import Finding, Subject

KIND = "job"

_SHORTEST, _LONGEST, _GROWTH = 0.25, 10.0, 1.5
"""Seconds between two looks at the Job, and by how much they grow."""


class Options(CheckOptions):
    """``kind: job``."""

    config_map: Annotated[str, pydantic.Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
    """In the canary's namespace."""
    key: Annotated[str, pydantic.Field(pattern=r"^[-._a-zA-Z0-9]{1,253}$")] = "job.yaml"
    """The Job, in YAML; fields are filled in within its strings, and only fields: other ``$`` stay as they are."""
    per_weight: bool = False
    """A Job for every weight of every analysis, not one for the whole release."""
    timeout: Seconds = 600.0
    """Since the Job was created; also its ``activeDeadlineSeconds``, unless the template has a shorter one."""
    keep: Seconds = 86_400.0
    """How long a finished Job stays (``ttlSecondsAfterFinished``), unless the template says so itself; a minute at
    least."""


def build(name: str, options: Options, surroundings: Surroundings) -> "JobCheck":
    return JobCheck(name, options, surroundings)


class JobCheck:
    """Keeps ``ports.Check``."""

    def __init__(self, name: str, options: Options, surroundings: Surroundings) -> None:
        self._name = name
        self._options = options
        self._client = surroundings.client
        self._clock = surroundings.clock
        self._redactor = Redactor(surroundings.redact)
        self.timeout = options.timeout + 2 * GRACE
        self.once = options.once

    async def run(self, subject: Subject) -> Finding:
        name = name_of(self._name, subject, per_weight=self._options.per_weight)
        job = await self._found_or_created(name, subject)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._options.timeout - self._age(job)
        pause = _SHORTEST
        while (ended := _ended(job)) is None and loop.time() < until:
            await asyncio.sleep(min(pause, max(0.0, until - loop.time())))
            pause = min(pause * _GROWTH, _LONGEST)
            job = await self._client.get(JOBS, subject.canary.ref.namespace, name)
        return await self._finding(job, ended)

    async def _found_or_created(self, name: str, subject: Subject) -> Mapping[str, Any]:
        namespace = subject.canary.ref.namespace
        try:
            return _ours(await self._client.get(JOBS, namespace, name), subject)
        except errors.Missing:
            template = await self._template(namespace)
        try:
            known = values(subject)
            body = await asyncio.to_thread(manifest, template, name, self._name, subject, self._options, known)
        except ValueError as error:
            raise errors.Refused(f"{self._where(namespace)}: {error}") from error
        try:
            return await self._client.create(JOBS, namespace, body)
        except errors.AlreadyThere:
            # Another replica was faster by a moment.
            return _ours(await self._client.get(JOBS, namespace, name), subject)

    async def _template(self, namespace: str) -> str:
        found = await self._client.get(CONFIG_MAPS, namespace, self._options.config_map)
        data = found.get("data") or {}
        if self._options.key not in data:
            known = ", ".join(sorted(data))[:200] or "none"
            raise errors.Refused(f"{self._where(namespace)}: there is no such key; there are: {known}")
        return str(data[self._options.key])

    def _where(self, namespace: str) -> str:
        return f"ConfigMap {namespace}/{self._options.config_map}, key {self._options.key}"

    def _age(self, job: Mapping[str, Any]) -> float:
        created = times.read(job["metadata"].get("creationTimestamp"))
        if created is None:
            return 0.0
        # The API server's clock is another than ours, and cut to whole seconds.
        return max(0.0, (self._clock.now() - created) / datetime.timedelta(seconds=1) - 1.0)

    async def _finding(self, job: Mapping[str, Any], ended: tuple[bool, str] | None) -> Finding:
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        said = await job_logs.tail(self._client, namespace, name, self._redactor)
        again = f"run again: kubectl delete job {name} -n {namespace}"
        if ended is None:
            late = f"expected Job {name} to complete within {self._options.timeout:g} s, and it still runs"
            return failed(_with(late, again, said))
        succeeded, why = ended
        if succeeded:
            return passed(_with(f"Job {name} completed", "", said))
        return failed(_with(f"expected Job {name} to complete, got {why}", again, said))


def _ours(job: Mapping[str, Any], subject: Subject) -> Mapping[str, Any]:
    """Raises Refused for a Job that anybody could have put in the place of ours."""
    annotations = job["metadata"].get("annotations") or {}
    if annotations.get(OWNER) != f"{subject.canary.ref.name}/{subject.template}":
        raise errors.Refused(f"Job {job['metadata']['name']} is there and is not of this release")
    return job


def _ended(job: Mapping[str, Any]) -> tuple[bool, str] | None:
    """Whether it succeeded, and in which words it did not; None while it runs."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") in {"Complete", "Failed"}:
            why = ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))
            return condition["type"] == "Complete", why or "Failed"
    return None


def _with(head: str, again: str, said: str) -> str:
    """What matters first; the log has what is left of the line."""
    return "; ".join(part for part in (head[:150], again, said and f"log: {said}") if part)
