"""What the options of all channels have in common."""

import re
import urllib.parse
from typing import Annotated, Any

import pydantic

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m)?\s*$")
_UNITS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0}


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = _DURATION.match(value)
    if found is None:
        raise ValueError(f"expected a duration such as 10s or 500ms, got {value!r}")
    return float(found[1]) * _UNITS[found[2]]


def _http_url(value: str) -> str:
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


Timeout = Annotated[
    float, pydantic.BeforeValidator(_seconds), pydantic.Field(gt=0, le=60, allow_inf_nan=False, strict=True)
]
"""Seconds, as a number or as ``500ms``, ``10s``; at most a minute, since other channels' turns may wait for it."""

HttpUrl = Annotated[str, pydantic.AfterValidator(_http_url)]
"""An http or https URL, as it is written."""


class ChannelOptions(pydantic.BaseModel):
    """The options of one channel; an unknown one stops the start."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
