"""A stand-in for Flagger 1.44: ticks, hooks and writes as measured, against any Kubernetes API over HTTP."""

from daemon.sandbox.flagger.checks import Metrics
from daemon.sandbox.flagger.controller import Flagger
from daemon.sandbox.flagger.hooks import Hold
from daemon.sandbox.flagger.timeline import Line, Timeline

__all__ = ["Flagger", "Hold", "Line", "Metrics", "Timeline"]
