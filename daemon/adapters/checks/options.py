"""What the options of all checks have in common."""

import enum
import pathlib
import re
import ssl
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from daemon.adapters.evidence.redacting import repeats_a_repeat
from daemon.adapters.options import KindOptions, seconds

GRACE = 5.0
"""Seconds that a run may take on top of its own timeout, so that the check itself can say what it waited for."""


def _patient(pattern: re.Pattern[str]) -> re.Pattern[str]:
    if repeats_a_repeat(pattern.pattern):
        raise ValueError("may take for ever: it repeats what already varies in length")
    return pattern


def _trusted(path: pathlib.Path) -> pathlib.Path:
    try:
        ssl.create_default_context(cafile=str(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a readable file with certificates in PEM: {error}") from error
    return path


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Seconds = Annotated[
    float, pydantic.BeforeValidator(seconds), pydantic.Field(gt=0, le=86_400, allow_inf_nan=False, strict=True)
]
"""Seconds, as a number or as ``500ms``, ``10s``, ``15m``; at most a day."""

Number = Annotated[float, pydantic.Field(allow_inf_nan=False)]

Regex = Annotated[re.Pattern[str], pydantic.AfterValidator(_patient)]
"""A regular expression that cannot run for ever on a text of bounded length."""

CaFile = Annotated[pathlib.Path, pydantic.AfterValidator(_trusted)]
"""Certificates to trust in place of the system's, in PEM."""

Texts = Annotated[tuple[str, ...], pydantic.BeforeValidator(_as_list)]
"""One text, or a list of them."""


class Unknown(enum.StrEnum):
    """What a check says when there is nothing to judge by."""

    UNDECIDED = "undecided"
    PASS = "pass"  # noqa: S105 - a word of the configuration
    FAIL = "fail"


class CheckOptions(KindOptions):
    """The options of one check."""

    once: bool = True
    """Whether a pass holds for the revision for ever, or must be seen again and again."""


def trust(ca_file: pathlib.Path | None, *, verify: bool = True) -> ssl.SSLContext | bool:
    """What aiohttp takes as ``ssl``. The file is read anew, since it may be exchanged. Raises OSError."""
    if not verify:
        return False
    return True if ca_file is None else ssl.create_default_context(cafile=str(ca_file))


def exactly_one(given: Mapping[str, Any]) -> None:
    """Raises ValueError unless one of these options is there, and no other."""
    if sum(value is not None for value in given.values()) != 1:
        raise ValueError(f"expected exactly one of {', '.join(given)}")
