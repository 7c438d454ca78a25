"""The Gateway API's GRPCRoute, in a gateway or in a mesh."""

from collections.abc import Mapping
from typing import Any

from daemon.adapters.kubernetes.resources import GRPC_ROUTES_V1
from daemon.adapters.traffic import objects
from daemon.adapters.traffic.gateway_routes import claim, hosts, pending, restore, services, steer, view
from daemon.model.route import RouteObject

__all__ = [
    "KIND", "PROVIDERS", "RESOURCES", "claim", "hosts", "pending", "read", "restore", "services", "steer", "view",
]  # fmt: skip

KIND = "GRPCRoute"
RESOURCES = (GRPC_ROUTES_V1,)
PROVIDERS: frozenset[str] = frozenset()
"""Flagger writes none: people write them, beside its HTTPRoutes or without it."""


def read(document: Mapping[str, Any]) -> RouteObject:
    """The object from its JSON."""
    return objects.read(KIND, document)
