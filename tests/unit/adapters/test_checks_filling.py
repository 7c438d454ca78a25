"""What is filled into queries, URLs and Jobs: names and numbers, and nothing that could be more than that."""

from __future__ import annotations

import dataclasses
import string

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from daemon.adapters.checks import filling
from daemon.model import errors
from daemon.model.canary import CanaryRef
from tests.checks import SUBJECT, subject
from tests.unit import facts


def test_every_field_has_its_value() -> None:
    template = " ".join(f"${field}" for field in filling.FIELDS)
    assert filling.fill(filling.checked(template), SUBJECT).split() == [
        "shop", "podinfo", "podinfo-app", "podinfo-app-primary", "podinfo-svc", "podinfo-svc-canary",
        "podinfo-svc-primary", "7b8cb8dc5d", "0123456789abcdef", "5", "90s",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "told"), [(90, "90s"), (0.5, "500ms"), (1800, "1800s"), (0, "1ms"), (1.5, "1500ms"), (0.0001, "1ms")]
)
def test_windows_are_durations_of_prometheus(seconds: float, told: str) -> None:
    assert filling.duration(seconds) == told


@given(st.text(min_size=1, max_size=20))
def test_nothing_that_is_filled_in_ends_a_string_or_a_part_of_a_url(revision: str) -> None:
    try:
        query = filling.fill('x{revision="$revision"}', subject(revision=revision))
    except errors.Refused as error:
        assert "$revision cannot be filled in" in str(error)
        return
    assert query == f'x{{revision="{revision}"}}'
    assert set(revision) <= set(string.ascii_letters + string.digits + ".-_")


def test_a_document_is_filled_within_its_texts() -> None:
    document = {"$name": ["$name", {"deep": "a $$ $weight%"}], "n": 1, "none": None}
    assert filling.fill_document(document, SUBJECT) == {
        "$name": ["podinfo", {"deep": "a $ 5%"}], "n": 1, "none": None,
    }  # fmt: skip


SHELL = 'echo "$HOME" $(date) $$ $1 ${PATH%:*} $(PULLBACK_NAME)'


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$name in $namespace", "podinfo in shop"),
        ("${name}s and $names", "podinfos and $names"),
        ("$canary_service $service", "podinfo-svc-canary podinfo-svc"),
        ("$$name $${name}", "$name ${name}"),
        (SHELL, SHELL),
        ("$", "$"),
    ],
)  # fmt: skip
def test_a_shell_keeps_its_own_dollars(text: str, filled: str) -> None:
    assert filling.fill_known({"a": [text]}, filling.values(SUBJECT)) == {"a": [filled]}


def test_yaml_that_grows_without_end_is_refused() -> None:
    steps = zip("abcdefg", "bcdefgh", strict=True)
    laughs = "a: &a [x, x]\n" + "".join(f"{name}: &{name} [{', '.join(['*' + last] * 9)}]\n" for last, name in steps)
    with pytest.raises(ValueError, match="at most 5000 values"):
        filling.fill_known(yaml.safe_load(laughs), filling.values(SUBJECT))
    with pytest.raises(ValueError, match="60 levels"):
        filling.fill_known(yaml.safe_load("a: &a [*a]"), filling.values(SUBJECT))


def test_the_namespace_is_that_of_the_pods() -> None:
    """The object may be a route that lives beside its gateway."""
    beside = dataclasses.replace(SUBJECT, canary=facts.undriven(ref=CanaryRef("istio-ingress", "shop")))
    assert filling.fill("$namespace $name", beside) == "shop shop"
