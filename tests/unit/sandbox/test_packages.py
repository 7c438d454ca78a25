"""Where the alerting programs are looked for, and what is said when they cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.sandbox.packages import (
    AlertingUnavailableError,
    binaries_on,
    default_cache,
    find_alerting,
)


def put_programs(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def test_the_chosen_cache_wins(tmp_path: Path) -> None:
    assert default_cache({"PULLBACK_CACHE": "/elsewhere"}, tmp_path, tmp_path) == Path("/elsewhere")


def test_the_cache_is_beside_the_checkout(tmp_path: Path) -> None:
    assert default_cache({}, tmp_path / "code", tmp_path / "home") == tmp_path / "code" / ".cache" / "pullback"


def test_or_in_the_home_folder_when_the_checkout_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "code").write_text("a file where the checkout's folder would be")
    expected = tmp_path / "home" / ".cache" / "pullback"
    assert default_cache({}, tmp_path / "code", tmp_path / "home") == expected


@pytest.mark.parametrize("alertmanager", ["alertmanager", "prometheus-alertmanager"])
def test_alertmanager_goes_by_either_name(tmp_path: Path, alertmanager: str) -> None:
    folder = put_programs(tmp_path / "bin", "prometheus", alertmanager, "promtool", "amtool")
    found = binaries_on(str(folder), "PATH")
    assert found is not None
    assert found.alertmanager == folder / alertmanager


def test_one_missing_program_is_no_set(tmp_path: Path) -> None:
    assert binaries_on(str(put_programs(tmp_path / "bin", "prometheus", "promtool", "amtool")), "PATH") is None


async def test_what_was_unpacked_before_is_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "alerting" / "usr" / "bin"
    put_programs(folder, "prometheus", "prometheus-alertmanager", "promtool", "amtool")
    assert (await find_alerting(tmp_path, path="")).prometheus == folder / "prometheus"


async def test_without_apt_it_says_so_and_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_args, **_options: None)
    with pytest.raises(AlertingUnavailableError, match="apt-get and dpkg not found") as refused:
        await find_alerting(tmp_path, path="")
    assert "--no-alerting" in str(refused.value)


async def test_an_unusable_cache_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("shutil.which", lambda name, path=None: f"/usr/bin/{name}" if path is None else None)
    with pytest.raises(AlertingUnavailableError, match=r"the cache folder .*file/cache cannot be used"):
        await find_alerting(tmp_path / "file" / "cache", path="")


async def test_what_apt_says_reaches_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = put_programs(tmp_path / "bin", "dpkg")
    (tools / "apt-get").write_text(
        '#!/bin/sh\nfor verb; do :; done\necho "W: no network for $verb"\n[ $verb = update ]\n'
    )
    (tools / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(AlertingUnavailableError) as refused:
        await find_alerting(tmp_path / "cache", path="")
    assert "`apt-get -q download prometheus prometheus-alertmanager` ended with 1" in str(refused.value)
    assert "W: no network for update" in str(refused.value)
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.name.startswith("alerting-")] == []
