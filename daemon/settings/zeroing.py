"""From the decision to proved zero."""

import string
from typing import Annotated

import pydantic

from daemon.model.brake import SecondBrake
from daemon.settings.groups import Group, Seconds


class Rollback(Group):
    """From the decision to zero."""

    deadline: Annotated[Seconds, pydantic.Field(gt=0)] = 120.0
    """From received to proved; past it a person is told, with the command that does it by hand."""
    dry_run: bool = False
    """Decide and record, write no route, open no hook: for the first days in a new cluster."""
    second_brake: SecondBrake = SecondBrake.NONE
    """When a route write is refused for good: ``none``, ``divert`` (the canary's Service selects the stable pods), or
    ``divert-or-scale`` (else a canary without controller loses its pods)."""
    mailbox: int = pydantic.Field(default=1000, ge=1)
    """Alerts that may wait for one canary; beyond it the sender is told to come again."""
    backoff_first: Annotated[Seconds, pydantic.Field(gt=0)] = 0.05
    backoff_most: Annotated[Seconds, pydantic.Field(gt=0, le=10)] = 2.0


class Proof(Group):
    """That traffic has stopped."""

    window: Seconds = 5.0
    """How long the routes must have been read back at 0 without a break."""
    read_back: Annotated[Seconds, pydantic.Field(gt=0)] = 1.0
    """Between two readings until proved."""
    read_back_after: Annotated[Seconds, pydantic.Field(gt=0)] = 5.0
    """Between two readings for as long as it is held."""
    prometheus_url: str = ""
    """If set, the canary's request rate must also be 0 there."""
    prometheus_query: str = (
        'sum(rate(istio_requests_total{destination_workload="$workload",'
        'destination_workload_namespace="$namespace"}[1m]))'
    )
    """PromQL; ``$namespace $name $workload $service $canary_service`` are names of Kubernetes objects, ``$revision`` is
    the revision's."""
    prometheus_timeout: Annotated[Seconds, pydantic.Field(gt=0)] = 5.0

    @pydantic.field_validator("prometheus_query")
    @classmethod
    def _fillable(cls, query: str) -> str:
        template = string.Template(query)
        if not template.is_valid():
            raise ValueError("a dollar sign that begins no field; write $$ for the sign itself")
        known = {"namespace", "name", "workload", "service", "canary_service", "revision"}
        unknown = set(template.get_identifiers()) - known
        if unknown:
            raise ValueError(f"unknown field ${min(unknown)}")
        return query
