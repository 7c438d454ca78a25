"""Private keys in PEM, the one secret that spans lines: hidden whole, also where only half of one is left."""

import re

REDACTED = "[redacted]"

_LABEL = r"(?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_BEGIN = re.compile(f"-----BEGIN {_LABEL}")
_END = re.compile(f"-----END {_LABEL}")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]+[\"',\\]{0,3}")
_LONGEST = 200
"""Lines of a key: an RSA key of 16384 bits has 199."""

_CERTAIN = 40
"""Characters of base64 that make a line part of a key when nothing else says so."""


def hide(lines: list[str], *, headless: bool) -> list[str]:
    """The lines without what is in, or looks like the rest of, a private key.

    ``headless``: the text may begin in the middle of one, so what looks like one at its very beginning is hidden.
    """
    found: list[str] = []
    rest = _without_head(lines) if headless else list(lines)
    at = 0
    while at < len(rest):
        line = rest[at]
        begin, end = _BEGIN.search(line), _END.search(line)
        if end and (begin is None or end.start() < begin.start()):
            _take_back(found)
            rest[at] = REDACTED + line[end.end() :]
        elif begin and (end := _END.search(line, begin.end())):
            rest[at] = line[: begin.start()] + REDACTED + line[end.end() :]
        elif begin:
            found.append(line[: begin.start()] + REDACTED)
            at = _after(rest, at + 1)
        else:
            found.append(line)
            at += 1
    return found


def _without_head(lines: list[str]) -> list[str]:
    length = 0
    while length < len(lines) and _looks_like_body(lines[length], _CERTAIN):
        length += 1
    return [REDACTED, *lines[length:]] if length else list(lines)


def _take_back(found: list[str]) -> None:
    """An end whose beginning was cut off: what comes before it was the key. Its last line may be short."""
    least = 1
    while found and least < _LONGEST and _looks_like_body(found[-1], 1 if least == 1 else 16):
        found.pop()
        least += 1


def _after(rest: list[str], at: int) -> int:
    """Where it goes on after a key whose first line was before ``at``; what follows its end stays."""
    for index in range(at, min(len(rest), at + _LONGEST)):
        if end := _END.search(rest[index]):
            rest[index] = rest[index][end.end() :]
            return index if rest[index].strip() else index + 1
    while at < len(rest) and _looks_like_body(rest[at], 16):
        at += 1
    return at


def _looks_like_body(line: str, least: int) -> bool:
    # A logger may have put its own words in front of each line.
    words = line.rsplit(maxsplit=1)
    return bool(words) and len(words[-1]) >= least and _BASE64.fullmatch(words[-1]) is not None
