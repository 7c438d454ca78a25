"""Secrets are taken out of every text before it is cut and before it is written.

What is guaranteed: the default patterns read a line in time that grows no faster than its length squared, and no
line longer than ``LINE_MOST`` is shown to any pattern; between lines the event loop gets its turn; a text whose
redaction is not done in time is not kept at all. An operator's own pattern that repeats a repeat, such as
``(a+)+``, is refused by ``compiled``, because it may take for ever on one line. What is not guaranteed: that every
secret is known for one. Keep secrets out of logs.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence

from daemon.adapters.evidence import private_keys
from daemon.adapters.evidence.private_keys import REDACTED
from daemon.model import errors

LINE_MOST = 8192
"""Characters of a line that are kept."""

_TURN = 16_384
"""Characters between two turns of the event loop: some milliseconds."""

_NAMES = (
    "passw(?:or)?d|passphrase|pwd|secret|token|credentials?|api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key"
    "|account[_-]?key|[_-]pass|(?-i:[a-z0-9]Pass)|encryption[_-]?key|session[_-]?id|client[_-]?secret|connection[_-]?string"
)
_SUFFIX = r"(?:[_-]?(?:key|value|id|hash|data|text|v?\d{1,4}))?"
_SHELL_NAMES = "PASSW(?:OR)?D|PASSPHRASE|PWD|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY"
# Quoted, quoted within a quoted text, a number, or everything up to the next space.
_VALUE = (
    r"(?P<secret>(?<=\")(?:[^\"\\]|\\.){1,8192}|(?<=')(?:[^'\\]|\\.){1,8192}"
    r"|(?<![\"'])(?:\\{1,7}\"[^\"]{0,8192}|-?\d{1,40}(?=[,}\]\s]|$)|[^\s\"'\\][^\s\"']{0,8191}))"
)

DEFAULT_PATTERNS: tuple[str, ...] = (
    r"(?i)\bauthorization\\{0,7}[\"']?\s{0,3}[:=]\s{0,3}\[?(?:\\{0,7}[\"'])?(?P<secret>[^\"']{1,8192})",
    r"(?i)\bcookie\\{0,7}[\"']?\s{0,3}[:=]\s{0,3}\[?(?:\\{0,7}[\"'])?(?P<secret>[^\"']{1,8192})",
    r"(?i)\bbearer\s{1,3}(?P<secret>[A-Za-z0-9._~+/=-]{6,})",
    r"(?i)\bbasic\s{1,3}(?P<secret>[A-Za-z0-9+/=]{12,})",
    r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]{2,})(?:\.[A-Za-z0-9_-]{0,8192})?",
    r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b",
    r"\bgh[opsur]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}",
    r"\bhv[bsr]\.[A-Za-z0-9_-]{20,}|\bnpm_[A-Za-z0-9]{30,}",
    r"(?i)[?&](?:x-amz-)?sig(?:nature)?=(?P<secret>[^\s&\"']{1,8192})",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bAIza[A-Za-z0-9_-]{35}|\b[rs]k[-_][A-Za-z0-9_-]{16,}",
    r"hooks\.slack\.com/[a-z]{1,16}/(?P<secret>[A-Za-z0-9/_-]{8,})",
    r"://(?P<secret>[^\s/\"'<>]{1,512})@",
    # password=…, "token": "…", apiKey: …, and in the middle of other names only where a shell would write them.
    rf"(?i)(?:{_NAMES}){_SUFFIX}\\{{0,7}}[\"']?\s{{0,8}}(?:=>|[:=])\s{{0,8}}[\"']?{_VALUE}",
    rf"(?:{_SHELL_NAMES})[A-Z0-9_]{{1,64}}=[\"']?{_VALUE}",
    rf"(?i)(?<![\w-])--?[\w-]{{0,64}}(?:{_NAMES})\s{{1,3}}[\"']?(?P<secret>[^\s\"'-][^\s\"']{{0,8191}})",
)
"""Where a pattern has a group named ``secret``, only that is taken out, else the whole match."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]{0,32}[ -/]{0,8}[@-~]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_DELIMITER = re.compile(r"[\s,;&\"'}\])]")
_PROBE = "x0x0x0x0x0x0"


