"""Everything that can be configured: grouped, frozen, read once. An unknown name stops the start.

Later wins: the defaults here (``config/pullback.yaml`` shows them with comments), the file given with
``--config``, the environment (``PULLBACK_<GROUP>__<FIELD>``, lists and objects as JSON). Secrets are files.
"""

import os
import pathlib
import re
import string
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
import pydantic_settings
import yaml

from daemon.model import errors
from daemon.model.cleanup import CleanupPolicy
from daemon.model.notice import Severity
from daemon.model.rules import Act, AlertRule, Fallback, LabelNames, Matcher

PREFIX = "PULLBACK_"

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_CHANNEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def seconds(text: str) -> float:
    """``250ms``, ``30s``, ``5m``, ``1h``, ``30d`` or a plain number. Raises ValueError saying what was expected."""
    found = _DURATION.match(text)
    if found is None:
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"expected a duration such as 30s, 5m or 250ms, got {text!r}") from None
    return float(found[1]) * _UNITS[found[2]]


def _seconds(value: Any) -> Any:
    return seconds(value) if isinstance(value, str) else value


Seconds = Annotated[float, pydantic.BeforeValidator(_seconds), pydantic.Field(ge=0, allow_inf_nan=False)]
"""Seconds, as a number or as ``250ms``, ``30s``, ``5m``, ``1h``, ``30d``."""


class Group(pydantic.BaseModel):
    """One group of settings."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


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
    """The JSON under /api. Unlike the two above it may be left unconfigured: then nobody gets in."""
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


class Labels(Group):
    """Which alert labels mean what; the first that is present speaks."""

    namespace: tuple[str, ...] = LabelNames().namespace
    canary: tuple[str, ...] = LabelNames().canary
    workload: tuple[str, ...] = LabelNames().workload
    application: tuple[str, ...] = LabelNames().application
    version: tuple[str, ...] = LabelNames().version
    host: tuple[str, ...] = LabelNames().host
    template_version: tuple[str, ...] = LabelNames().template_version
    """Labels of a *pod template* that say its version."""


class Correlation(Group):
    """Whom an alert speaks about."""

    labels: Labels = Labels()
    fallback: Fallback = Fallback.REFUSE
    """For an alert that names nothing: ``refuse``, or ``single-active`` (the one active canary of its namespace)."""
    clock_tolerance: Seconds = 5.0
    """How far the clocks of Prometheus and of the cluster may disagree about what came first."""


class Rule(Group):
    """One line of the alert policy."""

    match: tuple[str, ...]
    """Matchers as in Alertmanager, all of which must match: ``severity="critical"``, ``team=~"a|b"``."""
    act: Act
    """``rollback``, ``pause`` (closes the traffic-increase gate while firing) or ``ignore``."""
    severity: Severity | None = None
    """Of the incident that a rollback by this rule opens, P1 to P5; default: ``policy.severity``."""

    @pydantic.field_validator("match")
    @classmethod
    def _readable(cls, matchers: tuple[str, ...]) -> tuple[str, ...]:
        for matcher in matchers:
            Matcher.parse(matcher)
        return matchers


class Policy(Group):
    """What alerts may do."""

    rules: tuple[Rule, ...] = (
        Rule(match=('severity="critical"',), act=Act.ROLLBACK),
        Rule(match=('severity="warning"',), act=Act.PAUSE),
    )
    """First match wins; an alert that matches none is recorded and does nothing."""
    severity: Severity = Severity.P1
    """Of incidents whose rule says nothing, and of rollbacks made by hand."""
    watchdog_alertname: str = "Watchdog"
    """The always-firing alert whose arrival shows that the road to us is open; empty: none."""
    watchdog_late: Annotated[Seconds, pydantic.Field(gt=0)] = 300.0
    """Silence of the Watchdog that is worth a warning in /readyz; several times its repeat_interval."""


class Rollback(Group):
    """From the decision to zero."""

    deadline: Annotated[Seconds, pydantic.Field(gt=0)] = 120.0
    """From received to proved; past it a person is told, with the command that does it by hand."""
    dry_run: bool = False
    """Decide and record, write no route, open no hook: for the first days in a new cluster."""
    mailbox: int = pydantic.Field(default=1000, ge=1)
    """Alerts that may wait for one canary; beyond it the sender is told to come again."""
    backoff_first: Annotated[Seconds, pydantic.Field(gt=0)] = 0.05
    backoff_most: Annotated[Seconds, pydantic.Field(gt=0, le=10)] = 2.0


class Proof(Group):
    """That traffic has stopped."""

    window: Seconds = 5.0
    """How long the routes must have been read back at 0 without a break."""
    read_back: Annotated[Seconds, pydantic.Field(gt=0)] = 1.0
    """Between two readings until proved."""
    read_back_after: Annotated[Seconds, pydantic.Field(gt=0)] = 5.0
    """Between two readings for as long as it is held."""
    prometheus_url: str = ""
    """If set, the canary's request rate must also be 0 there."""
    prometheus_query: str = (
        'sum(rate(istio_requests_total{destination_workload="$workload",'
        'destination_workload_namespace="$namespace"}[1m]))'
    )
    """PromQL; ``$namespace $name $workload $service $canary_service`` are names of Kubernetes objects."""
    prometheus_timeout: Annotated[Seconds, pydantic.Field(gt=0)] = 5.0

    @pydantic.field_validator("prometheus_query")
    @classmethod
    def _fillable(cls, query: str) -> str:
        template = string.Template(query)
        if not template.is_valid():
            raise ValueError("a dollar sign that begins no field; write $$ for the sign itself")
        unknown = set(template.get_identifiers()) - {"namespace", "name", "workload", "service", "canary_service"}
        if unknown:
            raise ValueError(f"unknown field ${min(unknown)}")
        return query


