"""The second brake: what is left when a route cannot be written."""

import enum


class SecondBrake(enum.StrEnum):
    """``rollback.second_brake``."""

    NONE = "none"
    DIVERT = "divert"
    """Point the canary's Service at the stable pods."""
    DIVERT_OR_SCALE = "divert-or-scale"
    """That; where it cannot be, take the canary's pods away: no answer, where a wrong one is worse."""
