"""The dead man's switch: Alertmanager's always-firing alert must keep coming, or the road to us is cut."""

import asyncio


class Watchdog:
    """When the heartbeat was last heard; counted from the start while it never was."""

    def __init__(self, *, expected: bool, late: float) -> None:
        """``late``: seconds after which silence is worth a warning. Not ``expected``: never."""
        self._expected = expected
        self._late = late
        self._last = asyncio.get_running_loop().time()
        self._heard = False

    def heard(self) -> None:
        self._last, self._heard = asyncio.get_running_loop().time(), True

    def age(self) -> float | None:
        """Seconds of silence; None when no heartbeat is expected."""
        return asyncio.get_running_loop().time() - self._last if self._expected else None

    def warning(self) -> str:
        """Empty when all is well, else one line."""
        age = self.age()
        if age is None or age <= self._late:
            return ""
        # Each beat comes to one of several replicas, by the Service's die: silence here may be another's turn.
        since = "last came to this replica" if self._heard else "has never come to this replica since the start,"
        return f"Watchdog alert {since} {age:.0f} s ago: unless others hear it, alerts do not reach us"
