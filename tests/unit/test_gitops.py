"""Who raised a held canary, which field a GitOps controller would have to leave alone, and when it is stopped."""

from __future__ import annotations

import dataclasses
import json
import shlex
from typing import Any

import pytest
import yaml

from daemon.adapters import gitops as adapter
from daemon.model.canary import CanaryRef
from daemon.model.follow_up import FollowUp, FollowUpKind, FollowUpState
from daemon.model.gitops import Loan, Managed, Owner, Raise
from daemon.model.rollback import Rollback, RollbackPhase, Timeline
from daemon.model.route import PatchOperation, RouteObject, RoutePatch, RouteRef, RouteView
from daemon.policy import gitops, stopping
from daemon.policy.stopping import Idle, Impossible, IsLent, Keep, Lend, PutBack, Turn
from tests.unit import facts

REF = RouteRef("VirtualService", "shop", "podinfo")
TRACKING = "argocd.argoproj.io/tracking-id"
FLUX = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
HELM = {"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "shop"}
APPS = Owner(FollowUpKind.KUSTOMIZATION, "flux-system", "apps")
APPLICATION = Owner(FollowUpKind.APPLICATION, "argocd", "web")
RELEASE = Owner(FollowUpKind.HELM_RELEASE, "shop", "web")
WHO = "shop/podinfo/podinfo-rev2"


def route(labels: Any = None, annotations: Any = None, version: str = "networking.istio.io/v1") -> RouteObject:
    return RouteObject(REF, version, "1", 1, {}, labels=labels or {}, annotations=annotations or {})


def view(manager: str, *paths: str) -> RouteView:
    tests = (PatchOperation("test", "/spec/http/0/route/1/destination", {}),)
    writes = tuple(PatchOperation("replace", path, 0) for path in paths or ("/spec/http/0/route/1/weight",))
    return RouteView(REF, (), RoutePatch(REF, tests + writes, (), ()), (manager, "pullback"))


def raised(manager: str, found: RouteObject | None, *paths: str) -> Raise:
    one = gitops.raised(view(manager, *paths), found, "argocd")
    assert one is not None
    return one


# -- who


@pytest.mark.parametrize(
    ("manager", "labels", "annotations", "expected"),
    [
        ("kustomize-controller", FLUX, {}, "Kustomization flux-system/apps"),
        ("helm-controller", {**FLUX, **HELM}, {}, "HelmRelease shop/web"),
        ("argocd-controller", {}, {TRACKING: "web:networking.istio.io/VirtualService:shop/podinfo"},
         "Application argocd/web"),
        ("argocd-application-controller", {}, {TRACKING: "team-a_web:networking.istio.io/VirtualService:shop/podinfo"},
         "Application team-a/web"),
        ("argocd-controller", {"argocd.argoproj.io/instance": "web", "app.kubernetes.io/instance": "chart"}, {},
         "Application argocd/web"),
        ("argocd-controller", {"app.kubernetes.io/instance": "web"}, {}, "Application argocd/web"),
        # Copied from another object: Argo CD does not count this one among the Application's.
        ("argocd-controller", {"app.kubernetes.io/instance": "web"},
         {TRACKING: "other:networking.istio.io/VirtualService:shop/else"}, "an unnamed Application"),
        ("argocd-controller", {}, {TRACKING: "nonsense"}, "an unnamed Application"),
        ("argocd-controller", {}, {TRACKING: "../../secrets:networking.istio.io/VirtualService:shop/podinfo"},
         "an unnamed Application"),
        ("argocd-controller", {}, {TRACKING: "_web:networking.istio.io/VirtualService:shop/podinfo"},
         "Application argocd/web"),
        ("kustomize-controller", {"kustomize.toolkit.fluxcd.io/name": "apps"}, {}, "an unnamed Kustomization"),
        ("helm-controller", FLUX, {}, "an unnamed HelmRelease"),
    ],
    ids=range(12),
)  # fmt: skip
def test_the_owner_is_the_one_that_the_object_names_for_that_controller(
    manager: str, labels: Any, annotations: Any, expected: str
) -> None:
    assert str(raised(manager, route(labels, annotations)).owner) == expected


@pytest.mark.parametrize("manager", ["kubectl-edit", "flagger", "helm", "pullback", "", "argocd"])
def test_whoever_else_raises_it_is_no_gitops_controller(manager: str) -> None:
    assert gitops.raised(view(manager), route({**FLUX, **HELM}), "argocd") is None


def test_a_controller_that_wrote_before_somebody_else_did_not_raise_it() -> None:
    one = dataclasses.replace(view("kubectl-edit"), writers=("kubectl-edit", "kustomize-controller"))
    assert gitops.raised(one, route(FLUX), "argocd") is None


def test_a_route_that_is_gone_leaves_its_owner_unnamed() -> None:
    assert str(raised("kustomize-controller", None).owner) == "an unnamed Kustomization"


# -- which field


WEIGHTS = ("/spec/http/1/route/0/weight", "/spec/http/1/route/1/weight")


def of_yaml(advice: str, word: str) -> Any:
    """What stands behind a word of the advice, read as the YAML that a person would paste."""
    rest = advice.partition(f"{word}: ")[2]
    for end in range(len(rest), 0, -1):
        try:
            read = yaml.safe_load(rest[:end])
        except yaml.YAMLError:
            continue
        if isinstance(read, list):
            return read
    raise AssertionError(advice)


def test_argocd_is_told_the_weights_by_a_path_and_to_respect_it() -> None:
    found = raised("argocd-controller", route(), *WEIGHTS)
    assert of_yaml(found.advice, "ignoreDifferences") == [{
        "group": "networking.istio.io", "kind": "VirtualService", "namespace": "shop", "name": "podinfo",
        "jqPathExpressions": [".spec.http[]?.route[]?.weight"],
    }]  # fmt: skip
    assert of_yaml(found.advice, "syncOptions") == ["RespectIgnoreDifferences=true"]


def test_what_is_in_no_list_is_a_pointer() -> None:
    pointer = "/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight"
    found = raised("argocd-controller", route(version="networking.k8s.io/v1"), pointer)
    (entry,) = of_yaml(found.advice, "ignoreDifferences")
    assert entry["jsonPointers"] == [pointer]
    assert "jqPathExpressions" not in entry


def test_a_list_beside_an_annotation_is_a_path_of_jq_that_quotes_what_it_must() -> None:
    found = raised("argocd-controller", route(), "/metadata/annotations/a.b~1c", "/spec/rules/0/http")
    (entry,) = of_yaml(found.advice, "ignoreDifferences")
    assert entry["jqPathExpressions"] == ['.metadata.annotations["a.b/c"]', ".spec.rules[]?.http"]


def test_flux_is_told_the_pointers_in_each_ones_own_field() -> None:
    rule = {"paths": list(WEIGHTS), "target": {"kind": "VirtualService", "namespace": "shop", "name": "podinfo"}}
    apps = raised("kustomize-controller", route(FLUX), *WEIGHTS)
    assert of_yaml(apps.advice, "spec: ignore") == [rule]
    assert (
        "kubectl annotate virtualservice.networking.istio.io podinfo -n shop "
        "kustomize.toolkit.fluxcd.io/reconcile=disabled"
    ) in apps.advice
    release = raised("helm-controller", route(HELM), *WEIGHTS)
    assert of_yaml(release.advice, "spec.driftDetection: ignore") == [rule]


def test_of_very_many_fields_the_list_is_named() -> None:
    many = [f"/spec/http/{rule}/route/0/weight" for rule in range(40)]
    assert raised("kustomize-controller", route(FLUX), *many).pointers == ("/spec/http",)


# -- what the record says


def record(*follow_ups: FollowUp, **changes: Any) -> Rollback:
    plain = {"timeline": Timeline(started_at=facts.after(61), zeroed_at=facts.after(62)), "follow_ups": follow_ups}
    return facts.record(changes.pop("phase", RollbackPhase.PROVED), **{**plain, **changes})


def entry(there: Rollback, found: Raise, *, suspends: bool = False) -> FollowUp:
    one = gitops.entry(there, found, suspends=suspends, now=facts.after(80))
    assert one is not None
    return one


def test_it_is_written_once_and_says_who_and_what_to_add() -> None:
    found = raised("kustomize-controller", route(FLUX), *WEIGHTS)
    one = entry(record(), found)
    assert (one.kind, one.name, one.state) == (FollowUpKind.KUSTOMIZATION, "flux-system/apps", FollowUpState.BY_HAND)
    assert one.detail.startswith(f"{APPS} (kustomize-controller) raised VirtualService shop/podinfo; ")
    assert found.advice in one.detail
    assert gitops.entry(record(one), found, suspends=False, now=facts.after(99)) is None


def test_a_second_route_of_the_same_owner_is_added_to_it_once() -> None:
    first = entry(record(), raised("kustomize-controller", route(FLUX)))
    found = raised("kustomize-controller", route(FLUX))
    other = dataclasses.replace(found, route=dataclasses.replace(REF, name="podinfo-opt-in"))
    longer = entry(record(first), other)
    assert "the same for VirtualService shop/podinfo-opt-in: /spec/http/0/route/1/weight" in longer.detail
    assert (longer.state, longer.at) == (first.state, first.at)
    assert gitops.entry(record(longer), other, suspends=False, now=facts.after(99)) is None


def test_it_is_to_be_stopped_only_where_people_want_that_and_it_is_known() -> None:
    found = raised("kustomize-controller", route(FLUX))
    assert entry(record(), found, suspends=True).state is FollowUpState.PENDING
    assert entry(record(drill=True), found, suspends=True).state is FollowUpState.BY_HAND
    unnamed = raised("kustomize-controller", route())
    assert entry(record(), unnamed, suspends=True).state is FollowUpState.BY_HAND


# -- stopping


def managed(owner: Owner = APPS, **changes: Any) -> Managed:
    plain: dict[str, Any] = {
        "owner": owner, "resource_version": "7", "acting": True, "idle": "is suspended already", "field": "null",
        "made_by": "", "lists": True, "loan": None,
    }  # fmt: skip
    return Managed(**{**plain, **changes})


def lending(found: Managed | None, *, was_lent: bool = False) -> object:
    return stopping.lending(found, APPS, WHO, was_lent=was_lent)


def test_what_acts_and_counts_the_route_as_its_own_is_stopped() -> None:
    assert lending(managed()) == Lend(Loan("null", (WHO,)))
    assert lending(managed(field="false")) == Lend(Loan("false", (WHO,)))


def test_a_second_rollback_holds_it_too_and_the_original_stays() -> None:
    loan = Loan("false", ("shop/other/other-1",))
    assert lending(managed(acting=False, field="true", loan=loan)) == Lend(Loan("false", ("shop/other/other-1", WHO)))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "there is no Kustomization flux-system/apps"),
        (managed(lists=False), "does not count that route among its own"),
        (managed(lists=None), "does not count that route among its own"),
        (managed(made_by="ApplicationSet all"), "is made by ApplicationSet all, which would set it back"),
        (managed(loan=Loan("null", (WHO,)), writer="kubectl-edit"), "was taken back by kubectl-edit"),
    ],
    ids=range(5),
)
def test_what_must_not_be_stopped_is_left_alone_and_says_why(found: Managed | None, said: str) -> None:
    step = lending(found)
    assert isinstance(step, Impossible)
    assert said in step.detail


