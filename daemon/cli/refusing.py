"""What speaks against a person's act on a canary, and who that person is. Every refusal says what was expected."""

from daemon.adapters import acts, text
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.model import errors
from daemon.model.canary import PRIMARY_CHANGING, Canary, CanaryPhase, CanaryRef, Controller
from daemon.workflow.showing import Release

_NAME_MOST = 253
_NOBODY = "system:anonymous"


async def named(client: KubernetesClient) -> str:
    """Who asks, as the API server knows them: what raises must be somebody's. Raises when there is no such name."""
    try:
        name = await client.whoami()
    except errors.NeighbourError as error:
        raise errors.PullbackError(f"nobody can say who you are, and this must be somebody's act: {error}") from error
    if not name or name == _NOBODY:
        raise errors.PullbackError("the API server does not know who you are, and this must be somebody's act")
    if "," in name or name != name.strip() or not name.isprintable() or len(name) > _NAME_MOST:
        raise errors.PullbackError(
            f"your name, {name[:_NAME_MOST]!r}, cannot be written down: expected {_NAME_MOST} characters at most, on "
            "one line and without a comma"
        )
    return name


def no_canary(ref: CanaryRef) -> errors.PullbackError:
    return errors.PullbackError(f"no canary {ref.name} in namespace {ref.namespace}")


def bounded(words: str) -> str:
    """On one line, and no longer than an annotation of ours may be."""
    return text.cut(text.line(words), acts.WORDS_MOST)


def asks(canary: Canary, *, steered: bool) -> None:
    """Raises where nobody would heed it. ``steered``: it is heeded where people alone move the weight, too."""
    name, namespace = canary.ref.name, canary.ref.namespace
    if canary.controller is Controller.ARGO:
        raise errors.PullbackError(
            f"{canary.ref}: Argo Rollouts drives it and asks nobody here: "
            f"kubectl argo rollouts promote {name} -n {namespace}"
        )
    if canary.controller is Controller.NONE and not (canary.driven or steered):
        raise errors.PullbackError(
            f"{canary.ref}: nobody drives it, so nobody asks for an approval; people move its weight: "
            f"pullback promote {name} -n {namespace} --weight 100"
        )


def under_analysis(release: Release, revision: str | None) -> str:
    """The revision that is tried out. Raises where there is none, where it is not ``revision``, or must not rise."""
    canary = release.canary
    if canary.phase in PRIMARY_CHANGING or (
        canary.phase is CanaryPhase.SUCCEEDED and revision in {None, canary.revision}
    ):
        raise errors.PullbackError(f"{canary.ref}: revision {canary.revision} is promoted already ({canary.phase})")
    if release.rollback is not None:
        raise errors.PullbackError(
            f"{canary.ref}: Rollback {release.rollback} of revision {canary.revision} is in force; "
            f"to lift it: pullback release {canary.ref.name} -n {canary.ref.namespace}"
        )
    idle = canary.phase is CanaryPhase.AT_ZERO and bool(canary.revision)  # nobody but people will raise it
    if not idle and (not canary.under_analysis or canary.phase is CanaryPhase.WAITING or not canary.revision):
        waits = ", the next revision has no name before it is confirmed" if canary.phase is CanaryPhase.WAITING else ""
        raise errors.PullbackError(
            f"{canary.ref}: nothing is under analysis (phase {canary.phase or 'not set'}{waits})"
        )
    if revision is not None and revision != canary.revision:
        raise errors.PullbackError(
            f"{canary.ref}: revision {revision} is not the one under analysis, that is {canary.revision}"
        )
    if release.succeeded:
        raise errors.PullbackError(
            f"{canary.ref}: revision {canary.revision} is superseded: another version lies in its workload"
        )
    return canary.revision
