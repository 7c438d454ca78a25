"""What all groups of settings have in common."""

import re
from typing import Annotated, Any

import pydantic

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str) -> float:
    """``250ms``, ``30s``, ``5m``, ``1h``, ``30d`` or a plain number. Raises ValueError saying what was expected."""
    found = _DURATION.match(text)
    if found is None:
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"expected a duration such as 30s, 5m or 250ms, got {text!r}") from None
    return float(found[1]) * _UNITS[found[2]]


def _seconds(value: Any) -> Any:
    return seconds(value) if isinstance(value, str) else value


Seconds = Annotated[float, pydantic.BeforeValidator(_seconds), pydantic.Field(ge=0, allow_inf_nan=False)]
"""Seconds, as a number or as ``250ms``, ``30s``, ``5m``, ``1h``, ``30d``."""


class Group(pydantic.BaseModel):
    """One group of settings."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
