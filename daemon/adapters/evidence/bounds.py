"""How much is kept: a ConfigMap takes 1 MiB, and whoever reads it at night has little time."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """``pods`` are looked at; of each container's log ``log_lines`` and ``log_bytes``, the last ones; ``total_bytes``
    of all texts together; ``events``, the last ones."""

    pods: int = 5
    log_lines: int = 200
    log_bytes: int = 32_768
    total_bytes: int = 512 * 1024
    events: int = 100
