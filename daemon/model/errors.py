"""Our own errors: what the world did to us, said in the words of this house.

The family::

    PullbackError
    ├── NeighbourError            a call to the outside did not do what was asked
    │   ├── Unreachable           no answer in time, refused, reset, 5xx: try again
    │   ├── Throttled             429: try again after ``retry_after`` seconds
    │   ├── Conflict              409, or a failed JSON-Patch ``test`` (422): look again, plan again
    │   ├── Gone                  410: the watch window has moved on, list again
    │   ├── Missing               404: the object, or the whole kind, is not there
    │   ├── AlreadyThere          409 AlreadyExists on create
    │   └── Refused               401, 403, 422 by validation or admission: the same call will not pass
    └── NotDurable                the intent could not be written down: the sender must come again

Adapters raise these with the foreign error as their cause; nobody above an adapter knows an HTTP status.
"""


class PullbackError(Exception):
    """The root of the family."""


class NeighbourError(PullbackError):
    """A call to a neighbour failed; the message names the neighbour and what was asked of it."""


class Unreachable(NeighbourError):
    """No usable answer: time ran out, the connection broke, or the neighbour said 5xx."""


class Throttled(NeighbourError):
    """The neighbour asked for a pause of ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Conflict(NeighbourError):
    """Somebody else wrote in between."""


class Gone(NeighbourError):
    """The resource version asked for is no longer kept."""


class Missing(NeighbourError):
    """The object, or its kind, does not exist there."""


class AlreadyThere(NeighbourError):
    """An object of that name exists already."""


class Refused(NeighbourError):
    """The neighbour understood and said no: permission, admission or validation."""


class NotDurable(PullbackError):
    """An intent is not written down yet, so the sender must not be told that it is."""


class ConfigurationError(PullbackError):
    """The configuration cannot be used; the message names file, field and what was expected."""
