"""Get and list: pages, selectors, tables, and one resourceVersion for the whole answer."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Mapping

from daemon.sandbox.kubernetes_api import selectors, tables, watching
from daemon.sandbox.kubernetes_api.scaling import scale_of
from daemon.sandbox.kubernetes_api.selectors import Matcher
from daemon.sandbox.kubernetes_api.statuses import ApiError, JsonObject, bad_request
from daemon.sandbox.kubernetes_api.storage import Storage, Stored, encode
from daemon.sandbox.kubernetes_api.targets import Target


def matcher_of(target: Target, query: Mapping[str, str]) -> Matcher | None:
    labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
    return selectors.matching(labels, fields, target.resource.plural)


def shown(target: Target, stored: Stored, accept: str, query: Mapping[str, str]) -> bytes:
    """One object, as the client asked to see it."""
    if target.subresource == "scale":
        return encode(scale_of(stored))
    if tables.wants_table(accept):
        metadata = {"resourceVersion": str(stored.revision)}
        include = query.get("includeObject", "Metadata")
        return encode(tables.table(target.resource, target.version, [stored], metadata, include))
    return stored.encoded(target.prefix)


def listed(storage: Storage, target: Target, query: Mapping[str, str], accept: str) -> bytes:
    """A whole collection, or the page of it that `limit` and `continue` say."""
    metadata: JsonObject = {"resourceVersion": str(storage.revision)}
    if token := query.get("continue"):
        found, metadata["resourceVersion"] = _continued(storage, token)
    else:
        asked = watching.revision_of(query)
        if asked > storage.revision:
            raise watching.too_large(asked, storage.revision)
        matcher = matcher_of(target, query)
        on_shelf = storage.shelf(target.resource.key).ordered(target.namespace)
        found = [s for _, s in on_shelf if matcher is None or matcher(s.value)]
    limit = _limit(query)
    if limit and len(found) > limit:
        page, rest = found[:limit], found[limit:]
        metadata |= {
            "continue": _save(storage, rest, metadata["resourceVersion"]),
            "remainingItemCount": len(rest),
        }
        found = page
    if tables.wants_table(accept):
        include = query.get("includeObject", "Metadata")
        return encode(tables.table(target.resource, target.version, found, metadata, include))
    return collection(target, found, metadata)


def collection(target: Target, found: list[Stored], metadata: JsonObject) -> bytes:
    kind = f"{target.resource.kind}List"
    # Typed items leave out their own kind and apiVersion; those of custom resources carry them.
    items = [s.encoded(target.prefix) if target.resource.custom else s.body for s in found]
    head = encode({"kind": kind, "apiVersion": target.api_version, "metadata": metadata})
    return head[:-1] + b',"items":[' + b",".join(items) + b"]}"


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", "")
    if text and not text.isdigit():
        raise bad_request(f"strconv.ParseInt: parsing {text!r}: invalid syntax")
    return int(text or 0)


def _save(storage: Storage, rest: list[Stored], revision: str) -> str:
    token = uuid.uuid4().hex
    storage.save_page(token, rest)
    payload = {"v": "meta.k8s.io/v1", "rv": revision, "start": token}
    return base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")


def _continued(storage: Storage, text: str) -> tuple[list[Stored], str]:
    """The rest of a list as it was when its first page was read."""
    try:
        payload = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        token, revision = str(payload["start"]), str(payload["rv"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise bad_request("continue key is not valid: illegal base64 data") from error
    rest = storage.page(token)
    if rest is None:
        why = "The provided continue parameter is too old to display a consistent list result."
        raise ApiError(410, "Expired", why)
    return rest, revision
