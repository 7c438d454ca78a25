"""One file per kind of channel, found by being here.

A kind is a module with the names of ``ChannelKind``; a new one needs nothing else.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Protocol, cast

import pydantic

from daemon import ports
from daemon.adapters.notify.options import ChannelOptions
from daemon.adapters.notify.surroundings import Surroundings
from daemon.model import errors

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
    kinds: dict[str, ChannelKind] = {}
    for found in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{found.name}")
        if hasattr(module, "KIND"):
            kinds[module.KIND] = cast("ChannelKind", module)
    return kinds


def check(channels: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ConfigurationError with a line for every field that is wrong, secret files included."""
    _read(channels)


def build(channels: Mapping[str, Mapping[str, Any]], surroundings: Surroundings) -> dict[str, ports.Channel]:
    """A channel for every entry, by the name it has in the configuration. Raises like ``check``."""
    return {name: kind.build(options, surroundings) for name, (kind, options) in _read(channels).items()}


def _read(channels: Mapping[str, Any]) -> dict[str, tuple[ChannelKind, ChannelOptions]]:
    kinds = discover()
    usable: dict[str, tuple[ChannelKind, ChannelOptions]] = {}
    problems: list[str] = []
    for name, entry in channels.items():
        where = f"{WHERE}.{name}"
        if not isinstance(entry, Mapping):
            problems.append(f"{where}: expected kind and its options, got {type(entry).__name__}")
            continue
        kind = kinds.get(str(entry.get("kind")))
        if kind is None:
            given = f", got {entry['kind']!r}" if "kind" in entry else ""
            problems.append(f"{where}.kind: expected one of {', '.join(sorted(kinds))}{given}")
            continue
        try:
            given_options = {str(option): value for option, value in entry.items() if option != "kind"}
            usable[name] = (kind, kind.Options.model_validate(given_options))
        except pydantic.ValidationError as error:
            problems += [f"{where}.{_told(one, kind.Options)}" for one in error.errors(include_url=False)]
    if problems:
        raise errors.ConfigurationError("\n  ".join(problems))
    return usable


def _told(problem: Any, options: type[ChannelOptions]) -> str:
    field = ".".join(map(str, problem["loc"])) or "kind"
    if problem["type"] == "extra_forbidden":
        known = ", ".join(sorted(options.model_fields)) or "none"
        return f"{field}: no such option; expected some of: {known}"
    return f"{field}: {problem['msg'].removeprefix('Value error, ')}"
