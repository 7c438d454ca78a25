"""Who may come in: any of the files counts, exchanged ones at once, and nothing that is sent can break the guard."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.adapters.credentials import Credentials
from daemon.model.errors import ConfigurationError


def guard(folder: Path, *, anonymous: bool = False, **files: str) -> Credentials:
    """Files are named ``bearer…`` or ``password…``."""
    for name, secret in files.items():
        (folder / name).write_text(secret)
    return Credentials(
        bearer_files=[folder / name for name in files if name.startswith("bearer")],
        username="pullback",
        password_files=[folder / name for name in files if name.startswith("password")],
        anonymous=anonymous,
    )


def basic(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def test_a_bearer_token_a_password_and_a_token_in_the_body_are_each_accepted(tmp_path: Path) -> None:
    door = guard(tmp_path, bearer="token\n", password=" word \n")
    said = {
        "Bearer token": True,
        "bearer token": True,
        "BEARER  token ": True,
        "Bearer word": False,
        "Bearer": False,
        "Bearer token\n": True,
        "Bearer TOKEN": False,
        "Token token": False,
        "token": False,
        basic("pullback:word"): True,
        basic("pullback: word "): False,
        basic("pullback:token"): False,
        basic("Pullback:word"): False,
        basic("pullback"): False,
        basic(":word"): False,
        "Basic": False,
        "Basic pullback:word": False,
        "": False,
    }
    assert {header: door.accept(header) for header in said} == said
    assert [door.accept("", token) for token in ("token", "word", "wrong", "")] == [True, True, False, False]


def test_a_password_may_hold_colons_and_any_letter(tmp_path: Path) -> None:
    door = guard(tmp_path, password="a:b:ü\n")
    assert door.accept(basic("pullback:a:b:ü"))


@pytest.mark.parametrize(
    "header",
    ["Basic é", "Basic \udce9", "Bearer \udce9", "Basic ====", "Basic " + "A" * 5, basic(b"\xff\xfe:x"), "\udc80"],
)
def test_a_header_that_is_no_text_is_refused_and_nothing_else_happens(header: str, tmp_path: Path) -> None:
    assert guard(tmp_path, bearer="token", password="word").accept(header) is False


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text())
def test_whatever_is_sent_is_refused(tmp_path: Path, header: str, token: str) -> None:
    door = guard(tmp_path, bearer="a-long-token-nobody-guesses", password="a-long-password-nobody-guesses")
    assert [door.accept(one, token) for one in (header, f"Basic {header}", f"Bearer {header}")] == [False] * 3


def test_two_secrets_are_valid_at_once_and_an_exchanged_file_counts_at_once(tmp_path: Path) -> None:
    door = guard(tmp_path, bearer_old="old", bearer_new="new")
    assert [door.accept(f"Bearer {token}") for token in ("old", "new", "newer")] == [True, True, False]

    (tmp_path / "next").write_text("newer")
    (tmp_path / "next").replace(tmp_path / "bearer_old")
    assert [door.accept(f"Bearer {token}") for token in ("old", "new", "newer")] == [False, True, True]


def test_a_secret_behind_the_links_that_kubernetes_exchanges_is_followed(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "token").write_text(version)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "token").symlink_to("..data/token")
    door = Credentials(bearer_files=[tmp_path / "token"], username="", password_files=[], anonymous=False)
    assert door.accept("Bearer v1")

    (tmp_path / "..tmp").symlink_to("v2")
    (tmp_path / "..tmp").replace(tmp_path / "..data")
    assert [door.accept("Bearer v1"), door.accept("Bearer v2")] == [False, True]


@pytest.mark.parametrize("broken", [None, b"", b" \n", b"\xff\xfe"])
def test_while_a_file_cannot_be_read_the_last_good_secret_counts(broken: bytes | None, tmp_path: Path) -> None:
    door = guard(tmp_path, bearer="good")
    assert door.accept("Bearer good")
    if broken is None:
        (tmp_path / "bearer").unlink()
    else:
        (tmp_path / "bearer").write_bytes(broken)
    assert [door.accept("Bearer good"), door.accept("Bearer"), door.accept("Bearer ")] == [True, False, False]


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_file_that_is_named_must_hold_a_secret_from_the_start(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    door = Credentials(bearer_files=[path], username="", password_files=[], anonymous=False)
    with pytest.raises(ConfigurationError, match="token: expected a readable file with a secret in it"):
        door.check()
    assert [door.accept("Bearer "), door.accept("Bearer"), door.accept("", ""), door.accept("Basic Og==")] == [
        False
    ] * 4


def test_without_anything_configured_nobody_comes_in_unless_everybody_may(tmp_path: Path) -> None:
    nobody, everybody = guard(tmp_path), guard(tmp_path, anonymous=True)
    assert (nobody.configured, nobody.accept("Bearer x", "x")) == (False, False)
    assert (everybody.configured, everybody.accept("")) == (False, True)


def test_no_secret_is_shown(tmp_path: Path) -> None:
    door = guard(tmp_path, bearer="sesame")
    assert door.accept("Bearer sesame")
    assert "sesame" not in f"{door!r} {vars(door)!r}"
