"""One file per kind of channel, found by being here.

A kind is a module with the names of ``ChannelKind``; a new one needs nothing else.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from daemon import ports
from daemon.adapters import kinds
from daemon.adapters.notify.options import ChannelOptions
from daemon.adapters.notify.surroundings import Surroundings

__all__ = ["ChannelKind", "Surroundings", "build", "check", "discover"]

WHERE = "notices.channels"
"""Where channels stand in the configuration."""


class ChannelKind(Protocol):
    """What a module of this package says and does."""

    KIND: str
    """What ``kind`` says in the configuration."""
    Options: type[ChannelOptions]

    def build(self, options: Any, surroundings: Surroundings) -> ports.Channel:
        """``options`` is an instance of ``Options``."""
        ...


def discover() -> dict[str, ChannelKind]:
    """Every kind in this package, by its name. A module that cannot be imported stops the start."""
    return kinds.discover(__name__, __path__)


def check(channels: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ConfigurationError with a line for every field that is wrong, secret files included."""
    kinds.read(channels, discover(), WHERE)


def build(channels: Mapping[str, Mapping[str, Any]], surroundings: Surroundings) -> dict[str, ports.Channel]:
    """A channel for every entry, by the name it has in the configuration. Raises like ``check``."""
    read = kinds.read(channels, discover(), WHERE)
    return {name: kind.build(options, surroundings) for name, (kind, options) in read.items()}
