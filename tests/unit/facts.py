"""Values of the model with everything filled in, so that a test names only what it is about."""

from __future__ import annotations

import datetime
from typing import Any

from daemon.model.canary import AlertPause, Canary, CanaryPhase, CanaryRef, Controller, ObjectKind, Workload
from daemon.model.decision import Evidence, Intent, Proof
from daemon.model.rollback import RecordedSignal, Rollback, RollbackPhase, Timeline, Trigger
from daemon.model.route import Original, PatchOperation, PathShare, RoutePatch, RouteRef, RouteView, Sides, WeightChange
from daemon.model.rules import Act, AlertRule, Matcher
from daemon.model.signal import Alert

REF = CanaryRef("shop", "podinfo")
BEGAN = datetime.datetime(2026, 11, 23, 7, 0, tzinfo=datetime.UTC)
ROUTE = RouteRef("VirtualService", "shop", "podinfo")

ROLLBACK = AlertRule((Matcher.parse('severity="critical"'),), Act.ROLLBACK)
PAUSE = AlertRule((Matcher.parse('severity="warning"'),), Act.PAUSE)
IGNORE = AlertRule((Matcher.parse('team="lab"'),), Act.IGNORE)


def after(seconds: float) -> datetime.datetime:
    """So long after the analysis began."""
    return BEGAN + datetime.timedelta(seconds=seconds)


def canary(phase: CanaryPhase = CanaryPhase.PROGRESSING, **changes: Any) -> Canary:
    plain: dict[str, Any] = {
        "ref": REF,
        "uid": "c-1",
        "phase": phase,
        "revision": "rev2",
        "promoted_revision": "rev1",
        "analysis_began": BEGAN,
        "status_weight": 10,
        "workload": "podinfo",
        "workload_kind": "Deployment",
        "service": "podinfo",
        "provider": "istio",
        "suspended": False,
        "deleting": False,
        "paused": False,
        "alert_pauses": (),
        "resource_version": "5",
    }
    return Canary(**(plain | changes))


def undriven(phase: CanaryPhase = CanaryPhase.PROGRESSING, **changes: Any) -> Canary:
    """A canary that no controller drives, on a route that people write."""
    own: dict[str, Any] = {
        "controller": Controller.NONE,
        "object_kind": ObjectKind("networking.istio.io/v1", "VirtualService"),
        "sides": Sides(
            namespace="shop",
            canary_services=frozenset(),
            stable_services=frozenset(),
            shared_services=frozenset({("shop", "podinfo")}),
            canary_subsets=frozenset({(("shop", "podinfo"), "canary")}),
            stable_subsets=frozenset({(("shop", "podinfo"), "stable")}),
        ),
        "stable_workload": "podinfo-stable",
        "provider": "",
    }
    return canary(phase, **(own | changes))


def workload(**changes: Any) -> Workload:
    plain: dict[str, Any] = {
        "namespace": "shop",
        "name": "podinfo",
        "labels": {"app": "podinfo", "version": "v2"},
        "images": ("registry.example:5000/podinfo:v2",),
        "replicas": 2,
        "ready_replicas": 2,
    }
    return Workload(**(plain | changes))


def alert(*, firing: bool = True, at: float = 60, fingerprint: str = "a790beef2dcf050a", **labels: str) -> Alert:
    """Fires ``at`` seconds after the analysis began."""
    return Alert(
        fingerprint=fingerprint,
        firing=firing,
        starts_at=after(at),
        ends_at=None if firing else after(at + 30),
        labels={"alertname": "HighErrorRate", "namespace": "shop", "canary": "podinfo", **labels},
        annotations={"summary": "it fails"},
    )


def route(weight: float = 10, *, ref: RouteRef = ROUTE, originals: tuple[Original, ...] = ()) -> RouteView:
    """A routing object that gives the canary so many percent, and the write that ends it."""
    change = WeightChange(ref, "http[0]", weight, 0)
    operation = PatchOperation("replace", "/spec/http/0/route/1/weight", 0)
    zero = RoutePatch(ref, (operation,), (change,), originals) if weight else None
    return RouteView(ref, (PathShare("http[0]", weight / 100, True),), zero, ("flagger",))


def intent(**changes: Any) -> Intent:
    plain: dict[str, Any] = {
        "canary": REF,
        "revision": "rev2",
        "trigger": Trigger.ALERT,
        "reason": "alert-fires: HighErrorRate",
        "requested_by": "alertmanager",
        "signal": RecordedSignal("a790beef2dcf050a", after(60), {"alertname": "HighErrorRate"}, {}),
        "dry_run": False,
        "received_at": after(61),
        "decided_at": after(61.001),
        "record_name": "podinfo-rev2",
    }
    return Intent(**(plain | changes))


def record(phase: RollbackPhase = RollbackPhase.PENDING, **changes: Any) -> Rollback:
    plain: dict[str, Any] = {
        "namespace": "shop",
        "name": "podinfo-rev2",
        "uid": "r-1",
        "resource_version": "9",
        "created_at": after(61),
        "canary": REF,
        "revision": "rev2",
        "trigger": Trigger.ALERT,
        "reason": "alert-fires: HighErrorRate",
        "requested_by": "alertmanager",
        "signal": RecordedSignal("a790beef2dcf050a", after(60), {"alertname": "HighErrorRate"}, {}),
        "dry_run": False,
        "phase": phase,
        "timeline": Timeline(started_at=after(61), decided_at=after(61.001)),
    }
    return Rollback(**(plain | changes))


def proof(at: float = 70) -> Proof:
    return Proof(after(at), ("routes read back at 0 for 5.0 s",))


def pause(fingerprint: str = "w1", at: float = 60, revision: str = "rev2") -> AlertPause:
    return AlertPause(fingerprint, after(at), revision, "HighLatency")


def evidence(**changes: Any) -> Evidence:
    """A canary at 10% in mid-analysis, 62 seconds after that began; nothing stands."""
    plain: dict[str, Any] = {
        "now": after(62),
        "canary": canary(),
        "workload": workload(),
        "routes": (route(10),),
        "routes_known": True,
        "records": (),
    }
    return Evidence(**(plain | changes))
