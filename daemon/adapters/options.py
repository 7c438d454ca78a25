"""What the options of everything that is found by its kind have in common: channels and checks."""

import re
import urllib.parse
from typing import Annotated, Any

import pydantic

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\s*$")
_UNITS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}


def seconds(value: Any) -> Any:
    """``500ms``, ``10s``, ``2m`` in seconds; what is no text stays as it is. Raises ValueError."""
    if not isinstance(value, str):
        return value
    found = _DURATION.match(value)
    if found is None:
        raise ValueError(f"expected a duration such as 10s or 500ms, got {value!r}")
    return float(found[1]) * _UNITS[found[2]]


def http_url(value: str) -> str:
    """The same; ValueError when it is no http or https URL that can be called."""
    # The value is not repeated in the message: it may be a secret as a whole.
    expected = "expected an http or https URL with a host and without a fragment"
    try:
        url = urllib.parse.urlsplit(value)
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0 and not url.fragment
    except ValueError:
        raise ValueError(expected) from None
    if not usable or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(expected)
    return value


HttpUrl = Annotated[str, pydantic.AfterValidator(http_url)]
"""An http or https URL, as it is written."""


class KindOptions(pydantic.BaseModel):
    """The options of one entry; an unknown one stops the start."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
