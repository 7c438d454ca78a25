"""Gets Prometheus and Alertmanager for the demo without installing anything into the system.

What is on PATH is used. Otherwise their Debian packages are downloaded by apt, with the machine's own
sources and signature checks, and unpacked (not installed: no root, no maintainer script, no service
started) into a cache folder that later runs reuse. A fresh machine may have no package lists and its user
may not be root; apt is then given state folders of its own inside the cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("prometheus", "prometheus-alertmanager")
# Under either name: upstream's archive says `alertmanager`, Debian's package says `prometheus-alertmanager`.
PROGRAMS = {
    "prometheus": ("prometheus",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "promtool": ("promtool",),
    "amtool": ("amtool",),
}
# Debian's Alertmanager does not start without its templates, and looks for them in this place only, where an
# unpacked package cannot put them. A path of the same length, relative to the program's own folder, takes its
# place; whoever starts the program does so in that folder.
INSTALLED_TEMPLATES = b"/usr/share/prometheus/alertmanager"
UNPACKED_TEMPLATES = b".././share/prometheus/alertmanager"
UPDATE_SECONDS = 180.0
DOWNLOAD_SECONDS = 300.0
UNPACK_SECONDS = 120.0
LOCK_SECONDS = 600.0


class AlertingUnavailableError(RuntimeError):
    """Prometheus or Alertmanager cannot be had here; the message says what, why, and what to do instead."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "Prometheus and Alertmanager are not on PATH and could not be fetched as Debian packages: "
            f"{why}\nInstall prometheus and prometheus-alertmanager yourself, or run with --no-alerting, "
            "which posts the Alertmanager payload without them."
        )


