"""Several listeners as one. A listener that fails is told to the log, and never fails its speaker."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import structlog

from daemon import ports

_log = structlog.get_logger("pullback")


class Audience:
    """Hands every call on to each listener in turn."""

    def __init__(self, listeners: Sequence[ports.Observer]) -> None:
        self._listeners = listeners

    def __getattr__(self, name: str) -> Callable[..., None]:
        heard = [getattr(listener, name) for listener in self._listeners]

        def tell(*words: Any, **named: Any) -> None:
            for hear in heard:
                try:
                    hear(*words, **named)
                except Exception as error:  # noqa: BLE001 - telling must never stop a rollback (law 2)
                    _log.error("listener.failed", heard=name, exc_info=error)

        # Looked up once per name: telling is on the way of every alert.
        self.__dict__[name] = tell
        return tell


def gather(*listeners: ports.Observer) -> ports.Observer:
    """All listeners behind one ``Observer``."""
    return cast("ports.Observer", Audience(listeners))
