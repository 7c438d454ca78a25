"""What kubectl and Helm look at before they write: the same answers from the embedded API and a real kube-apiserver."""

from __future__ import annotations

import aiohttp
import pytest

from tests.kubernetes_calls import MERGE, assert_status, call, made, rb_path, rollback, vs_path


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("api/v1", {"group": "", "kind": "Secret", "version": "v1"}),
        ("apis/apps/v1", {"group": "apps", "kind": "Deployment", "version": "v1"}),
        ("apis/pullback.dev/v1alpha1", {"group": "pullback.dev", "kind": "Rollback", "version": "v1alpha1"}),
    ],
)
async def test_every_group_version_says_that_the_server_finds_unknown_fields(
    http: aiohttp.ClientSession, place: str, kind: dict[str, str]
) -> None:
    _, index = await call(http, "GET", "/openapi/v3")
    status, document = await call(http, "GET", index["paths"][place]["serverRelativeURL"])
    assert status == 200
    patches = [one["patch"] for one in document["paths"].values() if "patch" in one]
    mine = [one for one in patches if one.get("x-kubernetes-group-version-kind") == kind]
    assert mine
    for one in mine:
        assert "fieldValidation" in {parameter["name"] for parameter in one["parameters"]}


async def test_a_group_version_that_is_not_served_has_no_document(http: aiohttp.ClientSession) -> None:
    for path in ("/openapi/v3/apis/example.com/v1", "/openapi/v3/apis/apps/v7"):
        assert (await call(http, "GET", path))[0] == 404


async def test_an_unknown_field_is_refused_where_that_is_asked_for(http: aiohttp.ClientSession, namespace: str) -> None:
    wrong = rollback("a", {"canaryRef": {"name": "app", "colour": "red"}, "size": 5})
    answer = await call(http, "POST", f"{rb_path(namespace)}?fieldValidation=Strict", wrong)
    assert_status(answer, 400, "BadRequest")
    for field in ("spec.canaryRef.colour", "spec.size"):
        assert f'unknown field "{field}"' in answer[1]["message"]
    assert (await call(http, "GET", rb_path(namespace, "a")))[0] == 404

    pruned = await made(http, rb_path(namespace), wrong)
    assert "colour" not in pruned["spec"]["canaryRef"]
    change = {"spec": {"reason": "x", "sise": 1}}
    answer = await call(http, "PATCH", f"{rb_path(namespace, 'a')}?fieldValidation=Strict", change, MERGE)
    assert answer[0] in {400, 422}
    assert 'unknown field "spec.sise"' in answer[1]["message"]


async def test_a_field_that_a_schema_lets_through_is_not_unknown(http: aiohttp.ClientSession, namespace: str) -> None:
    good = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "a"},
        "spec": {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "b"}}]}]},
    }
    assert (await call(http, "POST", f"{vs_path(namespace)}?fieldValidation=Strict", good))[0] == 201