class Evidence(Group):
    """What is kept of a canary's pods before they go away."""

    within: Annotated[Seconds, pydantic.Field(gt=0, le=60)] = 15.0
    """For gathering; what is not read by then is named as missing. Cleanup of our own waits no longer than this."""
    pods: int = pydantic.Field(default=5, ge=1, le=50)
    """Unready and restarted ones first."""
    log_lines: int = pydantic.Field(default=200, ge=0, le=10_000)
    """Last lines of each container, and of its previous life."""
    log_bytes: int = pydantic.Field(default=32 * 1024, ge=1024, le=256 * 1024)
    """Of each container."""
    redact: tuple[str, ...] = ()
    """Regular expressions besides the built-in ones for tokens, passwords and keys. A group called ``secret`` is
    replaced alone."""


class Cleanup(Group):
    """What becomes of the canary's pods once its traffic is gone."""

    policy: CleanupPolicy = CleanupPolicy.SCALE_TO_ZERO
    """``scale-to-zero`` (by the controller where there is one), or ``keep``."""
    nudge: bool = False
    """While canary pods are not ready Flagger does not ask its rollback hook, for up to progressDeadlineSeconds. Then
    set that to 1 s on the Canary until it says Failed, and put it back. A revision pushed in that moment fails too."""
    nudge_after: Annotated[Seconds, pydantic.Field(gt=0)] = 15.0
    """From the routes at 0."""
    grace: Annotated[Seconds, pydantic.Field(gt=0)] = 60.0
    """How long pods must have been up behind Flagger's back, after Failed, before they are taken down again."""


