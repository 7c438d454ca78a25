"""The manifest that a revision keeps: its routes at zero, every other byte as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import yaml

from daemon.adapters import helm_manifest
from daemon.adapters.traffic import patching, virtual_service
from daemon.model.route import PatchOperation, Sides

SIDES = Sides(
    namespace="shop",
    canary_services=frozenset({("shop", "web-canary")}),
    stable_services=frozenset({("shop", "web-stable")}),
    shared_services=frozenset(),
)

BEFORE = """---
# Source: shop/templates/configmap.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  routes.yaml: |
    kind: VirtualService
    --- not a document
"""

ROUTE = """---
# Source: shop/templates/route.yaml
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: web
  namespace: shop
spec:
  hosts: [web]   # a comment within
  http:
    - match: [{headers: {x-canary: {exact: "true"}}}]
      route: [{destination: {host: web-canary}}]
    - timeout: 10s
      route:
        - destination: {host: web-stable}
          weight: 75
        - destination: {host: web-canary}
          weight: 25
"""

AFTER = """---
# Source: shop/templates/service.yaml
apiVersion: v1
kind: Service
metadata: {name: web}
"""


def zero(document: Mapping[str, Any]) -> Sequence[PatchOperation]:
    view = virtual_service.view(virtual_service.read(document), SIDES)
    return view.zero.operations if view.zero else ()


ZEROS = {"VirtualService": zero}


def test_the_routes_are_at_zero_and_the_rest_is_byte_for_byte_as_it_was() -> None:
    found, changed = helm_manifest.zeroed(BEFORE + ROUTE + AFTER, ZEROS)
    assert changed == ("VirtualService web",)
    assert found.startswith(BEFORE + "---\n# Source: shop/templates/route.yaml\n")
    assert found.endswith(AFTER)
    document = list(yaml.safe_load_all(found))[1]
    assert not zero(document)
    whole = yaml.safe_load(ROUTE)
    whole["spec"]["http"][0]["route"][0]["destination"] = {"host": "web-stable"}
    whole["spec"]["http"][1]["route"][0]["weight"], whole["spec"]["http"][1]["route"][1]["weight"] = 100, 0
    assert document == whole


def test_what_was_rewritten_once_is_not_rewritten_again() -> None:
    once, _ = helm_manifest.zeroed(ROUTE + AFTER, ZEROS)
    assert helm_manifest.zeroed(once, ZEROS) == (once, ())


def test_what_was_rewritten_and_raised_again_is_still_recognised() -> None:
    once, _ = helm_manifest.zeroed(ROUTE, ZEROS)
    raised = once.replace('"weight": 0', '"weight": 9').replace('"weight": 100', '"weight": 91')
    assert raised != once
    assert helm_manifest.zeroed(raised, ZEROS) == (once, ("VirtualService web",))


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "---\n",
        BEFORE + AFTER,
        ROUTE.replace("web-canary", "web-other"),
        ROUTE.replace("VirtualService", "HTTPRoute"),
        "---\nkind: VirtualService\nspec: [\n",
        "---\nkind: VirtualService\n",
        "---\n- kind: VirtualService\n",
        ROUTE.replace("timeout: 10s", "since: 2026-11-23"),
        ROUTE.replace("hosts: [web]", "hosts: &hosts [web]\n  gateways: *hosts"),
    ],
    ids=range(10),
)
def test_what_cannot_be_rewritten_for_sure_stays_as_it_is(manifest: str) -> None:
    assert helm_manifest.zeroed(manifest, ZEROS) == (manifest, ())


def test_operations_that_do_not_fit_leave_the_document_alone() -> None:
    for operation in (
        PatchOperation("test", "/spec/hosts/0", "other"),
        PatchOperation("test", "/spec/hosts", None),
        PatchOperation("replace", "/spec/http/7/route", []),
        PatchOperation("replace", "/spec/nowhere/at/all", 0),
        PatchOperation("remove", "/metadata/labels"),
        PatchOperation("move", "/spec/hosts", 0),
        PatchOperation("replace", "", 5),
        PatchOperation("add", "/kind/x", 5),
    ):
        zeros = {"VirtualService": lambda _, one=operation: [one]}
        assert helm_manifest.zeroed(ROUTE, zeros) == (ROUTE, ()), operation


def test_every_operation_that_planners_write() -> None:
    document = {"spec": {"list": [1, 2, 3], "a/b": 1}}
    operations = [
        PatchOperation("test", "/spec/list/1", 2),
        PatchOperation("test", "/spec/absent", None),
        PatchOperation("add", "/spec/list/0", 0),
        PatchOperation("add", "/spec/list/-", 4),
        PatchOperation("remove", "/spec/list/1"),
        PatchOperation("replace", "/spec/a~1b", {"x": 1}),
        PatchOperation("add", "/spec/new", [5]),
    ]
    assert patching.applied(document, operations) == {"spec": {"list": [0, 2, 3, 4], "a/b": {"x": 1}, "new": [5]}}
    assert document == {"spec": {"list": [1, 2, 3], "a/b": 1}}
