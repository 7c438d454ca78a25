"""The real clock and real chance: the only place that asks the machine for either."""

import datetime
import random


class SystemClock:
    """Keeps ``ports.Clock``."""

    def now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)


class SystemChance:
    """Keeps ``ports.Chance``."""

    def between(self, low: float, high: float) -> float:
        return random.uniform(low, high)  # noqa: S311 - jitter, not a secret