class Notices(Group):
    """Who is told."""

    channels: dict[str, dict[str, Any]] = pydantic.Field(default={"events": {"kind": "kubernetes-events"}})
    """By a name of your own: ``kind`` (slack, pagerduty, opsgenie, webhook, kubernetes-events) and its options."""
    dashboard_url: str = ""
    """Linked from every notice; ``$namespace``, ``$canary`` and ``$revision`` are filled in."""

    @pydantic.field_validator("channels")
    @classmethod
    def _named(cls, channels: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name in channels:
            if not _CHANNEL.fullmatch(name):
                raise ValueError(f"{name!r}: expected a name of lower case letters, digits and dashes, 40 at most")
        return channels


class Records(Group):
    """How long Rollback records are kept; never while unfinished, and the newest of each canary always."""

    keep_for: Annotated[Seconds, pydantic.Field(ge=3600)] = 30 * 86400.0
    keep: int = pydantic.Field(default=50, ge=1)
    """Per canary."""
    prune_every: Annotated[Seconds, pydantic.Field(gt=0)] = 300.0


class Lease(Group):
    """By which one of several replicas proves, keeps evidence, cleans up, tells and prunes."""

    namespace: str = ""
    """Default: the pod's own, else ``default``."""
    name: str = pydantic.Field(default="pullback", min_length=1)
    duration: Annotated[Seconds, pydantic.Field(ge=1)] = 15.0
    """How long others wait for a leader that no longer renews."""
    renew_deadline: Annotated[Seconds, pydantic.Field(gt=0)] = 10.0
    """How long a renewal is good for; less than ``duration``: the rest is for running work to end."""
    retry: Annotated[Seconds, pydantic.Field(gt=0)] = 2.0

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> "Lease":
        if not self.duration > self.renew_deadline > self.retry:
            raise ValueError("expected duration > renew_deadline > retry")
        return self


class Pull(Group):
    """The backstop for webhooks that never came: Alertmanager is asked what fires."""

    alertmanager_urls: tuple[str, ...] = ()
    """Every peer; empty: nobody is asked."""
    every: Annotated[Seconds, pydantic.Field(ge=1)] = 30.0
    receiver: str = ""
    """Regular expression: only alerts that are routed to such a receiver; empty: all."""
    bearer_token_file: pathlib.Path | None = None
    username: str = "pullback"
    password_file: pathlib.Path | None = None
    """For basic auth."""
    timeout: Annotated[Seconds, pydantic.Field(gt=0)] = 5.0

    @pydantic.field_validator("alertmanager_urls")
    @classmethod
    def _reachable(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not re.match(r"https?://[^/\s]+", url):
                raise ValueError(f"{url!r}: expected http://HOST:PORT or https://HOST:PORT, with a path prefix if any")
        return urls


class Log(Group):
    """Log lines, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class Lifecycle(Group):
    """Starting and stopping."""

    drain: Seconds = 5.0
    """On SIGTERM, how long running writes may take to finish."""
    linger: Seconds = 0.0
    """On SIGTERM, how long to go on answering while endpoints lose us (webhooks get 503 meanwhile)."""


class Settings(pydantic_settings.BaseSettings):
    """All groups. Nothing stands at the top level: a typo there could not be told from a foreign variable."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    web: Web = Web()
    kubernetes: Kubernetes = Kubernetes()
    correlation: Correlation = Correlation()
    policy: Policy = Policy()
    rollback: Rollback = Rollback()
    proof: Proof = Proof()
    evidence: Evidence = Evidence()
    cleanup: Cleanup = Cleanup()
    notices: Notices = Notices()
    records: Records = Records()
    lease: Lease = Lease()
    pull: Pull = Pull()
    log: Log = Log()
    lifecycle: Lifecycle = Lifecycle()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[pydantic_settings.BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: pydantic_settings.PydanticBaseSettingsSource,
        env_settings: pydantic_settings.PydanticBaseSettingsSource,
        dotenv_settings: pydantic_settings.PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: pydantic_settings.PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[pydantic_settings.PydanticBaseSettingsSource, ...]:
        """The environment over the file, which comes in as the arguments."""
        return env_settings, init_settings

    @property
    def rules(self) -> tuple[AlertRule, ...]:
        return tuple(
            AlertRule(
                tuple(Matcher.parse(text) for text in rule.match), rule.act, rule.severity or self.policy.severity
            )
            for rule in self.policy.rules
        )

    @property
    def label_names(self) -> LabelNames:
        return LabelNames(**self.correlation.labels.model_dump())


def load(path: pathlib.Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Reads the file and the environment. Raises ConfigurationError naming file, field and what was expected."""
    environment = os.environ if environment is None else environment
    source = str(path) if path else "the environment"
    document = _read(path) if path else {}
    for name in environment:
        group, delimiter, _ = name.removeprefix(PREFIX).partition("__")
        if name.startswith(PREFIX) and delimiter and group.lower() not in Settings.model_fields:
            raise errors.ConfigurationError(
                f"{name}: no group {group.lower()!r}; expected one of {', '.join(Settings.model_fields)}"
            )
    try:
        return Settings(**document)
    except pydantic.ValidationError as error:
        lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)]
        raise errors.ConfigurationError(f"{source}: " + "\n  ".join(lines)) from error
    except pydantic_settings.SettingsError as error:
        raise errors.ConfigurationError(f"the environment: {error}") from error


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise errors.ConfigurationError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise errors.ConfigurationError(f"{path}: not YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise errors.ConfigurationError(f"{path}: expected groups of settings, got {type(document).__name__}")
    return {str(key): value for key, value in document.items()}
