"""A canary as the cluster shows it, whoever drives it."""

import dataclasses
import datetime
import enum
from collections.abc import Iterable, Mapping

from daemon.model.route import Sides


class CanaryPhase(enum.StrEnum):
    """Flagger's phases (flagger.app/v1beta1 ``status.phase``), spelled as Flagger spells them."""

    NONE = ""
    INITIALIZING = "Initializing"
    INITIALIZED = "Initialized"
    WAITING = "Waiting"
    PROGRESSING = "Progressing"
    WAITING_PROMOTION = "WaitingPromotion"
    PROMOTING = "Promoting"
    FINALISING = "Finalising"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TERMINATING = "Terminating"
    TERMINATED = "Terminated"
    AT_ZERO = "AtZero"
    """Not Flagger's: no controller drives the canary, and its routes give it nothing."""
    UNKNOWN = "Unknown"
    """A phase this version does not know: treated as idle for signals, reported as it is."""


UNDER_ANALYSIS = frozenset({CanaryPhase.WAITING, CanaryPhase.PROGRESSING, CanaryPhase.WAITING_PROMOTION})
"""The primary still runs the old version and the canary may take traffic: zero is the safe place."""

PRIMARY_CHANGING = frozenset({CanaryPhase.PROMOTING, CanaryPhase.FINALISING})
"""The primary already has the new template; the canary may be the only healthy copy (law 9)."""


class Controller(enum.StrEnum):
    """Who moves a canary's weights and scales its workload."""

    FLAGGER = "Flagger"
    ARGO = "Argo Rollouts"
    NONE = "none"
    """Nobody but people and pipelines: what must be scaled down, we scale down."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class CanaryRef:
    """Names one canary object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectKind:
    """What kind of object a canary is."""

    api_version: str = "flagger.app/v1beta1"
    kind: str = "Canary"


FLAGGER_CANARY = ObjectKind()
CONTROLLER_KINDS = frozenset({FLAGGER_CANARY.kind, "Rollout"})
"""Kinds of objects whose controllers make routing objects and drive them."""
DEPLOYMENT = "Deployment"
"""What a canary of Flagger's must run for its revisions to be recorded: no other pod template is read here."""


@dataclasses.dataclass(frozen=True, slots=True)
class AlertPause:
    """An alert that holds the traffic-increase gate closed, as remembered on the canary object.

    ``revision`` binds it: the next revision starts with its gate open.
    """

    fingerprint: str
    starts_at: datetime.datetime
    revision: str
    alertname: str


@dataclasses.dataclass(frozen=True, slots=True)
class Approval:
    """Somebody said that one revision may be promoted (``pullback.dev/approved`` and what belongs to it).

    ``until`` is None where it was not said. ``used`` says which promotion it has opened: the beginning of that
    analysis. ``word`` is who, what and until when as it stands there: the same word is the same approval.
    """

    revision: str
    by: tuple[str, ...]
    until: datetime.datetime | None
    word: str
    used: datetime.datetime | None = None
    reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Advance:
    """Somebody said that soaks up to a weight need not be waited for (``pullback.dev/advance-to``).

    ``revision`` is empty until it is bound to one. ``word`` is the annotation as it stands there.
    """

    to: float
    revision: str
    by: str
    word: str


@dataclasses.dataclass(frozen=True, slots=True)
class LentDeadline:
    """We have shortened the progress deadline for a moment (``pullback.dev/deadline-lent``). It stands on the canary
    itself: whoever deletes our record must get the deadline back all the same.

    ``original`` is what to put back, None for a field that was not there.
    """

    original: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Workload:
    """What runs the pods of one side: enough of a Deployment to tell versions and readiness."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    """Labels of the pod template: what metrics carry as their version."""
    images: tuple[str, ...]
    replicas: int
    ready_replicas: int
    generation: int = 0
    template: str = ""
    """A hash of the pod template: tells one version from another, nothing else."""
    resource_version: str = ""
    revision_number: str = ""
    """The Deployment controller's number for this template, by which it can be undone to; empty where there is none."""
    observed: bool = False
    """Its controller has written a status: before that, nobody knows how many of its pods are ready."""
    template_since: datetime.datetime | None = None
    """When the pod template was last written, as far as the object tells."""
    init_images: tuple[str, ...] = ()
    """Of what runs before it: released with it, and no version of it."""

    @property
    def released(self) -> tuple[str, ...]:
        """Every image that is released with it, those that serve first."""
        return (*self.images, *self.init_images)

    @property
    def version(self) -> tuple[object, ...]:
        """What tells of a version, and whether it runs; not how many pods are ready, which changes all the time."""
        return self.labels, self.images, self.template, self.template_since, self.replicas > 0


