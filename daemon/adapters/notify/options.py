"""What the options of all channels have in common."""

from typing import Annotated

import pydantic

from daemon.adapters.options import HttpUrl, KindOptions, seconds

__all__ = ["ChannelOptions", "HttpUrl", "Timeout"]

Timeout = Annotated[
    float, pydantic.BeforeValidator(seconds), pydantic.Field(gt=0, le=60, allow_inf_nan=False, strict=True)
]
"""Seconds, as a number or as ``500ms``, ``10s``; at most a minute, since other channels' turns may wait for it."""


class ChannelOptions(KindOptions):
    """The options of one channel."""