def test_what_is_idle_by_others_is_not_lent() -> None:
    assert lending(managed(acting=False)) == Idle("Kustomization flux-system/apps is suspended already")


def test_what_is_ours_is_recognised_after_a_crash_and_not_lent_again_once_others_took_it() -> None:
    ours = Loan("null", (WHO,))
    assert lending(managed(acting=False, loan=ours)) == IsLent(ours)
    assert isinstance(lending(managed(), was_lent=True), Impossible)
    assert isinstance(lending(managed(acting=False), was_lent=True), Impossible)


def test_the_last_one_to_leave_puts_back_what_was_there() -> None:
    both = Loan("false", (WHO, "shop/other/other-1"))
    assert stopping.returning(managed(acting=False, loan=both), (WHO,)) == Keep(Loan("false", ("shop/other/other-1",)))
    assert stopping.returning(managed(acting=False, loan=Loan("false", (WHO,))), (WHO,)) == PutBack("false")
    # What people have set going again meanwhile stays as they want it.
    assert stopping.returning(managed(loan=Loan("false", (WHO,))), (WHO,)) == PutBack(None)
    assert stopping.returning(managed(acting=False, loan=Loan("false", ("shop/x/y",))), (WHO,)) is None
    assert stopping.returning(managed(acting=False), (WHO,)) is None
    assert stopping.returning(None, (WHO,)) is None


