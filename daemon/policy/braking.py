"""Which second brake, when the write to a route is refused for good. A table, read from the top; pure.

=====================================================  ==========================================================
the canary                                             what is done
=====================================================  ==========================================================
is at zero, or nothing was refused, or policy is none  nothing
gets its requests by a Service of its own, no subset   its selector is pointed at the stable pods: nobody notices
has a controller                                       nothing: with Flagger an empty target is promoted, Argo
                                                       Rollouts takes the pods away itself
has half of the ordinary traffic, or more              nothing: without its pods too many would get no answer
else, if policy says ``divert-or-scale``               its workload is scaled to 0
=====================================================  ==========================================================

Whatever is done, a person is told: a route that cannot be written is theirs to look at.
"""

from daemon.model.brake import SecondBrake
from daemon.model.canary import Canary, Controller
from daemon.model.decision import Evidence
from daemon.model.plan import DivertService, ScaleCanary
from daemon.model.route import percent

TOO_MANY = 50.0
"""Percent of ordinary traffic that may not be left without an answer."""


def second_brake(evidence: Evidence, policy: SecondBrake) -> DivertService | ScaleCanary | None:
    """The step to take now. It is taken again for as long as the write is refused: both are idempotent."""
    canary = evidence.canary
    if policy is SecondBrake.NONE or not evidence.write_refused or canary is None or evidence.routes_at_zero:
        return None
    namespace, own, stable = canary.workload_namespace, canary.canary_service, canary.primary_service
    if _goes_by_service(canary) and own and stable and own != stable and not evidence.divert_refused:
        return DivertService(canary.ref, namespace, own, stable)
    if policy is not SecondBrake.DIVERT_OR_SCALE or canary.controller is not Controller.NONE:
        return None
    if percent(evidence.routes) >= TOO_MANY or evidence.workload is None or evidence.workload.replicas == 0:
        return None
    return ScaleCanary(canary.ref, evidence.workload)


def _goes_by_service(canary: Canary) -> bool:
    """Whether requests find the canary's pods by its own Service's selector. A subset chooses among the pods of a
    Service that others are served by as well; of stable pods it would choose none."""
    sides = canary.sides
    return sides is None or not (sides.canary_subsets or sides.shared_services)
