"""Durations as Prometheus, Alertmanager and Go write them, in seconds and back."""

import re
from typing import Any

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdwy])")


def seconds(given: Any, default: float) -> float:
    """``1m30s`` is 90; a bare number counts as seconds. What cannot be read, or is not there, is the default."""
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given)
    text = str(given).strip() if given is not None else ""
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return default
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def said(duration: float) -> str:
    """``90s`` is 1m30s; half seconds are kept."""
    if duration < 60 or duration != int(duration):
        return f"{duration:g}s"
    parts = []
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        count, duration = divmod(int(duration), size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
