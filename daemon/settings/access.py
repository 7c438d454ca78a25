"""Who may come in, and the API server we go to."""

import pathlib
from typing import Annotated

import pydantic

from daemon.settings.groups import Group, Seconds


class Door(Group):
    """Who may use one group of paths. With nothing configured the daemon refuses to start."""

    bearer_token_files: tuple[pathlib.Path, ...] = ()
    """Files with one token each; all are valid at once, so that a token can be rotated. Read again when changed."""
    username: str = "pullback"
    """For basic auth."""
    password_files: tuple[pathlib.Path, ...] = ()
    """Files with one password each, valid at once, read again when changed."""
    allow_anonymous: bool = False
    """Let everybody in who reaches the port. For a mesh that authenticates callers itself."""


class Tls(Group):
    """TLS on the port. Without a certificate it speaks plain HTTP, as most do behind a mesh."""

    certificate_file: pathlib.Path | None = None
    key_file: pathlib.Path | None = None
    client_ca_file: pathlib.Path | None = None
    """If set, callers must show a certificate of this authority (mTLS), besides any credential."""


class Web(Group):
    """The HTTP port."""

    host: str = "0.0.0.0"
    port: int = pydantic.Field(default=8080, ge=0, le=65535)
    """0 takes a free port (and logs it)."""
    body_limit: int = pydantic.Field(default=1024 * 1024, ge=1024)
    """Bytes of a request body; an Alertmanager group of 1280 ordinary alerts has 1 MiB."""
    body_timeout: Seconds = 10.0
    keep_alive: Annotated[Seconds, pydantic.Field(le=15)] = 15.0
    """Idle seconds before a connection is closed; Flagger leaves one behind with every call, so 15 at most."""
    connections: int = pydantic.Field(default=1000, ge=10)
    """Open connections, over all callers."""
    answer_within: Annotated[Seconds, pydantic.Field(gt=0, le=9)] = 8.0
    """Alertmanager gives up a flush after max(group_interval, 10 s): answer 503 before that, so it retries."""
    alertmanager: Door = Door()
    flagger: Door = Door()
    console: Door = Door()
    """The page at / and the JSON under /api. Unlike the two above it may be left unconfigured: then nobody gets in."""
    tls: Tls = Tls()


class Kubernetes(Group):
    """The API server."""

    kubeconfig: pathlib.Path | None = None
    """Default: the pod's own service account, else KUBECONFIG or ~/.kube/config."""
    context: str | None = None
    namespaces: tuple[str, ...] = ()
    """Watch only these; empty: the whole cluster."""
    timeout: Annotated[Seconds, pydantic.Field(gt=0)] = 2.0
    """Of every single call: a rollback must be able to try several times within its budget."""
    watch_timeout: Annotated[Seconds, pydantic.Field(ge=1)] = 20.0
    """The server ends a watch after this and we resume it: how long a dead connection can go unnoticed."""
    stale_after: Annotated[Seconds, pydantic.Field(gt=0)] = 45.0
    """A watch that heard nothing for this long makes the daemon not ready and its gates cautious."""
    absent_retry: Annotated[Seconds, pydantic.Field(gt=0)] = 15.0
    """How often a kind that is not installed is looked for."""
    cluster_domain: str = "cluster.local"
