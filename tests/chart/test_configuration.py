"""The configuration that the pods get: the values as they stand, and what the chart knows, and it can be used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon import settings
from daemon.adapters import notify
from daemon.bootstrap.doors import door
from tests.chart.rendering import EVERYTHING, MATRIX, MINIMAL, SLACK, Manifest, Values, container, render, the
from tests.chart.test_manifests import all_values

ROOM = "/etc/pullback"


@pytest.fixture(autouse=True)
def _no_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PULLBACK_"):
            monkeypatch.delenv(name)


def written(manifests: list[Manifest]) -> str:
    """pullback.yaml."""
    text = the(manifests, "ConfigMap", the(manifests, "Deployment")["metadata"]["name"])["data"]["pullback.yaml"]
    assert isinstance(text, str)
    return text


def mounted(manifests: list[Manifest]) -> dict[str, tuple[str, str]]:
    """Every file that comes from a Secret: its path, and which key of which Secret it is."""
    volumes = {one["name"]: one for one in the(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"]}
    found = {}
    for mount in container(manifests)["volumeMounts"]:
        volume = volumes[mount["name"]]
        for source in volume.get("projected", {}).get("sources", ()):
            for item in source["secret"]["items"]:
                found[f"{mount['mountPath']}/{item['path']}"] = (source["secret"]["name"], item["key"])
        if "secret" in volume:
            name = volume["secret"]["secretName"]
            found |= {f"{mount['mountPath']}/{key}": (name, key) for key in ("tls.crt", "tls.key", "ca.crt")}
    return found


def as_in_a_pod(manifests: list[Manifest], room: Path) -> Path:
    """The configuration and its secrets, below a folder in the place of /etc/pullback."""
    for path in mounted(manifests):
        file = room / path.removeprefix(f"{ROOM}/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("secret\n")
    file = room / "pullback.yaml"
    file.write_text(written(manifests).replace(ROOM, str(room)))
    return file


@all_values
def test_the_daemon_starts_with_it(values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in container(render(values))["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    loaded = settings.load(as_in_a_pod(render(values), tmp_path))
    for name in ("alertmanager", "flagger", "console"):
        door(name, getattr(loaded.web, name), optional=name == "console")
    notify.check(loaded.notices.channels)
    tls = loaded.web.tls
    for path in (tls.certificate_file, tls.key_file, tls.client_ca_file):
        assert path is None or path.is_file()
    assert loaded.web.port == container(render(values))["ports"][0]["containerPort"]


@all_values
def test_the_pods_read_the_file_that_is_mounted(values: Values) -> None:
    manifests = render(values)
    daemon = container(manifests)
    assert daemon["args"] == ["serve"]
    (mount,) = [one for one in daemon["volumeMounts"] if one["name"] == "config"]
    assert {"name": "PULLBACK_CONFIG", "value": f"{mount['mountPath']}/pullback.yaml"} in daemon["env"]
    volumes = the(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"]
    (volume,) = [one for one in volumes if one["name"] == "config"]
    assert volume["configMap"]["name"] == the(manifests, "Deployment")["metadata"]["name"]


def test_what_values_say_stands_there_and_wins() -> None:
    document = yaml.safe_load(written(render(EVERYTHING)))
    said: dict[str, Any] = EVERYTHING["config"]
    assert document["policy"] == said["policy"]
    assert document["notices"] == said["notices"]
    assert document["lifecycle"] == said["lifecycle"]
    assert document["web"]["body_limit"] == 10_485_760
    own = {**MINIMAL, "config": {"web": {"flagger": {"password_files": ["/run/mine"]}}}}
    assert yaml.safe_load(written(render(own)))["web"]["flagger"]["password_files"] == ["/run/mine"]


@pytest.mark.parametrize(
    ("name", "watched"),
    [("minimal", ["shop", "checkout"]), ("cluster-wide", []), ("cluster-wide, but watching one namespace", ["shop"])],
)
def test_what_is_watched_follows_what_is_allowed(name: str, watched: list[str]) -> None:
    assert yaml.safe_load(written(render(MATRIX[name])))["kubernetes"]["namespaces"] == watched


def test_secrets_are_files_by_reference_and_two_are_valid_at_once() -> None:
    manifests = render(EVERYTHING)
    doors = yaml.safe_load(written(manifests))["web"]
    files = mounted(manifests)
    assert [files[path] for path in doors["alertmanager"]["bearer_token_files"]] == [("am", "new"), ("am", "old")]
    assert [files[path] for path in doors["flagger"]["password_files"]] == [("pullback-flagger", "password")]
    assert [files[path] for path in doors["console"]["password_files"]] == [("console", "password")]
    assert files[SLACK] == ("slack", "token")
    # No subPath: the kubelet would not bring a rotated secret there.
    assert not [one for one in container(manifests)["volumeMounts"] if "subPath" in one]


def test_each_release_has_a_lease_of_its_own() -> None:
    names = {yaml.safe_load(written(render(MINIMAL, name=name)))["lease"]["name"] for name in ("one", "two")}
    assert names == {"one-pullback", "two-pullback"}
