"""The lease over real HTTP: by the embedded API server, or a real one where there is one."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from daemon.adapters.clock import SystemChance, SystemClock
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.lease import KubernetesLease
from daemon.model import errors
from daemon.model.lease import LeaseSeen, Terms
from daemon.sandbox.kubernetes_api import KubernetesApi
from daemon.workflow.leading import Elector, Leadership
from tests.builders import Json
from tests.cluster import ROOT, TEST_NAMESPACE, Cluster
from tests.running import eventually

NAME = "leader"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
TERMS = Terms(duration=2.0, renew_deadline=1.0, retry=0.2)
EPOCH = datetime.datetime(2024, 5, 1, 12, 30, 0, 123456, tzinfo=datetime.UTC)
NEW = LeaseSeen("a", 15, 0, EPOCH, EPOCH, "")


@dataclass
class Member:
    """An elector in this process, with a connection of its own."""

    identity: str
    work_ends_after: float = 0.0
    news: list[tuple[str, str]] = field(default_factory=list)
    began: list[float] = field(default_factory=list)
    cancelled: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    elector: Elector = field(init=False)
    task: asyncio.Task[None] = field(init=False)

    async def lead(self, leadership: Leadership) -> None:
        leadership.check()
        self.began.append(time.monotonic())
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.append(time.monotonic())
            await asyncio.sleep(self.work_ends_after)
            self.ended.append(time.monotonic())

    def report(self, what: str, detail: str) -> None:
        self.news.append((str(what), detail))

    async def leads(self) -> bool:
        return self.elector.leading and len(self.began) > len(self.ended)

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@contextlib.asynccontextmanager
async def member(
    kubeconfig: Path, namespace: str, identity: str, *, work_ends_after: float = 0.0
) -> AsyncIterator[Member]:
    made = Member(identity, work_ends_after)
    async with await connect(kubeconfig, agent=identity) as client:
        made.elector = Elector(
            store=KubernetesLease(client, namespace=namespace, name=NAME),
            identity=identity,
            terms=TERMS,
            work=made.lead,
            report=made.report,
            clock=SystemClock(),
            chance=SystemChance(),
        )
        made.task = asyncio.create_task(made.elector.run())
        try:
            yield made
        finally:
            await made.stop()


async def connect(kubeconfig: Path, *, agent: str = "") -> KubernetesClient:
    client = await KubernetesClient.connect(kubeconfig=kubeconfig, context=None, timeout=10)
    if agent:
        client._api.user_agent = f"member/{agent}"  # so that faults can tell them apart
    return client


@pytest.fixture
async def lease(cluster: Cluster, namespace: str) -> AsyncIterator[KubernetesLease]:
    async with await connect(cluster.kubeconfig) as client:
        yield KubernetesLease(client, namespace=namespace, name=NAME)


async def written(http: aiohttp.ClientSession, namespace: str) -> Json:
    async with http.get(f"{LEASES.format(namespace)}/{NAME}") as response:
        assert response.status == 200, await response.text()
        document: Json = await response.json()
        return document


async def test_a_lease_that_is_not_there_is_missing(lease: KubernetesLease) -> None:
    with pytest.raises(errors.Missing):
        await lease.read()


async def test_what_is_created_is_read_back_to_the_microsecond(
    lease: KubernetesLease, http: aiohttp.ClientSession, namespace: str
) -> None:
    created = await lease.create(NEW)

    assert created == await lease.read()
    assert (created.holder, created.duration_seconds, created.acquired_at) == ("a", 15, EPOCH)
    spec = (await written(http, namespace))["spec"]
    assert spec["renewTime"] == "2024-05-01T12:30:00.123456Z"
    assert (spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (15, 0)


async def test_a_second_create_is_already_there(lease: KubernetesLease) -> None:
    await lease.create(NEW)
    with pytest.raises(errors.AlreadyThere):
        await lease.create(NEW)


async def test_a_put_with_a_stale_resource_version_is_a_conflict(lease: KubernetesLease) -> None:
    first = await lease.create(NEW)
    renewed = LeaseSeen("a", 15, 0, EPOCH, EPOCH + datetime.timedelta(seconds=2), first.resource_version)
    second = await lease.replace(renewed)

    assert second.resource_version != first.resource_version
    with pytest.raises(errors.Conflict):
        await lease.replace(LeaseSeen("b", 15, 1, EPOCH, EPOCH, first.resource_version))
    assert (await lease.read()).holder == "a"


async def test_a_put_never_brings_back_a_lease_that_was_deleted(
    lease: KubernetesLease, http: aiohttp.ClientSession, namespace: str
) -> None:
    first = await lease.create(NEW)
    async with http.delete(f"{LEASES.format(namespace)}/{NAME}") as response:
        assert response.status == 200

    with pytest.raises((errors.Conflict, errors.Missing)):
        await lease.replace(first)
    with pytest.raises(errors.Missing):
        await lease.read()


async def test_what_others_wrote_into_the_metadata_stays(
    lease: KubernetesLease, http: aiohttp.ClientSession, namespace: str
) -> None:
    await lease.create(NEW)
    label = {"metadata": {"labels": {"team": "payments"}, "annotations": {"note": "ours"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    async with http.patch(f"{LEASES.format(namespace)}/{NAME}", json=label, headers=headers) as response:
        assert response.status == 200
    await lease.replace(await lease.read())

    metadata = (await written(http, namespace))["metadata"]
    assert metadata["labels"] == {"app.kubernetes.io/managed-by": "pullback", "team": "payments"}
    assert metadata["annotations"] == {"note": "ours"}


async def test_a_lease_that_says_nothing_is_held_by_nobody(
    lease: KubernetesLease, http: aiohttp.ClientSession, namespace: str
) -> None:
    bare = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME}}
    async with http.post(LEASES.format(namespace), json=bare) as response:
        assert response.status == 201
    seen = await lease.read()

    assert (seen.holder, seen.duration_seconds, seen.transitions, seen.renewed_at) == ("", 0, 0, None)


async def test_it_is_acquired_renewed_and_released(
    cluster: Cluster, lease: KubernetesLease, http: aiohttp.ClientSession, namespace: str
) -> None:
    async with member(cluster.kubeconfig, namespace, "a") as a:
        await eventually(a.leads)
        first = await lease.read()
        assert (first.holder, first.transitions, first.duration_seconds) == ("a", 0, 2)
        await asyncio.sleep(TERMS.duration + 0.3)
        later = await lease.read()
        assert a.elector.leading
        assert later.acquired_at == first.acquired_at
        assert later.renewed_at is not None
        assert first.renewed_at is not None
        assert later.renewed_at > first.renewed_at
        assert later.resource_version != first.resource_version

    assert (len(a.began), len(a.ended)) == (1, 1)
    assert [what for what, _ in a.news] == ["acquired", "released"]
    spec = (await written(http, namespace))["spec"]
    assert (spec.get("holderIdentity", ""), spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("", 1, 0)


async def test_a_released_lease_is_taken_at_once_and_counted(
    cluster: Cluster, lease: KubernetesLease, namespace: str
) -> None:
    async with member(cluster.kubeconfig, namespace, "a") as a:
        await eventually(a.leads)
        async with member(cluster.kubeconfig, namespace, "b") as b:
            await eventually(lambda: _sees(b, "a"))
            await a.stop()
            stopped = time.monotonic()
            await eventually(b.leads)

            assert time.monotonic() - stopped < TERMS.duration
            assert a.ended[0] <= b.began[0]
            assert (await lease.read()).transitions == 1
            assert ("takeover", "b") not in b.news


async def _sees(one: Member, holder: str) -> bool:
    return one.elector.holder == holder


async def test_who_stops_renewing_is_taken_over_from_after_what_it_promised(
    cluster: Cluster, lease: KubernetesLease, namespace: str
) -> None:
    await lease.create(LeaseSeen("gone", 1, 4, EPOCH, EPOCH, ""))
    began = time.monotonic()
    async with member(cluster.kubeconfig, namespace, "a") as a:
        await eventually(a.leads)

        assert a.began[0] - began >= 1.0
        seen = await lease.read()
        assert (seen.holder, seen.transitions) == ("a", 5)


@pytest.fixture
def emulated(emulator: KubernetesApi, tmp_path: Path) -> Iterator[Path]:
    yield emulator.kubeconfig(tmp_path / "emulated")
    emulator.faults.clear()


@pytest.mark.parametrize("fault", ["fail", "hang", "reset", "lose"])
async def test_when_the_api_fails_the_work_is_cancelled_and_awaited_before_another_begins(
    emulator: KubernetesApi, emulated: Path, fault: str
) -> None:
    async with (
        member(emulated, TEST_NAMESPACE, "a", work_ends_after=0.5) as a,
        member(emulated, TEST_NAMESPACE, "b") as b,
    ):
        await eventually(lambda: _one_of(a, b))
        led, waited = (a, b) if a.elector.leading else (b, a)
        led.work_ends_after = 0.5
        await asyncio.sleep(0.5)
        where: Json = {"resource": "leases", "user_agent": f"member/{led.identity}", "times": None}
        if fault == "fail":
            emulator.faults.fail(500, **where)
        elif fault == "lose":
            # Renewals go on taking effect though nobody says so: others wait for as long as they do.
            emulator.faults.lose_response(**where, verb="update")
            emulator.faults.hang(**where)
        else:
            getattr(emulator.faults, fault)(**where)
        broken = time.monotonic()
        await eventually(waited.leads)

        assert led.cancelled[0] - broken < TERMS.duration
        assert led.ended[0] - led.cancelled[0] >= 0.5
        assert led.ended[0] < waited.began[0]
        assert not led.task.done()
        assert ("lost", "not renewed within 1 s") in led.news
        emulator.faults.clear()
        await eventually(lambda: _sees(led, waited.identity))
        assert len(led.began) == 1


async def _one_of(*members: Member) -> bool:
    return any([await one.leads() for one in members])


async def test_a_missing_permission_is_said_once_and_found_when_it_comes(
    emulator: KubernetesApi, emulated: Path
) -> None:
    emulator.faults.fail(403, resource="leases", times=None)
    async with member(emulated, TEST_NAMESPACE, "a") as a:
        await asyncio.sleep(1.0)
        assert [what for what, _ in a.news] == ["failing"]
        assert "403" in a.news[0][1]
        emulator.faults.clear()
        await eventually(a.leads)


class Holder:
    """A process of its own that writes down when it leads."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, kubeconfig: Path, namespace: str, identity: str, file: Path) -> Holder:
        arguments = [str(kubeconfig), namespace, NAME, identity, str(file)]
        arguments += [str(TERMS.duration), str(TERMS.renew_deadline), str(TERMS.retry)]
        command = [sys.executable, "-m", "tests.lease_holder", *arguments]
        return cls(await asyncio.create_subprocess_exec(*command, cwd=ROOT))

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    async def stop(self) -> None:
        if not self.ended:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
        await asyncio.wait_for(self._process.wait(), 10)


