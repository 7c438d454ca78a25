"""Whom an alert speaks about: most certain first, never a guess, never across a namespace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.canary import CanaryRef
from daemon.model.decision import Reason
from daemon.model.rules import Fallback, LabelNames
from daemon.policy.correlating import CanaryIndex, Profile


def profile(namespace: str, name: str, *, active: bool = True, versions: str = "", hosts: str = "") -> Profile:
    return Profile(
        ref=CanaryRef(namespace, name),
        active=active,
        workloads=frozenset({name}),
        stable_workloads=frozenset({f"{name}-primary"}),
        applications=frozenset({name, f"{name}-canary"}),
        versions=frozenset(versions.split()),
        hosts=frozenset(hosts.split()),
    )


def index(*profiles: Profile, fallback: Fallback = Fallback.REFUSE) -> CanaryIndex:
    made = CanaryIndex(LabelNames(), fallback)
    for one in profiles:
        made.put(one)
    return made


SHOP = (
    profile("shop", "cart", versions="v2 abc", hosts="cart.example.com"),
    profile("shop", "checkout", versions="v3"),
    profile("bank", "cart", versions="v2b"),
    profile("shop", "idle", active=False, versions="v9", hosts="idle.example.com"),
)

FOUND = [
    ("names canary and namespace", {"canary": "cart", "namespace": "shop"}, "shop/cart"),
    ("names it as Flagger does", {"name": "cart", "namespace": "shop"}, "shop/cart"),
    ("has a flag named canary", {"canary": "true", "namespace": "shop", "deployment": "checkout"}, "shop/checkout"),
    ("has a name that means something else", {"name": "x", "namespace": "shop", "app": "cart"}, "shop/cart"),
    ("names the workload", {"destination_workload": "checkout", "namespace": "shop"}, "shop/checkout"),
    ("names the namespace in Istio's way",
     {"destination_workload": "cart", "destination_workload_namespace": "bank"}, "bank/cart"),
    ("names the app", {"app": "cart", "namespace": "bank"}, "bank/cart"),
    ("names the canary's service", {"destination_service_name": "cart-canary", "namespace": "shop"}, "shop/cart"),
    ("names a workload before an app", {"workload": "cart", "app": "checkout", "namespace": "shop"}, "shop/cart"),
    ("names a version only one runs", {"version": "v3"}, "shop/checkout"),
    ("names a revision", {"revision": "abc"}, "shop/cart"),
    ("names a host with its port", {"host": "cart.example.com:443"}, "shop/cart"),
]  # fmt: skip

LOST = [
    ("names nothing", {"severity": "critical"}, Reason.UNMATCHED),
    ("names a canary without a namespace", {"canary": "cart"}, Reason.UNMATCHED),
    ("names a canary that is not ours, and a version that is",
     {"canary": "gone", "namespace": "shop", "version": "v2"}, Reason.UNMATCHED),
    ("names another workload, and a version that is ours",
     {"deployment": "search", "namespace": "shop", "version": "v2"}, Reason.UNMATCHED),
    ("names the stable side", {"workload": "cart-primary", "namespace": "shop"}, Reason.NAMES_STABLE),
    ("names two workloads", {"workload": "cart", "deployment": "checkout", "namespace": "shop"}, Reason.AMBIGUOUS),
    ("names a version in the wrong namespace", {"version": "v3", "namespace": "bank"}, Reason.UNMATCHED),
    ("names a version that says nothing", {"version": "latest"}, Reason.UNMATCHED),
    ("names a version of a canary that is not active", {"version": "v9"}, Reason.UNMATCHED),
    ("names a host of a canary that is not active", {"host": "idle.example.com"}, Reason.UNMATCHED),
]  # fmt: skip


@pytest.mark.parametrize(("labels", "ref"), [case[1:] for case in FOUND], ids=[case[0] for case in FOUND])
def test_an_alert_that(labels: dict[str, str], ref: str) -> None:
    assert str(index(*SHOP).correlate(labels).ref) == ref


@pytest.mark.parametrize(("labels", "reason"), [case[1:] for case in LOST], ids=[case[0] for case in LOST])
def test_nobody_is_meant_by_an_alert_that(labels: dict[str, str], reason: Reason) -> None:
    match = index(*SHOP).correlate(labels)

    assert (match.ref, match.reason) == (None, reason)
    assert match.detail


def test_two_that_run_the_same_version_are_candidates_and_not_guessed() -> None:
    match = index(*SHOP, profile("bank", "ledger", versions="v2")).correlate({"version": "v2"})

    assert (match.ref, match.reason) == (None, Reason.AMBIGUOUS)
    assert "bank/ledger, shop/cart" in match.detail


def test_the_single_active_canary_of_a_namespace_is_meant_only_if_configured() -> None:
    alone = (profile("shop", "cart"), profile("shop", "idle", active=False))

    assert index(*alone).correlate({"namespace": "shop"}).ref is None
    found = index(*alone, fallback=Fallback.SINGLE_ACTIVE)
    assert found.correlate({"namespace": "shop"}).ref == CanaryRef("shop", "cart")
    assert found.correlate({"namespace": "bank"}).ref is None
    found.put(profile("shop", "other"))
    assert found.correlate({"namespace": "shop"}).reason is Reason.AMBIGUOUS


NAMES = st.sampled_from(["cart", "checkout", "v2", "v3", "true", "cart-primary", "cart.example.com", ""])
KEYS = st.sampled_from([*LabelNames().canary, *LabelNames().workload, *LabelNames().application,
                        *LabelNames().version, *LabelNames().host])  # fmt: skip


@given(st.dictionaries(KEYS, NAMES, max_size=5), st.sampled_from(["shop", "bank", "nowhere"]), st.booleans())
def test_an_alert_never_reaches_a_canary_in_another_namespace(
    labels: dict[str, str], namespace: str, single: bool
) -> None:
    fallback = Fallback.SINGLE_ACTIVE if single else Fallback.REFUSE
    match = index(*SHOP, fallback=fallback).correlate({**labels, "namespace": namespace})

    assert match.ref is None or match.ref.namespace == namespace


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.booleans(), st.sampled_from(["v1", "v2 v3", ""]))))
def test_what_is_dropped_leaves_nothing_behind(changes: list[tuple[str, bool, str]]) -> None:
    made = index()
    for name, active, versions in changes:
        made.put(profile("shop", name, active=active, versions=versions, hosts=f"{name}.example.com"))
    for name in ("a", "b", "c"):
        made.drop(CanaryRef("shop", name))

    left = [bucket for bucket in vars(made).values() if isinstance(bucket, dict) and bucket]
    assert left == []
