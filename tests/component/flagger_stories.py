"""The recorded stories of tests/data/flagger as data, and the objects they begin with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from daemon.sandbox.flagger.api import Json

STORIES = Path(__file__).parent.parent / "data/flagger"
NAME = "podinfo"
HOOKS = ("confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion",
         "rollback", "post-rollout", "event")  # fmt: skip
CUT = "..."
"""Ends a story whose recording stopped inside a tick."""


@dataclass(frozen=True, slots=True)
class Step:
    """A NOTICE, a TICK or something the LAB did, and the lines that followed."""

    at: float
    text: str
    lines: tuple[str, ...]

    def actions_inside(self) -> dict[int, str]:
        """What the lab did while a hook was being answered: by how many hooks had been called in this tick."""
        actions: dict[int, str] = {}
        calls = 0
        for line in self.lines:
            calls += line.startswith("HOOK ")
            if line.startswith("LAB "):
                actions[calls] = line.removeprefix("LAB ")
        return actions


@dataclass(frozen=True, slots=True)
class Story:
    settings: Json
    steps: tuple[Step, ...]

    @classmethod
    def read(cls, name: str) -> Story:
        head, _, body = (STORIES / f"{name}.txt").read_text().partition("\n\n")
        settings = {}
        for line in head.splitlines():
            if not line.startswith("#"):
                key, _, value = line.partition(": ")
                settings[key] = json.loads(value)
        steps: list[tuple[float, str, list[str]]] = []
        for line in body.splitlines():
            if line.startswith("+"):
                at, _, text = line.partition(" ")
                steps.append((float(at), text, []))
            else:
                steps[-1][2].append(line.strip())
        return cls(settings, tuple(Step(at, text, tuple(lines)) for at, text, lines in steps))

    @property
    def lines(self) -> list[str]:
        return [line for step in self.steps for line in (step.text, *step.lines)]


def canary_body(namespace: str, hooks_url: str, settings: Json) -> Json:
    """The Canary of the stories, as a user would write it."""
    hooks: list[Json] = [
        {
            "name": f"hook-{kind}",
            "type": kind,
            "url": f"{hooks_url}/{NAME}/{kind}",
            "metadata": {"who": "lab"},
        }
        for kind in HOOKS
    ]
    hooks[-1].pop("metadata")
    success = {"name": "request-success-rate", "interval": "1m", "thresholdRange": {"min": 99}}
    analysis = {"interval": "10s", "threshold": 5, "metrics": [success], "webhooks": hooks}
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "provider": "istio",
            "progressDeadlineSeconds": settings.get("progressDeadlineSeconds", 600),
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "service": {"name": NAME, "port": 80, "targetPort": 9898},
            "analysis": {**analysis, **settings.get("analysis", {})},
        },
    }


def deployment_body(namespace: str, settings: Json) -> Json:
    container = {"name": NAME, "image": f"{NAME}:1", "ports": [{"name": "http", "containerPort": 9898}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": namespace, "labels": {"app": NAME}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": NAME}},
            "template": {"metadata": {"labels": {"app": NAME}}, "spec": {"containers": [container]}},
            "progressDeadlineSeconds": 600,
            **settings.get("deployment", {}),
        },
    }
