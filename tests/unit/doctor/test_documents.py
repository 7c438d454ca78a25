"""Files become documents with lines, and what cannot be read is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.doctor import documents, durations, scripts
from daemon.doctor.documents import Script
from daemon.model import errors
from tests.unit.doctor.reading import files


def test_several_documents_and_their_lines() -> None:
    first, second = documents.parse(
        "f", "kind: A\n---\n# note\nkind: B\nmetadata: {name: x}\nspec:\n  a:\n    - b: 1\n"
    )
    assert (first.kind, second.kind) == ("A", "B")
    assert second.at("spec", "a", 0, "b") == "f:8 B x spec.a[0].b"
    assert second.at("spec", "nothing") == "f:6 B x spec.nothing"


def test_anchors_and_what_stands_in_itself() -> None:
    (one,) = documents.parse("f", "a: &x {b: 1}\nc: {<<: *x}\nd: &y [*y]\n")
    assert one.data["c"] == {"b": 1}


def test_what_kubectl_prints_of_several_objects_is_each_of_them() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- kind: A\n  metadata: {name: x}\n- kind: B\n  spec:\n    a: 1\n"
    first, second = documents.parse("f", text)
    assert (first.kind, first.name, first.at()) == ("A", "x", "f:4 A x")
    assert second.at("spec", "a") == "f:8 B spec.a"
    assert documents.parse("f", "kind: List\nitems: []\n") == []
    (odd,) = documents.parse("f", "kind: PlayList\nitems: many\n")
    assert odd.data["items"] == "many"


def test_fences_of_markdown(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_text(
        "# T\n\n- a list\n\n  ```yaml\n  kind: A\n  b: 1\n  ```\n\n"
        "```bash\necho\n```\n````\n```yaml\nkind: no\n```\n````\n"
    )
    found, shell = documents.read(path)
    assert [(one.data, one.at("b")) for one in found] == [({"kind": "A", "b": 1}, f"{path}:7 A b")]
    assert shell == [Script(str(path), 11, "echo")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.yaml", b"a: 1\nb: [1\nc: 2\n", "x.yaml:3: not YAML: "),
        ("x.yaml", b"a: 1\nb: \xff\n", "x.yaml:2: not UTF-8"),
        ("x.yaml", b"a: !!python/object:os.system x\n", "x.yaml:1: not YAML: "),
        ("x.md", b"# T\n```yaml\na: [\n```\n", "x.md:"),
        ("x.yaml", b"", "x.yaml:1: nothing to examine"),
        ("x.md", b"no fence\n", "x.md:1: nothing to examine"),
    ],
)
def test_what_cannot_be_read_names_file_and_line(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.ConfigurationError) as refused:
        files(tmp_path / name)
    assert said in str(refused.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(errors.ConfigurationError, match="/nonexistent: No such file"):
        files(Path("/nonexistent"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("helm upgrade a b --set canary.weight=0 --wait", ["runbook/helm-wait"]),
        ("helm upgrade a b \\\n  --set canary.weight=0 \\\n  --atomic", ["runbook/helm-wait"]),
        ("helm upgrade a b --set canary.weight=0", []),
        ("helm upgrade a b --set image.tag=x --wait", []),
        ("# helm upgrade a b --set canary.weight=0 --wait", []),
        ("$ kubectl delete pods -l app=x", ["runbook/delete-pods"]),
        ("kubectl -n shop delete pod x", ["runbook/delete-pods"]),
        ("kubectl delete deployment x", []),
        ("kubectl scale deployment shop-stable --replicas=0", ["runbook/stable-gone"]),
        ("kubectl scale deployment shop-canary --replicas=0", []),
        ("curl -d x https://slack.com/api/chat.postMessage", ["runbook/slack-json"]),
        ("curl -H 'Content-Type: application/json' https://slack.com/api/chat.postMessage", []),
    ],
)
def test_scripts(text: str, found: list[str]) -> None:
    assert [one.id for one in scripts.examine(Script("run.sh", 1, text))] == found


def test_the_line_of_a_command_in_a_script() -> None:
    (one,) = scripts.examine(Script("run.md", 10, "set -e\n\nkubectl \\\n  delete pods --all"))
    assert one.where == "run.md:12"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1m30s", 90), ("250ms", 0.25), ("0", 0), (15, 15), ("1d", 86400), ("x", -1), (None, -1), ("5", -1)],
)
def test_durations(text: object, seconds: float) -> None:
    assert durations.seconds(text, -1.0) == seconds


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (0.5, "0.5s"), (59, "59s"), (60, "1m"), (3723, "1h2m3s")])
def test_durations_said(seconds: float, text: str) -> None:
    assert durations.said(seconds) == text
