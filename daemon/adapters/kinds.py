"""What is configured by kind, where a kind is one file of a package: channels, checks.

A module of the package that has the names of ``Kind`` is one; nothing else has to know of it.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar

import pydantic

from daemon.adapters.options import KindOptions
from daemon.model import errors


class Kind(Protocol):
    """What every such module says of itself; how it builds is for its package to say."""

    @property
    def KIND(self) -> str:  # noqa: N802 - a constant of a module
        """What ``kind`` says in the configuration."""
        ...

    @property
    def Options(self) -> type[KindOptions]:  # noqa: N802 - a class of a module
        ...


K = TypeVar("K", bound=Kind)


def discover(package: str, path: Iterable[str]) -> dict[str, Any]:
    """Every module of the package that is a kind, by its name. One that cannot be imported stops the start."""
    kinds: dict[str, Any] = {}
    for found in pkgutil.iter_modules(path):
        module = importlib.import_module(f"{package}.{found.name}")
        if hasattr(module, "KIND"):
            kinds[module.KIND] = module
    return kinds


def read(configured: Mapping[str, Any], kinds: Mapping[str, K], where: str) -> dict[str, tuple[K, Any]]:
    """Each entry's kind, and its options as an instance of that kind's ``Options``.

    Raises ConfigurationError with a line for every field that is wrong; ``where`` is what the lines begin with.
    """
    usable: dict[str, tuple[K, Any]] = {}
    problems: list[str] = []
    for name, entry in configured.items():
        at = f"{where}.{name}"
        if not isinstance(entry, Mapping):
            problems.append(f"{at}: expected kind and its options, got {type(entry).__name__}")
            continue
        kind = kinds.get(str(entry.get("kind")))
        if kind is None:
            given = f", got {entry['kind']!r}" if "kind" in entry else ""
            problems.append(f"{at}.kind: expected one of {', '.join(sorted(kinds))}{given}")
            continue
        try:
            given_options = {str(option): value for option, value in entry.items() if option != "kind"}
            usable[name] = (kind, kind.Options.model_validate(given_options))
        except pydantic.ValidationError as error:
            problems += [f"{at}.{_told(one, kind.Options)}" for one in error.errors(include_url=False)]
    refuse(problems)
    return usable


def refuse(problems: Iterable[str]) -> None:
    """Raises ConfigurationError when there is any problem."""
    told = "\n  ".join(problems)
    if told:
        raise errors.ConfigurationError(told)


def _told(problem: Any, options: type[KindOptions]) -> str:
    field = ".".join(map(str, problem["loc"])) or "kind"
    if problem["type"] == "extra_forbidden":
        names = (one.alias or name for name, one in options.model_fields.items())
        return f"{field}: no such option; expected some of: {', '.join(sorted(names)) or 'none'}"
    return f"{field}: {problem['msg'].removeprefix('Value error, ')}"
