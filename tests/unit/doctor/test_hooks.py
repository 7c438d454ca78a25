"""The hooks of a Canary."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.doctor.reading import bad, examined, the

OURS = "http://pullback:secret@pullback.pullback/webhooks/flagger/"
KINDS = ("rollback", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion", "event")
ALL = [{"name": kind, "type": kind, "timeout": "5s", "url": OURS + kind} for kind in KINDS]


def canary(hooks: list[dict[str, Any]], **analysis: Any) -> str:
    return yaml.safe_dump({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"analysis": {"interval": "1m", "threshold": 5, "webhooks": hooks, **analysis}},
    })  # fmt: skip


def hook(url: str, **fields: Any) -> dict[str, Any]:
    return {"name": "x", "url": url, **fields}


def without(kind: str) -> list[dict[str, Any]]:
    return [one for one in ALL if one["type"] != kind]


def test_all_hooks_wired_is_well() -> None:
    assert bad(examined(canary(ALL))) == []
    assert bad(examined(yaml.safe_dump(ALL))) == []  # as documentation prints it, without its Canary


@pytest.mark.parametrize("kind", ["pre-rollout", "confirm-traffic-increase", "confirm-promotion"])
def test_a_gate_that_stands_open(kind: str) -> None:
    assert bad(examined(canary(without(kind)))) == [f"hooks/no-{kind}"]


def test_gates_of_what_is_no_deployment_stay_closed() -> None:
    target = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "shop"}
    spec = yaml.safe_load(canary(ALL))
    found = examined(yaml.safe_dump(spec | {"spec": spec["spec"] | {"targetRef": target}}))
    assert "a DaemonSet" in the(found, "hooks/target").seen
    rollback = yaml.safe_load(canary([ALL[0]]))
    found = examined(yaml.safe_dump(rollback | {"spec": rollback["spec"] | {"targetRef": target}}))
    assert "hooks/target" not in bad(found)
    target["kind"] = "Deployment"
    assert bad(examined(yaml.safe_dump(spec | {"spec": spec["spec"] | {"targetRef": target}}))) == []


def test_no_rollback_hook() -> None:
    assert bad(examined(canary(without("rollback")))) == ["hooks/no-rollback-hook"]
    assert bad(examined(canary([]))) == ["hooks/no-rollback-hook"]


def test_a_rollback_hook_of_somebody_else_beside_ours() -> None:
    found = examined(canary([*ALL, hook("http://notify/rollback?key=hidden", type="rollback", timeout="5s")]))
    one = the(found, "hooks/rollback-elsewhere")
    assert "http://notify/rollback:" in one.seen
    assert "hidden" not in str(found)
    assert "secret" not in str(found)


def test_a_type_that_asks_the_path_of_another() -> None:
    hooks = [*without("event"), {**ALL[0], "type": "event"}]
    assert the(examined(canary(hooks)), "hooks/wrong-path").severity == "fail"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"url": "http://pullback/webhooks/flagger/event"}, ["hooks/no-credentials"]),
        ({"url": "http://pullback/webhooks/flagger/event", "metadata": {"token": "t"}}, []),
    ],
)
def test_credentials(change: dict[str, Any], found: list[str]) -> None:
    assert bad(examined(canary([*without("event"), {**ALL[-1], **change}]))) == found


def test_no_credentials_where_none_are_asked_for() -> None:
    hooks = [{**one, "url": one["url"].replace("pullback:secret@", "")} for one in ALL]
    assert bad(examined(canary(hooks), web={"flagger": {"allow_anonymous": True}})) == []


@pytest.mark.parametrize(
    ("timeouts", "over"),
    [
        (["5s"], False),
        (["50s"], False),
        (["60s"], True),
        (["30s", "30s"], True),
        ([None] * 5, False),
        ([None] * 6, True),
    ],
)
def test_the_sum_of_rollout_timeouts(timeouts: list[str | None], over: bool) -> None:
    more = [hook(OURS + "rollout", type="rollout", **({"timeout": one} if one else {})) for one in timeouts]
    assert ("hooks/rollout-over-interval" in bad(examined(canary([*without("rollout"), *more])))) is over


def test_a_hook_without_a_type_is_a_rollout_hook() -> None:
    assert "hooks/rollout-over-interval" in bad(examined(canary([*ALL, hook("http://x/y", timeout="5m")])))


@pytest.mark.parametrize(
    ("fields", "blocks"),
    [
        ({"url": "http://loadtester/", "timeout": "40s", "metadata": {"cmd": "hey -z 1m http://x"}}, True),
        ({"url": "http://load-test/run", "timeout": "40s"}, True),
        ({"url": "http://load-test/run", "timeout": "5s"}, False),
        ({"url": "http://check/health", "timeout": "40s"}, False),
    ],
)
def test_a_load_test_that_is_waited_for(fields: dict[str, Any], blocks: bool) -> None:
    found = bad(examined(canary([*ALL, {"name": "x", "type": "rollout", **fields}])))
    assert ("hooks/load-test-blocks" in found) is blocks


def test_an_event_hook_that_may_take_long() -> None:
    hooks = [*without("event"), hook("http://chat/x", type="event", timeout="30s")]
    assert bad(examined(canary(hooks))) == ["hooks/slow"]


def test_one_object_in_two_parts() -> None:
    first = canary([], metrics=[]).replace("    webhooks: []\n", "")
    second = (
        "apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: shop, namespace: shop}\n"
        "spec:\n  analysis:\n    webhooks:\n      - {name: l, type: rollout, url: 'http://l/run', timeout: 5m}\n"
    )
    found = examined(first, second)
    assert "given.yaml:7" in the(found, "hooks/load-test-blocks").where
    assert "the interval is 1m" in the(found, "hooks/rollout-over-interval").seen
