"""Files become documents that know their lines: YAML with several documents, and the fences of Markdown.

Nothing is guessed: a file that cannot be read stops the examination with its name and the line.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from daemon.model import errors

Path = tuple[str | int, ...]

_FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<ticks>`{3,}|~{3,})[ \t]*(?P<language>[A-Za-z0-9_+-]*)")
_MARKDOWN = frozenset({".md", ".markdown", ".mdx"})
_YAML = frozenset({"yaml", "yml"})
_SHELL = frozenset({"bash", "sh", "shell", "zsh", "console"})


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """One YAML document. ``lines`` says where each value begins; ``source`` is a file, or what was asked."""

    source: str
    data: Any
    lines: Mapping[Path, int] = dataclasses.field(default_factory=dict)

    @property
    def kind(self) -> str:
        return str(self.data.get("kind") or "") if isinstance(self.data, Mapping) else ""

    @property
    def name(self) -> str:
        return str(self._metadata.get("name") or "")

    @property
    def namespace(self) -> str:
        return str(self._metadata.get("namespace") or "")

    @property
    def labels(self) -> Mapping[str, Any]:
        return self._map("labels")

    @property
    def annotations(self) -> Mapping[str, Any]:
        return self._map("annotations")

    def _map(self, field: str) -> Mapping[str, Any]:
        found = self._metadata.get(field)
        return found if isinstance(found, Mapping) else {}

    @property
    def _metadata(self) -> Mapping[str, Any]:
        found = self.data.get("metadata") if isinstance(self.data, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def at(self, *path: str | int) -> str:
        """``file:line Kind name field``, with the line of the nearest value that has one."""
        place = self.source
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                place = f"{self.source}:{self.lines[path[:length]]}"
                break
        named = " ".join(filter(None, (self.kind, f"{self.namespace}/{self.name}".strip("/"))))
        return " ".join(filter(None, (place, named, spelled(path))))


@dataclasses.dataclass(frozen=True, slots=True)
class Script:
    """Shell commands, and the line of the file at which they begin."""

    source: str
    line: int
    text: str


def spelled(path: Path) -> str:
    """``spec.http[0].route``"""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def read(path: pathlib.Path) -> tuple[list[Document], list[Script]]:
    """Everything in the file that can be examined. Raises ConfigurationError naming file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise errors.ConfigurationError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise errors.ConfigurationError(f"{path}:{line}: not UTF-8") from error
    if path.suffix.lower() in _MARKDOWN:
        return _fences(str(path), text)
    if path.suffix.lower() in {".sh", ".bash"}:
        return [], [Script(str(path), 1, text)]
    return parse(str(path), text), []


def parse(source: str, text: str, first: int = 1) -> list[Document]:
    """The YAML documents of a text whose first line is line ``first`` of its source."""
    loader = yaml.SafeLoader(text)
    found = []
    try:
        while loader.check_node():
            node = loader.get_node()
            lines = dict(_lines(node, (), first))
            found += _unpacked(Document(source, loader.construct_document(node), lines))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + first if mark else first
        raise errors.ConfigurationError(f"{source}:{line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise errors.ConfigurationError(f"{source}:{first}: not YAML: {error}") from error
    finally:
        loader.dispose()
    return [one for one in found if one.data is not None]


def _unpacked(document: Document) -> list[Document]:
    """The objects of a list, as ``kubectl get -o yaml`` prints several; else the document itself."""
    items = document.data.get("items") if document.kind.endswith("List") else None
    if not isinstance(items, list):
        return [document]
    return [
        Document(document.source, item, {
            path[2:]: line for path, line in document.lines.items() if path[:2] == ("items", index)
        })
        for index, item in enumerate(items)
    ]  # fmt: skip


def _lines(node: Any, path: Path, first: int, within: frozenset[int] = frozenset()) -> Iterator[tuple[Path, int]]:
    if id(node) in within:
        return  # an alias of what it stands in
    yield path, node.start_mark.line + first
    inner = within | {id(node)}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield from _lines(value, (*path, key.value), first, inner)
                yield (*path, key.value), key.start_mark.line + first
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*path, index), first, inner)


def _fences(source: str, text: str) -> tuple[list[Document], list[Script]]:
    documents: list[Document] = []
    scripts: list[Script] = []
    for language, line, body in _blocks(text):
        if language in _YAML:
            documents += parse(source, body, line)
        elif language in _SHELL:
            scripts.append(Script(source, line, body))
    return documents, scripts


def _blocks(text: str) -> Iterator[tuple[str, int, str]]:
    """Language, number of the first line, and body of every fence."""
    opened: re.Match[str] | None = None
    body: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None:
            opened, body = fence, []
        elif fence and fence["ticks"].startswith(opened["ticks"]) and not fence["language"]:
            yield opened["language"].lower(), number - len(body), "\n".join(body)
            opened = None
        else:
            # A fence in a list is indented, and so is what stands in it.
            body.append(line.removeprefix(opened["indent"]))
