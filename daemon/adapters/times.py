"""Times as Kubernetes, Flagger and Alertmanager write them (RFC 3339, up to nanoseconds), read and written."""

import datetime


def read(text: object) -> datetime.datetime | None:
    """UTC, cut to microseconds; None for nothing, for Go's zero time (year 1), and for what is no time."""
    if not isinstance(text, str) or not text:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.year <= 1:
            return None
        return moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return None


def write(moment: datetime.datetime) -> str:
    """RFC 3339 with microseconds and ``Z``, which the API server accepts as ``date-time``."""
    return moment.astimezone(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
