"""The command ``pullback``, as a person or a script runs it: what it prints, and how it exits."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import yaml

from daemon.cli.main import main
from tests.cluster import Cluster

Ran = tuple[int, str, str]
Pullback = Callable[..., Awaitable[Ran]]


def exit_code(*words: str) -> int:
    """Runs one command in this thread, to its end."""
    try:
        return main(words)
    except SystemExit as stopped:  # argparse
        return stopped.code if isinstance(stopped.code, int) else 1


@pytest.fixture
def pullback(cluster: Cluster, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Pullback:
    """Runs one command to its end: exit code, standard output, standard error."""
    for name in list(os.environ):
        if name.startswith("PULLBACK_"):
            monkeypatch.delenv(name)

    async def run(*arguments: str, reaching: bool = True) -> Ran:
        kubeconfig = ["--kubeconfig", str(cluster.kubeconfig)] if reaching else []
        capfd.readouterr()
        code = await asyncio.to_thread(exit_code, *arguments, *kubeconfig)
        return (code, *capfd.readouterr())

    return run


def read(output: str, text: str) -> Any:
    """What a script reads of what a command printed."""
    return json.loads(text) if output == "json" else yaml.safe_load(text)
