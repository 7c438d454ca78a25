"""One file per kind of check, found by being here.

A kind is a module with the names of ``CheckKind``; a new one needs nothing else.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from daemon import ports
from daemon.adapters import kinds
from daemon.adapters.checks.options import CheckOptions
from daemon.adapters.checks.surroundings import Surroundings
from daemon.model import errors

__all__ = ["CheckKind", "Surroundings", "build", "check", "discover"]

WHERE = "gates.checks"
"""Where checks stand in the configuration."""


class CheckKind(Protocol):
    """What a module of this package says and does."""

    KIND: str
    """What ``kind`` says in the configuration."""
    Options: type[CheckOptions]

    def build(self, name: str, options: Any, surroundings: Surroundings) -> ports.Check:
        """``options`` is an instance of ``Options``, ``name`` what the check is called in the configuration.

        Raises ConfigurationError with ``<field>: …`` when the surroundings lack what the options need.
        """
        ...


def discover() -> dict[str, CheckKind]:
    """Every kind in this package, by its name. A module that cannot be imported stops the start."""
    return kinds.discover(__name__, __path__)


def check(configured: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ConfigurationError with a line for every field that is wrong, files and programs included."""
    kinds.read(configured, discover(), WHERE)


def build(configured: Mapping[str, Mapping[str, Any]], surroundings: Surroundings) -> dict[str, ports.Check]:
    """A check for every entry, by the name it has in the configuration. Raises like ``check``."""
    made: dict[str, ports.Check] = {}
    problems: list[str] = []
    for name, (kind, options) in kinds.read(configured, discover(), WHERE).items():
        try:
            made[name] = kind.build(name, options, surroundings)
        except errors.ConfigurationError as error:
            problems.append(f"{WHERE}.{name}.{error}")
    kinds.refuse(problems)
    return made
