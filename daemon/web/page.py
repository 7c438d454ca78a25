"""HTML, built as a tree: what is put into it is text, whatever stands in it. No script, nothing from elsewhere."""

import base64
import hashlib
import importlib.resources
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from aiohttp import web

Element = ElementTree.Element

_STYLE = importlib.resources.files("daemon.web").joinpath("console.css").read_text(encoding="utf-8")
_ALLOWED = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_ALLOWED}'; base-uri 'none'; "
                               "form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}  # fmt: skip


def element(name: str, /, *content: Element | str, **attributes: str) -> Element:
    """One with this content in this order. A trailing underscore of an attribute's name is left out (``class_``)."""
    made = Element(name, {key.rstrip("_"): value for key, value in attributes.items()})
    for part in content:
        if isinstance(part, Element):
            made.append(part)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + part
        else:
            made.text = (made.text or "") + part
    return made


def table(columns: Sequence[str], rows: Iterable[Sequence[Element | str]]) -> Element:
    head = element("tr", *(element("th", name, scope="col") for name in columns))
    body = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    return element("div", element("table", element("thead", head), element("tbody", *body)), class_="wide")


def terms(pairs: Iterable[tuple[str, Element | str]]) -> Element:
    """Names and what is said of them; those of which nothing is said are left out."""
    parts = [part for name, said in pairs if isinstance(said, Element) or said
             for part in (element("dt", name), element("dd", said))]  # fmt: skip
    return element("dl", *parts)


def answer(title: str, content: Iterable[Element], *, again: int) -> web.Response:
    """The whole page, which asks for itself every ``again`` seconds."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", **{"http-equiv": "refresh", "content": str(again)}),
        element("title", title),
        element("style", _STYLE),
    )
    tree = element("html", head, element("body", *content), lang="en")
    text = "<!DOCTYPE html>\n" + ElementTree.tostring(tree, encoding="unicode", method="html") + "\n"
    return web.Response(text=text, content_type="text/html", charset="utf-8", headers=_HEADERS)
