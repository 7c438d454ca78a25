"""The three kinds of destinations that any routing object can have, seen from one canary."""

import enum


class Side(enum.Enum):
    """``OTHER`` is somebody whose traffic is not ours to move."""

    CANARY = "canary"
    STABLE = "stable"
    OTHER = "other"
