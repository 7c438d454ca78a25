"""The Gateway API's HTTPRoute, in a gateway or in a mesh."""

from collections.abc import Mapping
from typing import Any

from daemon.adapters.kubernetes.resources import HTTP_ROUTES_V1, HTTP_ROUTES_V1BETA1
from daemon.adapters.traffic import objects
from daemon.adapters.traffic.gateway_routes import claim, hosts, pending, restore, services, steer, view
from daemon.model.route import RouteObject

__all__ = [
    "KIND", "PROVIDERS", "RESOURCES", "claim", "hosts", "pending", "read", "restore", "services", "steer", "view",
]  # fmt: skip

KIND = "HTTPRoute"
RESOURCES = (HTTP_ROUTES_V1, HTTP_ROUTES_V1BETA1)
PROVIDERS = frozenset({"gatewayapi:v1", "gatewayapi:v1beta1"})
"""``gatewayapi`` without a version is none: Flagger takes it for an unknown one and writes Istio's objects."""


def read(document: Mapping[str, Any]) -> RouteObject:
    """The object from its JSON, ``v1`` or ``v1beta1`` alike."""
    return objects.read(KIND, document)
