"""A Canary read the way Flagger 1.44 reads it: defaults, floors, names, and the hashes it goes by."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from typing import Any

from daemon.sandbox.flagger.api import Json, namespaced

GROUP = "flagger.app"
VERSION = "v1beta1"

INITIALIZING = "Initializing"
INITIALIZED = "Initialized"
WAITING = "Waiting"
PROGRESSING = "Progressing"
WAITING_PROMOTION = "WaitingPromotion"
PROMOTING = "Promoting"
FINALISING = "Finalising"
SUCCEEDED = "Succeeded"
FAILED = "Failed"

NEW = ("", INITIALIZING)
IN_FLIGHT = (PROGRESSING, WAITING, WAITING_PROMOTION, PROMOTING, FINALISING)

ALL = 100
"""The sum of the weights Flagger writes."""

DEFAULT_INTERVAL = 60.0
SHORTEST_INTERVAL = 10.0
DEFAULT_DEADLINE = 600
DEFAULT_HOOK_TIMEOUT = 10.0

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_TERM = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|ns|h|m|s)")

# Flagger prints the 32 bits of its hash in decimal and then "safe-encodes" each digit: ten characters,
# no vowels.
_SAFE = str.maketrans("0123456789", "456789bcdf")


def seconds(duration: str) -> float | None:
    """A Go duration ("1m30s") in seconds, None when it is not one."""
    terms = _TERM.findall(duration)
    if not terms or "".join(number + unit for number, unit in terms) != duration:
        return None
    return float(sum(float(number) * _UNITS[unit] for number, unit in terms))


def fingerprint(value: Any) -> str:
    """An opaque revision in Flagger's look (FNV-1a): equal values, equal fingerprints."""
    state = 0x811C9DC5
    for byte in json.dumps(value, sort_keys=True, separators=(",", ":")).encode():
        state = ((state ^ byte) * 0x01000193) & 0xFFFFFFFF
    return str(state).translate(_SAFE)


@dataclass(frozen=True, slots=True)
class Canary:
    """A Canary as one tick knows it: read once, and not changed by what the tick then writes."""

    body: Json

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"]["namespace"])

    @property
    def spec(self) -> Json:
        spec: Json = self.body["spec"]
        return spec

    @property
    def status(self) -> Json:
        status: Json = self.body.get("status") or {}
        return status

    @property
    def analysis(self) -> Json:
        analysis: Json = self.spec.get("analysis") or self.spec.get("canaryAnalysis") or {}
        return analysis

    @property
    def service(self) -> Json:
        service: Json = self.spec.get("service") or {}
        return service

    @property
    def path(self) -> str:
        return canaries(self.namespace, self.name)

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def full_name(self) -> str:
        """How Flagger's messages name a canary."""
        return f"{self.name}.{self.namespace}"

    @property
    def target(self) -> str:
        return str(self.spec["targetRef"]["name"])

    @property
    def target_full_name(self) -> str:
        return f"{self.target}.{self.namespace}"

    @property
    def primary(self) -> str:
        return f"{self.target}-primary"

    @property
    def apex(self) -> str:
        """The Service and the VirtualService that clients talk to."""
        return str(self.service.get("name") or self.target)

    @property
    def primary_host(self) -> str:
        return f"{self.apex}-primary"

    @property
    def canary_host(self) -> str:
        return f"{self.apex}-canary"

    @property
    def suspended(self) -> bool:
        return bool(self.spec.get("suspend"))

    @property
    def scaled_by_others(self) -> bool:
        return self.spec.get("autoscalerRef") is not None

    @property
    def phase(self) -> str:
        return str(self.status.get("phase", ""))

    @property
    def failed_checks(self) -> int:
        return int(self.status.get("failedChecks", 0))

    @property
    def iterations(self) -> int:
        return int(self.status.get("iterations", 0))

    @property
    def applied(self) -> str:
        return str(self.status.get("lastAppliedSpec", ""))

    @property
    def promoted(self) -> str:
        return str(self.status.get("lastPromotedSpec", ""))

    @property
    def checksum(self) -> str:
        return fingerprint({"configs": self.status.get("trackedConfigs"), "applied": self.applied})

    @property
    def hooks(self) -> list[Json]:
        return list(self.analysis.get("webhooks") or ())

    def hooks_of(self, kind: str) -> list[Json]:
        return [hook for hook in self.hooks if (hook.get("type") or "rollout") == kind]

    @property
    def interval(self) -> float:
        """Seconds between ticks: 60 by default, and never less than 10, whatever the Canary says."""
        said = seconds(str(self.analysis.get("interval", "")))
        return DEFAULT_INTERVAL if said is None else max(said, SHORTEST_INTERVAL)

    @property
    def threshold(self) -> int:
        said = int(self.analysis.get("threshold", 0))
        return said if said > 0 else 1

    @property
    def deadline(self) -> int:
        return int(self.spec.get("progressDeadlineSeconds", DEFAULT_DEADLINE))

    def ready_threshold(self, whose: str) -> int:
        """The percentage of pods that must be available: ``whose`` is "primary" or "canary"."""
        said = self.analysis.get(f"{whose}ReadyThreshold")
        return ALL if said is None else int(said)

    @property
    def step_weights(self) -> list[int]:
        return [int(weight) for weight in self.analysis.get("stepWeights") or ()]

    @property
    def max_weight(self) -> int:
        if self.step_weights:
            return min(ALL, self.step_weights[-1])
        return int(self.analysis.get("maxWeight", 0)) or ALL

    def next_step(self, weight: int) -> int:
        """How much the canary gets on top of ``weight``.

        A weight that is not one of stepWeights (somebody else wrote it) takes all the rest: Flagger
        jumps to 100.
        """
        step = int(self.analysis.get("stepWeight", 0))
        if step > 0 or not self.step_weights:
            return step
        rest = ALL - weight
        if rest == 0:
            return 1
        if weight == 0:
            return min(rest, self.step_weights[0])
        for here, there in zip(self.step_weights, self.step_weights[1:], strict=False):
            if here == weight:
                return min(rest, there - weight)
        return rest

    @property
    def promotion_step(self) -> int:
        return int(self.analysis.get("stepWeightPromotion", 0))

    def differs_from(self, template: Json) -> bool:
        """Whether a pod template is to be analysed: neither the one applied last nor the promoted one."""
        if not self.applied:
            return True
        revision = fingerprint(template)
        return revision not in (self.promoted, self.applied)

    def in_phase(self, phase: str) -> Canary:
        """A copy that says it is in another phase: some messages run ahead of the status."""
        return self.with_status(phase=phase)

    def with_status(self, **changes: Any) -> Canary:
        body = copy.deepcopy(self.body)
        body["status"] = {**(body.get("status") or {}), **changes}
        return Canary(body)

    @property
    def owner(self) -> Json:
        """The reference that puts an object under this Canary."""
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "Canary",
            "name": self.name,
            "uid": self.body["metadata"].get("uid", ""),
            "controller": True,
            "blockOwnerDeletion": True,
        }


def canaries(namespace: str | None, name: str = "") -> str:
    """The REST path of a Canary, of a namespace's canaries, or of all."""
    if namespace is None:
        return f"/apis/{GROUP}/{VERSION}/canaries"
    return namespaced(GROUP, VERSION, namespace, "canaries", name)
