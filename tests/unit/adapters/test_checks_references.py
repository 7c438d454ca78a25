"""Names of images, credentials for them, and JSON at a path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daemon.adapters.checks.expecting import Expectation, Seen
from daemon.adapters.checks.references import parse
from daemon.adapters.checks.registry_access import credentials_for, read_credentials

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("image", "host", "repository", "tag", "digest"),
    [
        ("nginx", "registry-1.docker.io", "library/nginx", "latest", ""),
        ("nginx:1.27", "registry-1.docker.io", "library/nginx", "1.27", ""),
        ("acme/app", "registry-1.docker.io", "acme/app", "latest", ""),
        ("docker.io/nginx", "registry-1.docker.io", "library/nginx", "latest", ""),
        ("index.docker.io/acme/app:1", "registry-1.docker.io", "acme/app", "1", ""),
        ("ghcr.io/acme/app:v1.2_3", "ghcr.io", "acme/app", "v1.2_3", ""),
        ("localhost/app", "localhost", "app", "latest", ""),
        ("registry.local:5000/team/sub/app:1", "registry.local:5000", "team/sub/app", "1", ""),
        ("registry:5000/app", "registry:5000", "app", "latest", ""),
        (f"ghcr.io/acme/app@{DIGEST}", "ghcr.io", "acme/app", "", DIGEST),
        (f"ghcr.io/acme/app:1@{DIGEST}", "ghcr.io", "acme/app", "1", DIGEST),
        ("[::1]:5000/app:1", "[::1]:5000", "app", "1", ""),
    ],
)
def test_images_are_read_as_docker_reads_them(image: str, host: str, repository: str, tag: str, digest: str) -> None:
    found = parse(image)
    assert (found.host, found.repository, found.tag, found.digest) == (host, repository, tag, digest)
    assert found.version == (digest or tag)


@pytest.mark.parametrize(
    "image",
    [
        "", "Nginx", "nginx:", "nginx:a b", "a//b", "/a", "a/", "nginx@sha256:abc", "nginx@", "nginx@md5:" + "a" * 32,
        "--help", "a.example/../b", "a.example/x:" + "t" * 129, "x" * 600, "a.example/a?b=c", "a.example/a#b", "a:1:2",
    ],
)  # fmt: skip
def test_what_is_no_image_is_told(image: str) -> None:
    with pytest.raises(ValueError, match="expected an image such as"):
        parse(image)


def test_docker_hub_s_own_name_stays_in_what_is_verified() -> None:
    assert parse("nginx").at(DIGEST) == f"docker.io/library/nginx@{DIGEST}"


def test_the_longest_matching_path_has_the_credentials(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    auths = {
        "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
        "ghcr.io": {"username": "all", "password": "1"},
        "https://ghcr.io/acme": {"username": "acme", "password": "2"},
        "ghcr.io/acme/a": {"username": "a", "password": "3"},
        "other.example": {},
    }
    path.write_text(json.dumps({"auths": auths}), "utf-8")
    known = read_credentials(path)

    def whose(image: str) -> str | None:
        pair = credentials_for(known, parse(image))
        return None if pair is None else pair[0]

    assert whose("nginx") == "hub"
    assert whose("ghcr.io/acme/app") == "acme"
    assert whose("ghcr.io/acme/a") == "a"
    assert whose("ghcr.io/acmelike/app") == "all"
    assert whose("ghcr.io.evil.example/acme/app") is None
    assert whose("other.example/app") is None


def problem(expected: dict[str, Any], body: bytes, **more: Any) -> str:
    given: dict[str, Any] = {"status": ((200, 299),), "contains": (), "matches": None, "latency": None, **more}
    return Expectation(json=expected, **given).problem(Seen(200, body, True, 0.01))


@pytest.mark.parametrize(
    ("expected", "body"),
    [
        ({"status": "ok"}, b'{"status": "ok"}'),
        ({"items.1.id": 7}, b'{"items": [{}, {"id": 7}]}'),
        ({"a": None}, b'{"a": null}'),
        ({"a": {"b": [1]}}, b'{"a": {"b": [1]}}'),
        ({"0": 1}, b"[1]"),
        ({"n": 1}, b'{"n": 1.0}'),
    ],
)
def test_json_that_is_as_expected(expected: dict[str, Any], body: bytes) -> None:
    assert problem(expected, body) == ""


@pytest.mark.parametrize(
    ("expected", "body", "told"),
    [
        ({"status": "ok"}, b'{"status": "bad"}', 'expected status to be "ok", got "bad"'),
        ({"a.b": 1}, b'{"a": 1}', "expected a.b to be 1, got nothing there"),
        ({"a": None}, b"{}", "expected a to be null, got nothing there"),
        ({"a": True}, b'{"a": 1}', "expected a to be true, got 1"),
        ({"a": 1}, b'{"a": true}', "expected a to be 1, got true"),
        ({"a.9": 1}, b'{"a": [1]}', "expected a.9 to be 1, got nothing there"),
        ({"a": 1}, b"<html>", "expected JSON, got 200: <html>"),
        ({"a": 1}, b"", "expected JSON, got 200 with an empty body"),
        ({"a": 1}, b"[" * 100_000, "expected JSON, got 200: [[["),
    ],
)
def test_json_that_is_not_as_expected(expected: dict[str, Any], body: bytes, told: str) -> None:
    assert problem(expected, body).startswith(told)
