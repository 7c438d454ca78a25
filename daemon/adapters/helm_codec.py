"""A revision of a Helm release as the Secret that Helm 3 and 4 keep it in, both ways.

``data.release`` is base64 (Kubernetes') of base64 (Helm's) of gzip of JSON. Name and labels are what Helm finds it by;
it reads number and state from the labels where it only counts, and from the JSON where it acts, so both are written.
"""

import base64
import binascii
import datetime
import gzip
import json
import zlib
from collections.abc import Mapping
from typing import Any

from daemon.model import errors

SECRET_TYPE = "helm.sh/release.v1"  # noqa: S105 - a type, not a secret
OWNED = "owner=helm,name={},status!=superseded"
"""Label selector of a release's revisions that Helm may still go by."""
SYSTEM_LABELS = frozenset({"name", "owner", "status", "version", "createdAt", "modifiedAt"})
"""Helm's own; all others are the user's (``helm upgrade --labels``), and go along from revision to revision."""

_GZIP = b"\x1f\x8b"
_LARGEST = 16 * 1024 * 1024
"""Bytes of JSON: a Secret is 1 MiB at most, but what is compressed in it may be anything."""


def secret_name(release: str, number: int) -> str:
    """What makes two writers of one revision collide."""
    return f"sh.helm.release.v1.{release}.v{number}"


def decode(secret: Mapping[str, Any]) -> dict[str, Any]:
    """The release's JSON. Raises Refused when the Secret holds none: trying again does not change it."""
    name = str((secret.get("metadata") or {}).get("name", ""))
    try:
        raw = base64.b64decode(base64.b64decode((secret.get("data") or {})["release"]), validate=True)
        # Releases from before Helm compressed them are read by Helm too.
        body = json.loads(_unpacked(raw) if raw.startswith(_GZIP) else raw)
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error, RecursionError) as problem:
        raise errors.Refused(f"Secret {name}: no release that Helm could have written: {problem}") from problem
    if not isinstance(body, dict):
        raise errors.Refused(f"Secret {name}: no release that Helm could have written: not a JSON object")
    return body


def encode(body: Mapping[str, Any]) -> str:
    """The value of ``data.release``."""
    packed = gzip.compress(json.dumps(body, separators=(",", ":")).encode(), mtime=0)
    return base64.b64encode(base64.b64encode(packed)).decode()


def labelled(body: Mapping[str, Any], labels: Mapping[str, str], stamp: str, at: datetime.datetime) -> dict[str, str]:
    """Labels of the Secret: the user's among ``labels``, and Helm's own. ``stamp``: ``createdAt`` or ``modifiedAt``."""
    users = {key: value for key, value in labels.items() if key not in SYSTEM_LABELS}
    return users | {
        stamp: str(int(at.timestamp())),
        "name": str(body["name"]),
        "owner": "helm",
        "status": str(body["info"]["status"]),
        "version": str(body["version"]),
    }


def number(secret: Mapping[str, Any]) -> int:
    """Of the revision; 0 for what Helm has not written."""
    said = str(((secret.get("metadata") or {}).get("labels") or {}).get("version", ""))
    return int(said) if said.isascii() and said.isdigit() and len(said) < 10 else 0


def status(secret: Mapping[str, Any]) -> str:
    """Helm's word."""
    return str(((secret.get("metadata") or {}).get("labels") or {}).get("status", ""))


def _unpacked(raw: bytes) -> bytes:
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    found = unpacking.decompress(raw, _LARGEST)
    if unpacking.unconsumed_tail:
        raise ValueError(f"more than {_LARGEST >> 20} MiB")
    if not unpacking.eof:
        raise ValueError("cut off")
    return found
