"""Canaries that no controller drives, put together from the documents as the daemon does it: which there are, whom
nobody could act on, and what a stage driver lacks."""

from collections.abc import Iterator

from daemon.adapters import claims
from daemon.adapters.traffic import conventions
from daemon.doctor.documents import Document
from daemon.doctor.findings import Finding, fail, fine, warn
from daemon.doctor.known import Known
from daemon.doctor.scene import Scene
from daemon.model.canary import Canary, CanaryRef, Controller
from daemon.model.route import RouteRef, Sides


def examine(scene: Scene, known: Known) -> Iterator[Finding]:
    found = [canary for canary in scene.world.canaries() if canary.controller is Controller.NONE]
    homes = {RouteRef(one.object_kind.kind, one.ref.namespace, one.ref.name): one for one in found}
    part_of = {route.ref for canary in scene.world.canaries() for route in scene.world.routes(canary)}
    for ref, document in scene.routes.items():
        if ref in homes:
            yield from _canary(homes[ref], document, scene, known)
        elif ref not in part_of:
            yield from _nobody(ref, document, scene, known)


def _canary(canary: Canary, document: Document, scene: Scene, known: Known) -> Iterator[Finding]:
    problems = [
        *_reached(canary, document, scene), *_workloads(canary, document, scene), *_profile(canary, document, known),
    ]  # fmt: skip
    if canary.driven:
        problems += _driver(canary, document, scene, known)
    yield from problems
    if not problems:
        by = "the stage driver drives it" if canary.driven else "nobody drives it but people"
        runs = f", pods of Deployment {canary.workload}" if canary.workload else ""
        yield fine("canary/found", document.at(), f"canary {_said(canary.sides)}{runs}; {by}")


def _reached(canary: Canary, document: Document, scene: Scene) -> Iterator[Finding]:
    """An annotation may name what no rule sends to: a misspelt one, mostly."""
    routes = scene.world.routes(canary)
    sides = scene.world.sides(canary)
    if not any(scene.view(route, sides).paths for route in routes):
        yield fail(
            "canary/not-reached", document.at("metadata", "annotations", conventions.CANARY),
            f"no rule sends to the canary that it names ({_said(sides)})",
            "a destination as the routes spell it: HOST, HOST/SUBSET, or SUBSET",
            f"{conventions.CANARY}: the host or subset that the canary's rules name",
        )  # fmt: skip


def _workloads(canary: Canary, document: Document, scene: Scene) -> Iterator[Finding]:
    if not scene.knows_workloads(canary.workload_namespace):
        return
    if not canary.workload:
        yield fail(
            "canary/no-workload", document.at(), f"no Deployment was found behind the canary ({_said(canary.sides)}): "
            "it has no revision, so no alert is about this release and no hold ends with it",
            "the Deployment whose pods the canary is: of the destination's name, or the only one of the application "
            "with the subset's labels", f"{conventions.WORKLOAD}: DEPLOYMENT on this object",
        )  # fmt: skip
    elif canary.driven and not canary.stable_workload:
        yield warn(
            "canary/no-stable-workload", document.at(), "no Deployment was found behind the stable side: the stage "
            "driver takes whatever the canary runs for new, the version it has just released as well",
            "the Deployment of the stable pods", f"{conventions.STABLE_WORKLOAD}: DEPLOYMENT on this object",
        )  # fmt: skip


def _profile(canary: Canary, document: Document, known: Known) -> Iterator[Finding]:
    if canary.profile and canary.profile not in known.profiles:
        yield fail(
            "canary/unknown-profile", document.at("metadata", "annotations", "pullback.dev/profile"),
            f"gates.profiles has no {canary.profile!r}: its gates stay closed",
            f"one of {', '.join(sorted(known.profiles))}", "name one of them, or add it to gates.profiles",
        )  # fmt: skip


def _driver(canary: Canary, document: Document, scene: Scene, known: Known) -> Iterator[Finding]:
    """What the stage driver would stop at, or not stop at."""
    profile = known.profiles.get(canary.profile or "default")
    if profile is None:
        return
    where = document.at("metadata", "annotations", claims.DRIVEN)
    if not profile.stages:
        yield fail(
            "canary/driver-without-stages", where,
            f"profile {profile.name} has no stages: the stage driver never begins", "stages to walk",
            f"policy.stages, or stages in gates.profiles.{profile.name}",
        )  # fmt: skip
    if not profile.promotion.approvals:
        yield warn(
            "canary/driver-without-approval", where, f"profile {profile.name} asks nobody: the stage driver goes from "
            f"{max((stage.weight for stage in profile.stages), default=0):g}% to 100% by itself",
            "a person who approves", "promotion: {approval: required} in this profile, unless that is what you want",
        )  # fmt: skip
    sides = scene.world.sides(canary)
    if not any(path.weighted for route in scene.world.routes(canary) for path in scene.view(route, sides).paths):
        yield fail(
            "canary/driver-without-weights", where, "no rule has stable and canary side by side: there is no weight to "
            "walk up", "a rule with both as destinations, the canary at 0", "add the canary to the rule of everybody",
        )  # fmt: skip


def _nobody(ref: RouteRef, document: Document, scene: Scene, known: Known) -> Iterator[Finding]:
    """An object that names a canary, and is part of none."""
    kind = known.kinds[ref.kind]
    route = kind.read(document.data)
    sides = kind.claim(route, known.cluster_domain)
    if sides is None or route.owner:
        return
    services = sides.canary_services | sides.shared_services
    if any(map(scene.world.controlled, services)):
        return
    namesake = scene.world.canary(CanaryRef(ref.namespace, ref.name))
    if namesake is not None and namesake.controller is Controller.NONE:
        yield fail(
            "canary/name-taken", document.at("metadata", "name"), f"it names a canary ({_said(sides)}), and "
            f"{namesake.object_kind.kind} {namesake.ref} of the same name is another one: to Pullback this is no "
            "canary, and alerts about it do nothing", "one canary of a name in a namespace",
            "give this object another name",
        )  # fmt: skip
        return
    named = conventions.annotated(route)[0] is not None
    if not named and not scene.whole:
        return  # a controller's, perhaps, whose object was not given
    yield (fail if named else warn)(
        "canary/no-stable", document.at(), f"it names a canary ({_said(sides)}), and no object says what the stable "
        "side is: to Pullback that is no canary, and alerts about it do nothing", "a stable destination: beside it in "
        "a rule, by name (…-primary, …-stable, or the application's own), or by annotation",
        f"{conventions.STABLE}: DESTINATION on this object",
    )  # fmt: skip


def _said(sides: Sides | None) -> str:
    """``checkout/canary against checkout/stable``"""
    if sides is None:
        return "?"
    canary = [name for _, name in sides.canary_services] + [f"{one[1]}/{name}" for one, name in sides.canary_subsets]
    stable = [name for _, name in sides.stable_services] + [f"{one[1]}/{name}" for one, name in sides.stable_subsets]
    against = f" against {', '.join(sorted(stable))}" if stable else ""
    return f"{', '.join(sorted(canary))}{against}"
