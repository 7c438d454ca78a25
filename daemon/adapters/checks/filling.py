"""Templates in the configuration, filled with names and numbers of what is checked; never with an alert's labels.

``$namespace`` and ``${namespace}`` are filled in, ``$$`` is a dollar sign. What is filled in can neither end a string
of PromQL nor a part of a URL, since it has nothing but letters, digits, ``.``, ``_`` and ``-`` in it.
"""

import math
import re
import string
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from daemon.adapters.options import http_url
from daemon.model import errors
from daemon.model.checking import Subject

FIELDS = (
    "namespace", "name", "workload", "primary", "service", "canary_service", "primary_service", "revision", "template",
    "weight", "window",
)  # fmt: skip
"""``namespace`` is where the pods are; ``primary`` is the stable workload; ``revision`` is Flagger's, empty
while it has none yet (at confirm-rollout), ``template`` the hash of what is being released;
``weight`` is percent, ``window`` a duration of Prometheus (``90s``)."""

_SAMPLE = dict.fromkeys(FIELDS, "x") | {"weight": "5", "window": "60s"}
_SAFE = re.compile(r"[A-Za-z0-9._-]{0,253}")
# A word of ours, with or without a further dollar sign in front that keeps it from being filled.
_NAMES = "|".join(FIELDS)
_KNOWN = re.compile(rf"(?P<kept>\$)?\$(?:\{{(?P<braced>{_NAMES})\}}|(?P<named>{_NAMES})(?![A-Za-z0-9_]))")

_DEEPEST, _MOST = 60, 5_000
"""Levels, and values, of a document: what is written by hand has less, and aliases of YAML can make more of little."""


def checked(template: str) -> str:
    """The same; ValueError when something in it cannot be filled."""
    wanted = string.Template(template)
    if not wanted.is_valid():
        raise ValueError("a $ that stands for itself must be written $$")
    unknown = set(wanted.get_identifiers()) - set(FIELDS)
    if unknown:
        raise ValueError(f"unknown field ${min(unknown)}; expected some of {', '.join(FIELDS)}")
    return template


def _checked_url(template: str) -> str:
    http_url(string.Template(checked(template)).substitute(_SAMPLE))
    return template


def _checked_document(document: Any) -> Any:
    for text in _texts(document, 0):
        checked(text)
    return document


Template = Annotated[str, pydantic.Field(min_length=1), pydantic.AfterValidator(checked)]
"""A text with fields to be filled in."""

UrlTemplate = Annotated[str, pydantic.AfterValidator(_checked_url)]
"""An http or https URL with fields to be filled in."""

DocumentTemplate = Annotated[Any, pydantic.AfterValidator(_checked_document)]
"""A text, or JSON with fields to be filled in within its strings."""


def values(subject: Subject) -> dict[str, str]:
    """What the fields are filled with. Raises Refused for a name that is none of Kubernetes'."""
    canary = subject.canary
    found = {
        "namespace": canary.workload_namespace,
        "name": canary.ref.name,
        "workload": canary.workload,
        "primary": canary.primary_workload,
        "service": canary.service,
        "canary_service": canary.canary_service,
        "primary_service": canary.primary_service,
        "revision": canary.revision,
        "template": subject.template,
        "weight": f"{subject.weight:g}",
        "window": duration(subject.window),
    }
    for field, value in found.items():
        if not _SAFE.fullmatch(value):
            raise errors.Refused(f"${field} cannot be filled in: expected letters, digits and .-_ only, got {value!r}")
    return found


def duration(seconds: float) -> str:
    """As Prometheus writes it; never nothing."""
    milliseconds = max(1, math.ceil(seconds * 1000))
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def fill(template: str, subject: Subject) -> str:
    """A template that was ``checked``."""
    return string.Template(template).substitute(values(subject))


def fill_sample(template: str) -> str:
    """Filled with something, to see at the start whether the rest is right."""
    return string.Template(template).substitute(_SAMPLE)


def fill_document(document: Any, subject: Subject) -> Any:
    """JSON whose strings are templates that were ``checked``; keys stay as they are."""
    known = values(subject)
    return _mapped(document, lambda text: string.Template(text).substitute(known), _Count())


def fill_known(document: Any, known: Mapping[str, str]) -> Any:
    """A document of somebody else's, in which a shell may have dollar signs of its own: only our fields are filled.

    ``$$name`` stays, as ``$name``. Raises ValueError for a document that is too large or leads back into itself.
    """

    def filled(found: re.Match[str]) -> str:
        return found.group()[1:] if found["kept"] else known[found["braced"] or found["named"]]

    return _mapped(document, lambda text: _KNOWN.sub(filled, text), _Count())


class _Count:
    """How many values were seen."""

    def __init__(self) -> None:
        self.seen = 0

    def one_more(self, depth: int) -> None:
        self.seen += 1
        if self.seen > _MOST or depth > _DEEPEST:
            raise ValueError(f"expected at most {_MOST} values on {_DEEPEST} levels")


def _mapped(document: Any, change: Any, count: _Count, depth: int = 0) -> Any:
    count.one_more(depth)
    if isinstance(document, str):
        return change(document)
    if isinstance(document, Mapping):
        return {key: _mapped(value, change, count, depth + 1) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [_mapped(value, change, count, depth + 1) for value in document]
    return document


def _texts(document: Any, depth: int) -> list[str]:
    found: list[str] = []

    def keep(text: str) -> str:
        found.append(text)
        return text

    _mapped(document, keep, _Count(), depth)
    return found