def test_only_records_of_this_canary_that_nobody_knows_are_strangers() -> None:
    lent = FollowUp(FollowUpKind.KUSTOMIZATION, "flux-system/apps", FollowUpState.LENT, "", facts.after(80), {"a": "b"})
    loan = Loan("null", (WHO, "shop/podinfo/podinfo-rev1", "shop/podinfo-2/podinfo-rev1", "else/podinfo/x"))
    canary = CanaryRef("shop", "podinfo")
    assert stopping.strangers(loan, canary, (record(lent),)) == ("shop/podinfo/podinfo-rev1",)
    assert stopping.strangers(loan, canary, (record(),)) == (WHO, "shop/podinfo/podinfo-rev1")


# -- whose turn


def follow_up(state: FollowUpState, undo: dict[str, str] | None = None) -> FollowUp:
    return FollowUp(FollowUpKind.KUSTOMIZATION, "flux-system/apps", state, "x", facts.after(80), undo)


UNDO = {"spec.suspend": "null"}
PENDING, LENT, FAILED, BY_HAND, DONE = (
    FollowUpState.PENDING, FollowUpState.LENT, FollowUpState.FAILED, FollowUpState.BY_HAND, FollowUpState.DONE,
)  # fmt: skip


@pytest.mark.parametrize(
    ("one", "standing", "suspends", "expected"),
    [
        (follow_up(PENDING), True, True, Turn.STOP),
        (follow_up(PENDING, UNDO), True, True, Turn.STOP),
        (follow_up(PENDING), False, True, Turn.RETURN),
        (follow_up(PENDING, UNDO), False, True, Turn.RETURN),
        (follow_up(LENT, UNDO), True, True, Turn.WATCH),
        (follow_up(LENT, UNDO), False, True, Turn.RETURN),
        (follow_up(LENT, UNDO), True, False, Turn.RETURN),
        (follow_up(FAILED, UNDO), True, True, Turn.NOTHING),
        (follow_up(FAILED, UNDO), False, True, Turn.RETURN),
        (follow_up(FAILED), False, True, Turn.NOTHING),
        (follow_up(BY_HAND), True, True, Turn.NOTHING),
        (follow_up(BY_HAND), False, False, Turn.NOTHING),
        (follow_up(DONE), False, True, Turn.NOTHING),
    ],
    ids=range(13),
)
def test_what_is_owed_is_returned_whatever_else_is_true(
    one: FollowUp, standing: bool, suspends: bool, expected: Turn
) -> None:
    over = record(one, phase=RollbackPhase.COMPLETED)
    assert stopping.turn(record(one) if standing else over, one, overtaken=False, suspends=suspends) is expected
    if standing:
        gone_on = stopping.turn(record(one), one, overtaken=True, suspends=suspends)
        assert gone_on is stopping.turn(over, one, overtaken=False, suspends=suspends)


