"""What every end-to-end test may ask for."""

from tests.neighbours import alerting_binaries, children, envoy, session, versions, webhook

__all__ = ["alerting_binaries", "children", "envoy", "session", "versions", "webhook"]
