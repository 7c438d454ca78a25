"""Shell scripts that people roll back with, as runbooks print them."""

import re
from collections.abc import Iterator

from daemon.doctor.documents import Script
from daemon.doctor.findings import Finding, fail, warn

_HELM = re.compile(r"\bhelm\s+upgrade\b")
_WAIT = re.compile(r"(^|\s)--(wait|atomic)\b")
_ZERO = re.compile(r"weight=0\b")
_WEIGHT = re.compile(r"weight=")
_DELETE = re.compile(r"\bkubectl\s+(?:-\S+\s+\S+\s+)*delete\s+(pods?|po)\b")
_STABLE_GONE = re.compile(r"\bkubectl\s+scale\b.*(stable|primary)\b.*--replicas[= ]0\b")
_SLACK = re.compile(r"\bcurl\b.*slack\.com/api/")
_CONTENT_TYPE = re.compile(r"content-type", re.IGNORECASE)


def examine(script: Script) -> list[Finding]:
    return [finding for line, command in commands(script) for finding in _command(f"{script.source}:{line}", command)]


def commands(script: Script) -> Iterator[tuple[int, str]]:
    """Each command on one line, continuations joined, comments left out; and the line at which it begins."""
    begun, joined = 0, ""
    for number, line in enumerate(script.text.splitlines(), script.line):
        if not joined:
            begun = number
        if not joined and line.lstrip().startswith("#"):
            continue
        joined += line.strip().removeprefix("$ ").removesuffix("\\") + " "
        if not line.rstrip().endswith("\\"):
            if joined.strip():
                yield begun, joined.strip()
            joined = ""
    if joined.strip():
        yield begun, joined.strip()


def mover(script: Script) -> str:
    """Where it moves traffic by a weight alone; empty where it does not."""
    found = (line for line, command in commands(script) if _HELM.search(command) and _ZERO.search(command))
    line = next(found, None)
    return "" if line is None else f"`helm upgrade` at {script.source}:{line}"


def _command(where: str, command: str) -> Iterator[Finding]:
    if _HELM.search(command) and _WAIT.search(command) and _WEIGHT.search(command):
        brake = bool(_ZERO.search(command))
        say = fail if brake else warn
        yield say(
            "runbook/helm-wait", where, "`helm upgrade --wait` moves the traffic: it waits up to 5 minutes for pods, "
            "fails while the canary crash-loops, and with `set -e` nothing after it is done",
            "one write to the routes, which waits for nothing",
            "pullback rollback NAME -n NAMESPACE --reason …" if brake else "let Flagger move the weights",
        )  # fmt: skip
    if found := _DELETE.search(command):
        yield fail(
            "runbook/delete-pods", where, f"`kubectl delete {found[1]}`: their Deployment makes them again",
            "traffic at 0%, and the workload scaled down once Flagger says Failed",
            "leave it to Pullback's cleanup; by hand, after Failed: kubectl scale deployment NAME --replicas=0",
        )  # fmt: skip
    if _STABLE_GONE.search(command):
        yield warn(
            "runbook/stable-gone", where, "the stable version is scaled to 0: there is nothing left to roll back to",
            "the stable version kept until the new one has baked", "let Flagger promote, and keep the primary",
        )  # fmt: skip
    if _SLACK.search(command) and not _CONTENT_TYPE.search(command):
        yield warn(
            "runbook/slack-json", where, "JSON for Slack without its Content-Type, made by a shell out of words that "
            "may hold quotes", "a client that writes JSON", "notices.channels with kind: slack",
        )  # fmt: skip