def test_each_state_says_the_raise_once_and_nothing_that_is_no_longer_true() -> None:
    first = entry(record(), raised("kustomize-controller", route(FLUX), *WEIGHTS), suspends=True)
    lent = stopping.lent(dataclasses.replace(first, undo=UNDO), APPS, facts.after(81))
    assert lent.detail.startswith(f"{APPS} is suspended for as long as this rollback stands: nothing that it delivers")
    assert lent.detail.endswith(f"; {first.detail}")
    taken = stopping.given_up(lent, FAILED, f"{APPS} was taken back", facts.after(82), owes=True)
    assert (taken.detail, taken.undo) == (f"{APPS} was taken back; {first.detail}", UNDO)
    over = stopping.returned(taken, APPS, managed(), PutBack(None), facts.after(83))
    assert over == dataclasses.replace(taken, undo=None)
    back = stopping.returned(lent, APPS, managed(acting=False), PutBack("null"), facts.after(83))
    assert (back.state, back.detail, back.undo) == (DONE, f"{APPS} goes on as before", None)


# -- how they look in the cluster


def application(policy: Any = None, **more: Any) -> Managed:
    listed = [{"group": "networking.istio.io", "kind": "VirtualService", "namespace": "shop", "name": "podinfo"}]
    document = {"metadata": {}, "spec": {"syncPolicy": policy}, "status": {"resources": listed}, **more}
    return adapter.managed(APPLICATION, document, REF)


@pytest.mark.parametrize(
    ("policy", "acting"),
    [
        ({"automated": {"selfHeal": True}}, True),
        ({"automated": {"selfHeal": True, "enabled": True}}, True),
        ({"automated": {"selfHeal": True, "enabled": None}}, True),
        ({"automated": {"selfHeal": True, "enabled": False}}, False),
        ({"automated": {"selfHeal": False}}, False),
        ({"automated": {}}, False),
        ({"automated": None}, False),
        ({}, False),
        (None, False),
        ("x", False),
    ],
    ids=range(10),
)
def test_an_application_heals_itself_only_where_it_says_so_and_is_enabled(policy: Any, acting: bool) -> None:
    assert application(policy).acting is acting


