"""Whom an alert speaks about: five steps, most certain first, and never a guess."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.canary import CanaryRef
from daemon.model.decision import Reason
from daemon.model.rules import Fallback, LabelNames
from daemon.policy.correlating import SAYS_NOTHING, CanaryIndex, Match, Profile

PODINFO = CanaryRef("shop", "podinfo")
CART = CanaryRef("shop", "cart")
ELSEWHERE = CanaryRef("bank", "podinfo")


def profile(ref: CanaryRef, *, active: bool = True, version: str = "", host: str = "") -> Profile:
    name = ref.name
    return Profile(
        ref=ref,
        active=active,
        workloads=frozenset({name}),
        stable_workloads=frozenset({f"{name}-primary"}),
        applications=frozenset({name, f"{name}-canary"}),
        versions=frozenset({version or f"{name}-v2"}),
        hosts=frozenset({host or f"{name}.example"}),
    )


def index(*profiles: Profile, fallback: Fallback = Fallback.REFUSE) -> CanaryIndex:
    made = CanaryIndex(LabelNames(), fallback)
    for one in profiles or (profile(PODINFO), profile(CART), profile(ELSEWHERE)):
        made.put(one)
    return made


def found(match: Match) -> str:
    return str(match.ref) if match.ref else str(match.reason)


SAID: dict[str, tuple[dict[str, str], str]] = {
    "1: its canary label": ({"namespace": "shop", "canary": "podinfo"}, "shop/podinfo"),
    "1: Flagger's name label": ({"namespace": "shop", "name": "podinfo"}, "shop/podinfo"),
    "1: in the other namespace": ({"namespace": "bank", "canary": "podinfo"}, "bank/podinfo"),
    "1: by the mesh's namespace": (
        {"destination_workload_namespace": "bank", "canary": "podinfo"}, "bank/podinfo"),
    "1: the plain namespace comes first": (
        {"namespace": "shop", "exported_namespace": "bank", "canary": "podinfo"}, "shop/podinfo"),
    "1: an empty namespace lets the next one speak": (
        {"namespace": "", "exported_namespace": "bank", "canary": "podinfo"}, "bank/podinfo"),
    "1: a canary that is not ours ends there": (
        {"namespace": "shop", "canary": "nobody", "deployment": "podinfo"}, "unmatched"),
    "1: a canary without a namespace ends there": ({"canary": "podinfo", "version": "podinfo-v2"}, "unmatched"),
    "1: a name that is nobody's lets the next label speak": (
        {"namespace": "shop", "name": "nobody", "deployment": "cart"}, "shop/cart"),
    "1: a flag is no name": ({"namespace": "shop", "canary": "true", "app": "cart"}, "shop/cart"),
    "1: a flag in other words": ({"namespace": "shop", "canary": "Yes", "app": "cart"}, "shop/cart"),
    "1: an empty canary label is none": ({"namespace": "shop", "canary": "", "app": "cart"}, "shop/cart"),
    "1: before the workload": ({"namespace": "shop", "canary": "podinfo", "deployment": "cart"}, "shop/podinfo"),
    "2: its deployment": ({"namespace": "shop", "deployment": "podinfo"}, "shop/podinfo"),
    "2: its workload": ({"namespace": "shop", "workload": "podinfo"}, "shop/podinfo"),
    "2: the mesh's workload": ({"namespace": "shop", "destination_workload": "podinfo"}, "shop/podinfo"),
    "2: its app": ({"namespace": "shop", "app": "podinfo"}, "shop/podinfo"),
    "2: its canary service": ({"namespace": "shop", "service": "podinfo-canary"}, "shop/podinfo"),
    "2: its canary service, in the mesh's words": (
        {"namespace": "shop", "destination_service_name": "podinfo-canary"}, "shop/podinfo"),
    "2: a workload comes before an app": ({"namespace": "shop", "app": "cart", "workload": "podinfo"}, "shop/podinfo"),
    "2: two workloads": ({"namespace": "shop", "deployment": "cart", "workload": "podinfo"}, "ambiguous"),
    "2: two apps": ({"namespace": "shop", "app": "cart", "service": "podinfo"}, "ambiguous"),
    "2: the stable workload": ({"namespace": "shop", "deployment": "podinfo-primary"}, "names-stable"),
    "2: the stable workload, and the canary's": (
        {"namespace": "shop", "deployment": "podinfo", "workload": "podinfo-primary"}, "names-stable"),
    "2: another workload ends there": (
        {"namespace": "shop", "deployment": "nobody", "version": "podinfo-v2"}, "unmatched"),
    "2: another app lets the version speak": (
        {"namespace": "shop", "app": "nobody", "version": "podinfo-v2"}, "shop/podinfo"),
    "2: a workload without a namespace is none": ({"deployment": "podinfo"}, "unmatched"),
    "2: a workload that says nothing is none": (
        {"namespace": "shop", "destination_workload": "unknown", "app": "cart"}, "shop/cart"),
    "3: its version": ({"namespace": "shop", "version": "cart-v2"}, "shop/cart"),
    "3: its version, without a namespace": ({"version": "cart-v2"}, "shop/cart"),
    "3: its revision": ({"revision": "cart-v2"}, "shop/cart"),
    "3: a version that two run": ({"version": "podinfo-v2"}, "ambiguous"),
    "3: a version that two run, and the namespace": ({"namespace": "bank", "version": "podinfo-v2"}, "bank/podinfo"),
    "3: a version of another namespace": ({"namespace": "bank", "version": "cart-v2"}, "unmatched"),
    "3: a version that says nothing": ({"namespace": "shop", "version": "latest"}, "unmatched"),
    "3: the first version label that is known": (
        {"namespace": "shop", "version": "nobody-v9", "pod_template_hash": "cart-v2"}, "shop/cart"),
    "4: its host": ({"host": "cart.example"}, "shop/cart"),
    "4: its host as people write it": ({"host": "Cart.Example.:8080"}, "shop/cart"),
    "4: a host that two serve": ({"host": "podinfo.example"}, "ambiguous"),
    "4: a host that two serve, and the namespace": ({"namespace": "shop", "host": "podinfo.example"}, "shop/podinfo"),
    "5: nothing": ({"namespace": "shop"}, "unmatched"),
    "5: nothing at all": ({}, "unmatched"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", SAID)
def test_whom_an_alert_means(sentence: str) -> None:
    labels, expected = SAID[sentence]
    assert expected == found(index().correlate(labels))


def test_versions_and_hosts_speak_only_for_canaries_under_analysis() -> None:
    resting = index(profile(PODINFO, active=False), profile(CART))
    assert found(resting.correlate({"version": "podinfo-v2"})) == "unmatched"
    assert found(resting.correlate({"host": "podinfo.example"})) == "unmatched"
    assert found(resting.correlate({"namespace": "shop", "canary": "podinfo"})) == "shop/podinfo"


def test_where_a_workload_is_ones_stable_side_and_anothers_canary_it_is_the_canarys() -> None:
    both = index(profile(PODINFO), profile(CanaryRef("shop", "podinfo-primary")))
    assert found(both.correlate({"namespace": "shop", "deployment": "podinfo-primary"})) == "shop/podinfo-primary"


def test_the_fallback_takes_the_single_active_canary_of_the_namespace_and_no_other() -> None:
    single = Fallback.SINGLE_ACTIVE
    resting = profile(CART, active=False)
    cases = [
        (index(profile(PODINFO), resting, fallback=single), {"namespace": "shop"}, "shop/podinfo"),
        (index(profile(PODINFO), resting, fallback=single), {}, "unmatched"),
        (index(profile(PODINFO), resting, fallback=single), {"namespace": "bank"}, "unmatched"),
        (index(profile(PODINFO), profile(CART), fallback=single), {"namespace": "shop"}, "ambiguous"),
        (index(profile(PODINFO), fallback=single), {"namespace": "shop", "deployment": "nobody"}, "unmatched"),
        (index(profile(PODINFO), resting), {"namespace": "shop"}, "unmatched"),
    ]
    assert [found(made.correlate(labels)) for made, labels, _ in cases] == [expected for *_, expected in cases]


def test_a_reason_names_the_candidates_but_not_thousands_of_them() -> None:
    many = index(*(profile(CanaryRef("shop", f"c{number:04}"), version="v2") for number in range(1000)))
    match = many.correlate({"version": "v2"})
    assert (match.ref, match.reason) == (None, Reason.AMBIGUOUS)
    assert match.detail == (
        'version version="v2" could mean any of 1000: shop/c0000, shop/c0001, shop/c0002, shop/c0003, shop/c0004'
    )


# -- for any canaries and labels

names = st.sampled_from(["podinfo", "cart", "podinfo-primary", "x"])
namespaces = st.sampled_from(["shop", "bank"])
words = st.one_of(names, st.sampled_from([*sorted(SAYS_NOTHING), "true", "v1", "v2", "a.example", "A.example:80"]))
profiles = st.builds(
    lambda ref, active, version, host: profile(ref, active=active, version=version, host=host),
    st.builds(CanaryRef, namespaces, names),
    st.booleans(),
    st.sampled_from(["v1", "v2"]),
    st.sampled_from(["a.example", "b.example"]),
)
all_labels = [label for group in LabelNames.__dataclass_fields__ for label in getattr(LabelNames(), group)]
labelled = st.dictionaries(st.sampled_from(all_labels), words, max_size=5)
fallbacks = st.sampled_from(Fallback)


@given(st.lists(profiles, max_size=6), labelled, fallbacks)
def test_an_alert_never_reaches_a_canary_in_another_namespace_than_it_names(
    given_profiles: list[Profile], labels: dict[str, str], fallback: Fallback
) -> None:
    match = index(*given_profiles, fallback=fallback).correlate(labels)
    assert (match.ref is None) is (match.reason is not None)
    assert match.detail
    named = next((labels[name] for name in LabelNames().namespace if labels.get(name)), "")
    if match.ref is not None and named:
        assert match.ref.namespace == named


@given(st.lists(profiles, min_size=1, max_size=6), labelled, fallbacks, st.randoms())
def test_the_order_in_which_canaries_were_seen_changes_nothing(
    given_profiles: list[Profile], labels: dict[str, str], fallback: Fallback, chance: st.DataObject
) -> None:
    by_ref = {one.ref: one for one in given_profiles}
    shuffled = list(by_ref.values())
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    expected = index(*by_ref.values(), fallback=fallback).correlate(labels)
    assert index(*shuffled, fallback=fallback).correlate(labels) == expected


@given(st.lists(profiles, max_size=8))
def test_canaries_that_come_and_go_leave_nothing_behind(given_profiles: list[Profile]) -> None:
    made = CanaryIndex(LabelNames(), Fallback.REFUSE)
    for one in given_profiles:
        made.put(one)
        made.put(one)
    for one in given_profiles:
        made.drop(one.ref)
        made.drop(one.ref)
    assert {name: held for name, held in vars(made).items() if isinstance(held, dict) and held} == {}


@given(st.lists(profiles, max_size=8), labelled)
def test_a_canary_that_was_changed_is_found_by_what_it_is_called_now(
    given_profiles: list[Profile], labels: dict[str, str]
) -> None:
    latest = {one.ref: one for one in given_profiles}
    changed = CanaryIndex(LabelNames(), Fallback.REFUSE)
    for one in given_profiles:
        changed.put(one)
    fresh = CanaryIndex(LabelNames(), Fallback.REFUSE)
    for one in latest.values():
        fresh.put(one)
    assert changed.correlate(labels) == fresh.correlate(labels)


class Counted(Mapping[str, str]):
    """Labels that count how often they are asked."""

    def __init__(self, labels: dict[str, str]) -> None:
        self._labels = labels
        self.asked = 0

    def __getitem__(self, name: str) -> str:
        self.asked += 1
        return self._labels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._labels)

    def __len__(self) -> int:
        return len(self._labels)


class CountedRef(CanaryRef):
    """A name that counts how often it is compared or hashed."""

    touched = 0

    def __hash__(self) -> int:
        CountedRef.touched += 1
        return CanaryRef.__hash__(self)

    def __eq__(self, other: object) -> bool:
        CountedRef.touched += 1
        return isinstance(other, CanaryRef) and (self.namespace, self.name) == (other.namespace, other.name)


@pytest.mark.parametrize(
    "labels",
    [
        {"namespace": "shop", "canary": "c7"},
        {"namespace": "shop", "deployment": "c7"},
        {"namespace": "shop", "version": "c7-v2"},
        {"host": "c7.example"},
        {"namespace": "shop", "canary": "nobody"},
        {"version": "nobody"},
        {"namespace": "shop"},
    ],
    ids=str,
)
def test_the_cost_of_a_look_up_does_not_grow_with_the_number_of_canaries(labels: dict[str, str]) -> None:
    costs = []
    for number in (10, 1000):
        made = index(*(profile(CountedRef("shop", f"c{one}")) for one in range(number)))
        CountedRef.touched = 0
        counted = Counted(labels)
        made.correlate(counted)
        costs.append((counted.asked, CountedRef.touched))
    assert costs[0] == costs[1]
