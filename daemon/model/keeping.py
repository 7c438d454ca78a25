"""What was kept of a canary before its pods went away."""

import dataclasses
import datetime
import hashlib

LONGEST = 253
"""Of an object name (RFC 1123 subdomain), and of a key in a ConfigMap."""


@dataclasses.dataclass(frozen=True, slots=True)
class KeptEvidence:
    """Where it can be read, and what is not in it.

    ``config_map`` is the name of a ConfigMap in the rollback's namespace, ``pods`` how many pods it tells of;
    ``missing`` names everything that could not be read in time, one entry each.
    """

    config_map: str
    at: datetime.datetime
    pods: int
    missing: tuple[str, ...]


def evidence_name(record: str) -> str:
    """``<record>-evidence``, of the ConfigMap: known before there is one, so that it can be told from the start."""
    return fitting(record, "-evidence")


def fitting(name: str, suffix: str) -> str:
    """Both together; a name too long for that is cut and told from others by a hash."""
    if len(name) + len(suffix) <= LONGEST:
        return name + suffix
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: LONGEST - len(suffix) - len(mark) - 1].rstrip('-.')}-{mark}{suffix}"