@dataclasses.dataclass(frozen=True, slots=True)
class Canary:
    """One canary as last observed.

    ``revision`` is Flagger's ``status.lastAppliedSpec``: a hash that can be compared, never recomputed.
    ``analysis_began`` is ``conditions[0].lastTransitionTime`` (``status.lastTransitionTime`` moves at every
    tick), or later when a newer revision was seen to take over within one analysis.
    ``status_weight`` is only good for telling a broken promotion (100 in ``Failed``): weights are read from
    the routes.
    """

    ref: CanaryRef
    uid: str
    phase: CanaryPhase
    revision: str
    promoted_revision: str
    analysis_began: datetime.datetime | None
    status_weight: int
    workload: str
    workload_kind: str
    service: str
    provider: str
    suspended: bool
    deleting: bool
    paused: bool
    alert_pauses: tuple[AlertPause, ...]
    resource_version: str
    progress_deadline: int | None = None
    """Seconds; Flagger's ``spec.progressDeadlineSeconds``, None where it is not set (Flagger then takes 600)."""
    deadline_lent: LentDeadline | None = None
    controller: Controller = Controller.FLAGGER
    steps: tuple[float, ...] = ()
    """The weights the controller will go through, ascending; empty where it does not say."""
    steps_listed: bool = False
    """They are Flagger's ``stepWeights``: from a weight that is none of them it goes to all of it at once."""
    configs: str = ""
    """A hash of the ConfigMaps and Secrets that belong to the revision; empty where the controller tracks none."""
    hooks: frozenset[str] = frozenset()
    """Types of the webhooks by which its analysis asks us: what another server opens waits for nobody here."""
    profile: str = ""
    """Which profile of the configuration its gates follow; empty: the default."""
    approval: Approval | None = None
    advance: Advance | None = None
    paused_by: str = ""
    """Who paused it, and why; empty where it was not said."""
    paused_reason: str = ""
    object_kind: ObjectKind = FLAGGER_CANARY
    """A Canary of Flagger's, a Rollout, or a routing object where no controller drives it."""
    sides: Sides | None = None
    """Its destinations, where they do not follow Flagger's names."""
    stable_workload: str = ""
    """What runs the stable side's pods, where it does not follow Flagger's names; empty: nobody knows."""
    versions: frozenset[str] = frozenset()
    """What its pods' metrics may be called by, beside what their template says: the labels of its subset."""
    aborting: bool = False
    """Its controller has been told to give the revision up (Argo Rollouts' ``status.abort``)."""
    shares_capacity: bool = False
    """Its controller shrinks the stable side while the canary grows: all the traffic at once may be more than stable
    has pods for."""
    interval: str = ""
    """How often its controller looks, as it is written there (``1m``); empty where it does not say."""
    pods: int | None = None
    """How many pods its controller runs of the revision, where the workload only lends its template; None: the
    workload tells."""
    driven: bool = False
    """Nobody else drives it, and a person has asked us to walk it through the stages of its profile."""
    drill: bool = False
    """Made by ``pullback drill``, for nobody's traffic: all that a drill's alert may act on."""

    @property
    def identity(self) -> str:
        """The revision, and the ConfigMaps and Secrets it runs with: what Flagger's checksum is a hash of."""
        return f"{self.revision} {self.configs}".rstrip()

    @property
    def canary_service(self) -> str:
        """The Service that selects the canary's pods; the shared one where only a subset does."""
        if self.sides is not None:
            return _name(self.sides.canary_services or self.sides.shared_services)
        return f"{self.service}-canary"

    @property
    def primary_service(self) -> str:
        """The Service that selects the stable pods; the shared one where only a subset does."""
        if self.sides is not None:
            return _name(self.sides.stable_services or self.sides.shared_services)
        return f"{self.service}-primary"

    @property
    def primary_workload(self) -> str:
        """What runs the stable side's pods; empty where nobody knows."""
        return self.stable_workload if self.sides is not None else f"{self.workload}-primary"

    @property
    def workload_namespace(self) -> str:
        """Where its pods run: with its Services, wherever the object is."""
        return min(self.services)[0] if self.sides is not None and self.services else self.ref.namespace

    @property
    def services(self) -> frozenset[tuple[str, str]]:
        """Every Service by which it may get traffic, as (namespace, name)."""
        if self.sides is not None:
            return self.sides.canary_services | self.sides.shared_services
        return frozenset({(self.ref.namespace, self.canary_service), (self.ref.namespace, self.service)})

    @property
    def under_analysis(self) -> bool:
        """A revision is being tried out, and taking its traffic away is safe."""
        return self.phase in UNDER_ANALYSIS and not self.deleting

    @property
    def promotion_broke(self) -> bool:
        """``Failed`` with the canary at 100%: a promotion whose primary never became ready (law 9)."""
        return self.phase is CanaryPhase.FAILED and self.status_weight == 100


def _name(services: Iterable[tuple[str, str]]) -> str:
    return min((name for _, name in services), default="")
