"""A Kubernetes API for a test: the embedded one, or a real kube-apiserver where KUBEBUILDER_ASSETS names one.

Tests that take `cluster` run unchanged against both; tests that need faults take `emulator`.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kubernetes_asyncio.client import ApiClient, Configuration, CustomObjectsApi
from kubernetes_asyncio.config import load_kube_config

from daemon.sandbox.kubernetes_api import KubernetesApi
from tests.apiserver import ControlPlane

ROOT = Path(__file__).parent.parent
CRDS = (ROOT / "daemon/sandbox/crds", ROOT / "helm/pullback/crds")
TEST_NAMESPACE = "test"
EMPTIED = (
    "/apis/pullback.dev/v1alpha1/namespaces/{}/rollbacks",
    "/apis/pullback.dev/v1alpha1/namespaces/{}/canaryrevisions",
    "/apis/flagger.app/v1beta1/namespaces/{}/canaries",
    "/apis/networking.istio.io/v1/namespaces/{}/virtualservices",
    "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes",
    "/apis/gateway.networking.k8s.io/v1/namespaces/{}/grpcroutes",
    "/apis/networking.istio.io/v1/namespaces/{}/destinationrules",
    "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
    "/apis/argoproj.io/v1alpha1/namespaces/{}/rollouts",
    "/apis/apps/v1/namespaces/{}/deployments",
    "/apis/apps/v1/namespaces/{}/replicasets",
    "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    # Not said, a real API server would keep a Job until a controller has orphaned its pods.
    "/apis/batch/v1/namespaces/{}/jobs?propagationPolicy=Background",
    "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
    "/apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects",
    "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{}/kustomizations",
    "/apis/helm.toolkit.fluxcd.io/v2/namespaces/{}/helmreleases",
    "/apis/argoproj.io/v1alpha1/namespaces/{}/applications",
    "/api/v1/namespaces/{}/pods",
    "/api/v1/namespaces/{}/configmaps",
    "/api/v1/namespaces/{}/secrets",
    "/api/v1/namespaces/{}/events",
)


@dataclass(frozen=True, slots=True)
class Cluster:
    kubeconfig: Path
    url: str
    emulator: KubernetesApi | None
    token: str = ""

    def session(self) -> aiohttp.ClientSession:
        """Raw HTTP with this cluster's credentials; requests take paths."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        trust: ssl.SSLContext | bool = not self.url.startswith("https")
        return aiohttp.ClientSession(self.url, headers=headers, connector=aiohttp.TCPConnector(ssl=trust))


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane | None]:
    """The real thing, once per session, or None."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets:
        yield None
        return
    with ControlPlane(Path(assets), tmp_path_factory.mktemp("apiserver"), CRDS, TEST_NAMESPACE) as running:
        yield running


@pytest.fixture
async def emulator() -> AsyncIterator[KubernetesApi]:
    """The embedded server, with all definitions and the namespace `test`; it takes faults."""
    async with KubernetesApi(CRDS, [TEST_NAMESPACE]) as api:
        yield api


@pytest.fixture
async def cluster(control_plane: ControlPlane | None, tmp_path: Path) -> AsyncIterator[Cluster]:
    if control_plane is not None:
        yield Cluster(control_plane.kubeconfig, control_plane.url, None, control_plane.token)
        return
    async with KubernetesApi(CRDS, [TEST_NAMESPACE]) as api:
        yield Cluster(api.kubeconfig(tmp_path / "kubeconfig"), api.url, api)


@pytest.fixture
async def namespace(cluster: Cluster) -> AsyncIterator[str]:
    """A namespace nobody else uses."""
    async with new_namespace(cluster) as name:
        yield name


@contextlib.asynccontextmanager
async def new_namespace(cluster: Cluster) -> AsyncIterator[str]:
    """Made, and emptied after use."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    async with cluster.session() as session:
        async with session.post("/api/v1/namespaces", json=manifest) as response:
            assert response.status == 201, await response.text()
        yield name
        # A real API server without controllers leaves a namespace Terminating, with all that is in it; the next
        # test's daemon would find the canaries and go on with the rollbacks of this one.
        for collection in EMPTIED:
            async with session.delete(collection.format(name)) as response:
                assert response.status in {200, 404}, await response.text()
        async with session.delete(f"/api/v1/namespaces/{name}") as response:
            assert response.status in {200, 202, 404, 409}, await response.text()


@pytest.fixture
async def kubernetes(cluster: Cluster) -> AsyncIterator[ApiClient]:
    configuration = Configuration()
    await load_kube_config(config_file=str(cluster.kubeconfig), client_configuration=configuration)
    async with ApiClient(configuration) as client:
        yield client


@pytest.fixture
def custom_objects(kubernetes: ApiClient) -> Any:
    return CustomObjectsApi(kubernetes)


@pytest.fixture
async def http(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    async with cluster.session() as raw:
        yield raw