def moments(file: Path, identity: str) -> list[float]:
    if not file.exists():
        return []
    lines = (line.split() for line in file.read_text("utf-8").splitlines())
    return [float(moment) for who, moment in lines if who == identity]


async def test_a_process_that_was_stopped_does_not_lead_on_when_it_goes_on(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    file = tmp_path / "led"

    async def led(identity: str, more_than: int = 0) -> bool:
        return len(moments(file, identity)) > more_than

    async with contextlib.AsyncExitStack() as stack:
        first = await Holder.start(cluster.kubeconfig, namespace, "first", file)
        stack.push_async_callback(first.stop)
        await eventually(lambda: led("first", 10), within=20)
        second = await Holder.start(cluster.kubeconfig, namespace, "second", file)
        stack.push_async_callback(second.stop)
        await asyncio.sleep(TERMS.duration)  # it has seen who holds the lease
        first.send(signal.SIGSTOP)
        paused = time.monotonic()
        await eventually(lambda: led("second"), within=20)
        await asyncio.sleep(max(0.0, paused + 3 * TERMS.duration - time.monotonic()))
        count = len(moments(file, "second"))
        first.send(signal.SIGCONT)
        await eventually(lambda: led("second", count + 20), within=20)

        assert not first.ended
        assert max(moments(file, "first")) < min(moments(file, "second"))