def test_an_application_that_a_set_makes_and_one_that_lists_another_route() -> None:
    made = {"ownerReferences": [{"kind": "ApplicationSet", "name": "all", "controller": True}]}
    assert application(metadata=made).made_by == "ApplicationSet all"
    assert application().lists is True
    service = {"kind": "Service", "namespace": "shop", "name": "podinfo"}
    assert application(status={"resources": [service]}).lists is False
    assert application(status={}).lists is False


@pytest.mark.parametrize(
    ("owner", "spec", "status", "lists"),
    [
        (APPS, {}, {"inventory": {"entries": [{"id": "shop_podinfo_networking.istio.io_VirtualService", "v": "v1"}]}},
         True),
        (APPS, {}, {"inventory": {"entries": [{"id": "shop_podinfo_apps_Deployment", "v": "v1"}]}}, False),
        (APPS, {}, {"inventory": {"entries": ["x", {"id": 5}]}}, False),
        (APPS, {}, {}, False),
        (RELEASE, {}, {}, True),
        (RELEASE, {"targetNamespace": "shop"}, {}, True),
        (RELEASE, {"targetNamespace": "else"}, {}, False),
        (RELEASE, {}, {"inventory": {"entries": []}}, False),
    ],
    ids=range(8),
)  # fmt: skip
def test_flux_says_what_it_has_applied_in_its_inventory(owner: Owner, spec: Any, status: Any, lists: bool) -> None:
    assert adapter.managed(owner, {"metadata": {}, "spec": spec, "status": status}, REF).lists is lists


@pytest.mark.parametrize(
    ("note", "loan"),
    [
        ('{"was": false, "for": ["a/b/c"]}', Loan("false", ("a/b/c",))),
        ('{"was": null, "for": []}', Loan("null", ())),
        ('{"was": {"x": 1}, "for": ["a/b/c"]}', Loan("null", ("a/b/c",))),
        ('{"for": "a"}', None),
        ("[]", None),
        ("{", None),
        ("", None),
    ],
    ids=range(7),
)
def test_a_note_that_nobody_of_us_wrote_is_none(note: str, loan: Loan | None) -> None:
    document = {"metadata": {"annotations": {adapter.LENT: note}}, "spec": {"suspend": True}}
    assert adapter.managed(APPS, document, None).loan == loan


def test_an_application_gets_its_self_healing_back_whatever_became_of_the_note() -> None:
    document = {"metadata": {"annotations": {adapter.LENT: '{"was": null, "for": ["a/b/c"]}'}}, "spec": {}}
    assert adapter.managed(APPLICATION, document, None).loan == Loan("true", ("a/b/c",))


def test_what_is_stopped_without_our_note_is_left_to_people_with_a_command_that_works() -> None:
    lent = dataclasses.replace(follow_up(LENT, UNDO), detail="…")
    gone = stopping.returned(lent, APPS, managed(acting=False), None, facts.after(83))
    assert (gone.state, gone.undo) == (FAILED, None)
    command = shlex.split(gone.detail.partition("to set it going: ")[2])
    assert command[:4] == ["kubectl", "patch", "kustomization.kustomize.toolkit.fluxcd.io", "apps"]
    assert json.loads(command[command.index("-p") + 1]) == {"spec": {"suspend": False}}
    step = stopping.lending(managed(APPLICATION, acting=False), APPLICATION, WHO, was_lent=True)
    assert isinstance(step, Impossible)
    assert json.loads(shlex.split(step.detail)[-1]) == {"spec": {"syncPolicy": {"automated": {"selfHeal": True}}}}
    # Nobody knows whether it was ever stopped, or it goes on: nothing to say.
    for state, found in ((PENDING, managed(acting=False)), (LENT, managed()), (LENT, None)):
        one = stopping.returned(dataclasses.replace(lent, state=state), APPS, found, None, facts.after(83))
        assert one.state is FollowUpState.NOT_NEEDED


def test_of_what_does_not_fit_no_half_command_is_left() -> None:
    far = dataclasses.replace(REF, namespace="n" * 63, name="r" * 253)
    found = raised("kustomize-controller", route(FLUX), *(f"/spec/http/{rule}/route/0/weight" for rule in range(6)))
    long = gitops.advice(APPS, far, "networking.istio.io", found.pointers)
    detail = gitops.fitted(f"{'x' * 300} {long}")
    assert len(detail) <= 1024
    assert "kubectl" not in detail
    assert of_yaml(detail, "spec: ignore")[0]["paths"] == list(found.pointers)
