"""What was kept of a canary before its pods went away."""

import dataclasses
import datetime


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
