"""Plain text of any origin, made fit to be sent: cleaned and cut."""

import re

ELLIPSIS = "…"

# Control characters but line breaks and tabs, and those that turn the reading direction of everything after them,
# so that a line shows other words than it holds.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Without what cannot be seen (but line breaks and tabs), and with nothing that UTF-8 cannot carry."""
    return _UNSEEN.sub("", text).encode("utf-8", "replace").decode("utf-8")


def line(text: str) -> str:
    """Cleaned, on one line."""
    return " ".join(clean(text).split())


def units(text: str) -> int:
    """The length in UTF-16 code units: the longest way in which any of the vendors counts characters."""
    return len(text.encode("utf-16-le")) // 2


def cut(text: str, limit: int) -> str:
    """At most ``limit`` UTF-16 code units; what was cut ends in an ellipsis."""
    if units(text) <= limit:
        return text
    return text.encode("utf-16-le")[: 2 * (limit - 1)].decode("utf-16-le", "ignore") + ELLIPSIS
