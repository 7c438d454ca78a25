"""A real etcd and kube-apiserver from an envtest folder, so that the embedded one can be held against them.

The flags are those controller-runtime's envtest gives, with a token file in place of client certificates.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from daemon.sandbox.kubernetes_api import read_definitions

START_SECONDS = 90.0
STOP_SECONDS = 15.0
PEOPLE = ("alice", "bob", "carol,dave")
"""Who else may come, besides the tester."""
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class ControlPlane:
    def __init__(self, assets: Path, folder: Path, crds: Iterable[Path], namespace: str) -> None:
        self.token = secrets.token_hex(16)
        self.people = {name: secrets.token_hex(16) for name in PEOPLE}
        """Their tokens, by name."""
        self.kubeconfig = folder / "kubeconfig"
        self._assets = assets
        self._folder = folder
        self._crds = crds
        self._namespace = namespace
        self._processes: list[subprocess.Popen[bytes]] = []
        # The server signs its own certificate; this is one machine talking to itself.
        self._trust = ssl._create_unverified_context()  # noqa: S323
        self.url = f"https://127.0.0.1:{free_port()}"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        etcd = f"http://127.0.0.1:{free_port()}"
        peer = f"http://127.0.0.1:{free_port()}"
        self._spawn(
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        )
        self._spawn("kube-apiserver", *self._apiserver_flags(etcd))
        self._until("the server is ready", lambda: self._call("GET", "/readyz")[0] == 200)
        self._write_kubeconfig()
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._namespace}}
        self._call("POST", "/api/v1/namespaces", manifest)
        for definition in read_definitions(self._crds):
            self._install(definition)

    def _apiserver_flags(self, etcd: str) -> list[str]:
        key, tokens = self._folder / "service-account.key", self._folder / "tokens.csv"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        known = {"tester": self.token, **self.people}
        tokens.write_text("".join(f'{token},"{name}","{name}","system:masters"\n' for name, token in known.items()))
        return [
            f"--etcd-servers={etcd}",
            f"--cert-dir={self._folder / 'certificates'}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.url.rpartition(':')[2]}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
            f"--service-account-issuer={self.url}/",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
        ]

    def _spawn(self, name: str, *flags: str) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            command = [str(self._assets / name), *flags]
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))

    def _install(self, definition: dict[str, Any]) -> None:
        name = definition["metadata"]["name"]
        status, answer = self._call("POST", DEFINITIONS, definition)
        if status != 201:
            raise RuntimeError(f"{name} was refused: {answer}")
        spec = definition["spec"]
        plural = spec["names"]["plural"]
        for version in spec["versions"]:
            path = f"/apis/{spec['group']}/{version['name']}/{plural}"
            self._until(f"{path} is served", lambda path=path: self._call("GET", path)[0] == 200)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10, context=self._trust) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (urllib.error.URLError, OSError) as error:
            return 0, str(error)

    def _until(self, what: str, holds: Any) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not holds():
            ended = [p.args for p in self._processes if p.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"waited for: {what}. Ended: {ended}. Logs: {self._logs()}")
            time.sleep(0.1)

    def _logs(self) -> str:
        tails = [f"{p.name}:\n{p.read_text(errors='replace')[-3000:]}" for p in self._folder.glob("*.log")]
        return "\n".join([f"kept in {self._folder}", *tails])

    def _write_kubeconfig(self) -> None:
        cluster = {"server": self.url, "insecure-skip-tls-verify": True}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "envtest",
            "clusters": [{"name": "envtest", "cluster": cluster}],
            "users": [{"name": "envtest", "user": {"token": self.token}}],
            "contexts": [{"name": "envtest", "context": {"cluster": "envtest", "user": "envtest"}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def _stop(self) -> None:
        """The API server before its store, each by its own process id."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)
        self._processes.clear()