class PackagesUnavailableError(RuntimeError):
    """One step on the way to a package failed; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class AlertingBinaries:
    """Where the four programs are, and for the reader of a log where they came from."""

    prometheus: Path
    alertmanager: Path
    promtool: Path
    amtool: Path
    source: str


def default_cache(environment: Mapping[str, str], checkout: Path, home: Path) -> Path:
    """`$PULLBACK_CACHE`, else `.cache/pullback` beside the code, or in the home folder if not writable."""
    if chosen := environment.get("PULLBACK_CACHE"):
        return Path(chosen)
    beside = checkout / ".cache" / "pullback"
    with contextlib.suppress(OSError):
        beside.mkdir(parents=True, exist_ok=True)
        if os.access(beside, os.W_OK | os.X_OK):
            return beside
    return home / ".cache" / "pullback"


def binaries_on(path: str, source: str) -> AlertingBinaries | None:
    """All four programs from the folders of a PATH, or None when one is missing."""
    found: dict[str, Path] = {}
    for program, names in PROGRAMS.items():
        places = (shutil.which(name, path=path) for name in names)
        if (place := next(filter(None, places), None)) is None:
            return None
        found[program] = Path(place)
    return AlertingBinaries(**found, source=source)


async def find_alerting(cache: Path, *, path: str | None = None) -> AlertingBinaries:
    """The programs from PATH, from the cache, or fetched into it; raises `AlertingUnavailableError`."""
    if present := binaries_on(os.environ.get("PATH", "") if path is None else path, "PATH"):
        return present
    unpacked = cache / "alerting"
    if present := _unpacked(unpacked):
        return present
    missing = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    if missing:
        raise AlertingUnavailableError(f"{' and '.join(missing)} not found: this is not a Debian-like system.")
    try:
        async with _locked(_made(cache) / "alerting.lock"):
            # Another run may have finished the work while this one waited for the lock.
            return _unpacked(unpacked) or await _fetched(cache, unpacked)
    except PackagesUnavailableError as error:
        raise AlertingUnavailableError(str(error)) from error
    except OSError as error:
        raise AlertingUnavailableError(f"the cache folder {cache} cannot be used ({error}).") from error


async def find_program(cache: Path, package: str, program: str) -> Path:
    """A program from PATH, or out of a Debian package in the cache; raises `PackagesUnavailableError`."""
    if present := shutil.which(program):
        return Path(present)
    target = cache / package
    found = target / "usr" / "bin" / program
    try:
        async with _locked(_made(cache) / f"{package}.lock"):
            if not found.exists():
                async with _unpacking(cache, [package]) as root:
                    shutil.rmtree(target, ignore_errors=True)
                    root.rename(target)
    except OSError as error:
        raise PackagesUnavailableError(f"{package} cannot be unpacked into {cache} ({error}).") from error
    if not found.exists():
        raise PackagesUnavailableError(f"the package {package} holds no {program}.")
    return found


def _unpacked(folder: Path) -> AlertingBinaries | None:
    return binaries_on(str(folder / "usr" / "bin"), str(folder))


@contextlib.asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """A lock between processes that the kernel takes back from whoever dies holding it."""
    deadline = time.monotonic() + LOCK_SECONDS
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    why = f"another run has held {path} for {LOCK_SECONDS:g} s."
                    raise PackagesUnavailableError(why) from None
                await asyncio.sleep(0.2)
        yield


async def _fetched(cache: Path, target: Path) -> AlertingBinaries:
    """Unpack beside the target, then one rename: a run cut short leaves nothing half done."""
    async with _unpacking(cache, PACKAGES) as root:
        if (found := _unpacked(root)) is None:
            raise PackagesUnavailableError(f"the packages {', '.join(PACKAGES)} do not hold all four programs.")
        _find_templates_beside(found.alertmanager)
        shutil.rmtree(target, ignore_errors=True)  # an older, incomplete one would stand in the way
        root.rename(target)
    if (moved := _unpacked(target)) is None:
        raise PackagesUnavailableError(f"the programs vanished from {target}.")
    return moved


@contextlib.asynccontextmanager
async def _unpacking(cache: Path, packages: Sequence[str]) -> AsyncIterator[Path]:
    """What is in these packages, in a folder for whoever moves it away; what is left of it goes."""
    work = Path(tempfile.mkdtemp(prefix="unpacking-", dir=cache))
    try:
        await _download(work, cache, packages)
        root = work / "root"
        for package in _downloaded(work):
            await _run(["dpkg", "-x", str(package), str(root)], work, UNPACK_SECONDS)
        yield root
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _find_templates_beside(alertmanager: Path) -> None:
    alertmanager.write_bytes(alertmanager.read_bytes().replace(INSTALLED_TEMPLATES, UNPACKED_TEMPLATES))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _downloaded(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.deb"))


async def _download(work: Path, cache: Path, packages: Sequence[str]) -> None:
    """With the machine's package lists; where they are absent or outdated, with fresh ones of our own."""
    # Root's apt would drop to a user who cannot write into somebody's checkout.
    apt = ["apt-get", "-q", *(["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else [])]
    with contextlib.suppress(PackagesUnavailableError):
        await _run([*apt, "download", *packages], work, DOWNLOAD_SECONDS)
        return
    apt += _own_state(cache / "apt")
    updated = await _run([*apt, "update"], work, UPDATE_SECONDS)
    try:
        await _run([*apt, "download", *packages], work, DOWNLOAD_SECONDS)
    except PackagesUnavailableError as error:
        # Without a network `apt-get update` only warns and ends with 0: its words explain what follows.
        raise PackagesUnavailableError(f"{error}\nafter `apt-get update` had said:\n{_last_lines(updated)}") from error


def _own_state(folder: Path) -> list[str]:
    """Options that keep everything apt writes inside `folder`; sources and keys stay the machine's own."""
    for needed in ("state/lists/partial", "cache/archives/partial"):
        _made(folder / needed)
    settings = {
        "Dir::State": folder / "state",
        "Dir::State::lists": folder / "state" / "lists",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": folder / "cache",
    }
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]


async def _run(argv: Sequence[str], folder: Path, timeout: float) -> str:
    command = re.sub(r" -o \S+", "", " ".join(argv))
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout)
    except TimeoutError:
        raise PackagesUnavailableError(f"`{command}` did not end within {timeout:g} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode("utf-8", "replace")
    if process.returncode:
        raise PackagesUnavailableError(f"`{command}` ended with {process.returncode}:\n{_last_lines(text)}")
    return text


def _last_lines(text: str, count: int = 6) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-count:])
