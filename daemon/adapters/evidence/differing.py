"""What the canary's pods are made of, against the primary's: a diff of YAML that holds no secrets."""

import asyncio
import difflib
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

import yaml

from daemon.adapters.evidence.redacting import Redactor

_TEMPLATE_MOST = 256 * 1024  # bytes of JSON: more would take seconds to write as YAML and to compare
_COMMANDS = frozenset({"args", "command"})
_AS_IT_IS = frozenset({"image"})  # a tag after a colon looks like the value of a password to a pattern


async def differences(primary: Mapping[str, Any] | None, canary: Mapping[str, Any] | None, redactor: Redactor) -> str:
    """Unified diff from the primary's pod template to the canary's, values redacted.

    A redacted value carries a mark (``#1a2b``): the same within one diff means the same value, so that a changed
    secret still shows; the key of the marks is forgotten. References to secrets are shown, never followed.
    """
    if any(len(json.dumps(template)) > _TEMPLATE_MOST for template in (primary, canary) if template is not None):
        return "the pod templates are too large to be compared\n"
    # Pure Python and slow: in a thread, so that nothing waits for it.
    return await asyncio.to_thread(_compared, primary, canary, _Cleaner(redactor))


def _compared(primary: Mapping[str, Any] | None, canary: Mapping[str, Any] | None, cleaner: "_Cleaner") -> str:
    before, after = (_written(template, cleaner) for template in (primary, canary))
    lines = list(difflib.unified_diff(before, after, "primary", "canary", n=5, lineterm=""))
    if primary is None or canary is None:
        lines.insert(0, f"# the {'primary' if primary is None else 'canary'} was not there to be compared")
    return "\n".join(lines or ["the pod templates do not differ"]) + "\n"


def _written(template: Mapping[str, Any] | None, cleaner: "_Cleaner") -> list[str]:
    if template is None:
        return []
    text: str = yaml.dump(cleaner.cleaned(template), Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=4096)
    return text.splitlines()


class _Cleaner:
    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._key = secrets.token_bytes(16)

    def cleaned(self, value: Any, field: str = "") -> Any:
        """The same with every text redacted; ``field`` is the name under which it stands."""
        if isinstance(value, Mapping):
            return self._mapping(value, field)
        if isinstance(value, list):
            return self._words(value) if field in _COMMANDS else [self.cleaned(one, field) for one in value]
        if isinstance(value, str) and field not in _AS_IT_IS:
            return self._marked(value, self._redactor.text(value))
        return value

    def _mapping(self, value: Mapping[str, Any], field: str) -> dict[str, Any]:
        name, given = value.get("name"), value.get("value")
        if isinstance(name, str) and isinstance(given, str):  # environment, headers
            rest = {key: self.cleaned(one, key) for key, one in value.items() if key != "value"}
            return {**rest, "value": self._marked(given, self._redactor.value(name, given))}
        if field == "annotations":
            return {key: self._marked(str(one), self._redactor.value(key, str(one))) for key, one in value.items()}
        return {str(key): self.cleaned(one, str(key)) for key, one in value.items()}

    def _words(self, words: list[Any]) -> list[Any]:
        """A command: what follows a flag is its value."""
        found: list[Any] = []
        flag = ""
        for word in words:
            if not isinstance(word, str):
                found.append(word)
            elif flag and not word.startswith("-"):
                found.append(self._marked(word, self._redactor.value(flag, word)))
            else:
                found.append(self.cleaned(word))
            flag = word if isinstance(word, str) and word.startswith("-") and "=" not in word else ""
        return found

    def _marked(self, value: str, cleaned: str) -> str:
        if cleaned == value or "[redacted]" not in cleaned:
            return cleaned
        mark = hmac.new(self._key, value.encode(errors="replace"), hashlib.sha256).hexdigest()[:4]
        return f"{cleaned} #{mark}"


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, so that a changed line is one line of the diff; no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)