class TooSlow(Exception):  # noqa: N818 - said in raise statements
    """A text could not be redacted in time: it must not be kept."""


class Redactor:
    """``patterns`` are applied in their order to each line; private keys are always hidden first."""

    def __init__(self, patterns: Sequence[re.Pattern[str]]) -> None:
        self._patterns = tuple(patterns)

    def text(self, text: str) -> str:
        """A short text, redacted in one go."""
        return "\n".join(map(self._line, private_keys.hide(plain(text).split("\n"), headless=False)))

    async def long_text(self, text: str, *, until: float, headless: bool = False) -> str:
        """A text of any length; ``headless`` says that its beginning is cut off.

        Raises TooSlow when that is not done by ``until``, in seconds of the event loop's clock.
        """
        loop = asyncio.get_running_loop()
        done: list[str] = []
        since = 0
        for line in private_keys.hide(plain(text).split("\n"), headless=headless):
            if loop.time() > until:
                raise TooSlow("redacting took too long")
            done.append(self._line(line))
            since += len(line)
            if since > _TURN:
                since = 0
                await asyncio.sleep(0)
        return "\n".join(done)

    def value(self, name: str, value: str) -> str:
        """The value of a variable, header or flag: hidden whole where the name says so."""
        if any(pattern.search(name) for pattern in self._patterns) or self._line(f"{name}={_PROBE}").endswith(REDACTED):
            return REDACTED
        head = f"{name}="
        cleaned = self.text(head + value)
        return cleaned.removeprefix(head) if cleaned.startswith(head) else REDACTED

    def _line(self, line: str) -> str:
        kept, cut = _bounded(line)
        for pattern in self._patterns:
            kept = pattern.sub(_replacement, kept)
        return f"{kept} ... cut: {cut} more characters ..." if cut else kept


def plain(text: str) -> str:
    """What UTF-8, a ConfigMap and a terminal can take: no NUL, no colours, no lone surrogates, ``\\n`` alone."""
    lined = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", lined).encode(errors="replace").decode()


def compiled(patterns: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    """Raises ConfigurationError for what is no pattern, matches nothing at all, or may take for ever."""
    found = []
    for text in patterns:
        try:
            pattern = re.compile(text)
        except (re.error, RecursionError, OverflowError) as error:
            raise errors.ConfigurationError(f"not a regular expression: {text!r}: {error}") from error
        if pattern.search(""):
            raise errors.ConfigurationError(f"would redact everything, because it matches nothing at all: {text!r}")
        if text not in DEFAULT_PATTERNS and repeats_a_repeat(text):
            raise errors.ConfigurationError(f"may take for ever: it repeats what already varies in length: {text!r}")
        found.append(pattern)
    return tuple(found)


def _replacement(match: re.Match[str]) -> str:
    if "secret" not in match.re.groupindex:
        return REDACTED
    start, end = match.span("secret")
    if start < 0:
        return REDACTED
    whole, offset = match.group(), match.start()
    return whole[: start - offset] + REDACTED + whole[end - offset :]


def _bounded(line: str) -> tuple[str, int]:
    """As much of a line as is kept, and how many characters are not. It ends where no word is cut in half."""
    if len(line) <= LINE_MOST:
        return line, 0
    near = LINE_MOST - 1024
    ends = [found.start() for found in _DELIMITER.finditer(line, near, LINE_MOST)]
    at = ends[-1] if ends else near
    return line[:at], len(line) - at


_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<open>\((?:\?(?:P<\w+>|P=\w+|[<=!:>#a-zA-Z-]+))?)|(?P<close>\))"
    r"|(?P<many>[*+]|\{\d*,\}|\{\d*,?\d{2,}\})|(?P<vary>\||\?|\{\d*,\d+\})|.",
    re.DOTALL,
)


def repeats_a_repeat(text: str) -> bool:
    """Whether a group whose length varies is repeated: ``(a+)+``, ``(a|aa)*``. Errs on the side of yes."""
    varies = [False]
    closed = False
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "many" and closed:
            return True
        closed = False
        if kind == "open":
            varies.append(False)
        elif kind == "close" and len(varies) > 1:
            closed = varies.pop()
            varies[-1] = varies[-1] or closed
        elif kind in {"many", "vary"}:
            varies[-1] = True
    return False
