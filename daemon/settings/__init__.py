"""Everything that can be configured: grouped, frozen, read once. An unknown name stops the start.

Later wins: the defaults here (``config/pullback.yaml`` shows them with comments), the file given with
``--config``, the environment (``PULLBACK_<GROUP>__<FIELD>``, lists and objects as JSON). Secrets are files.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any, Literal

import pydantic
import pydantic_settings
import yaml

from daemon.model import errors
from daemon.model.rules import AlertRule, LabelNames, Matcher
from daemon.model.stages import Profile
from daemon.settings.access import Door, Kubernetes, Tls, Web
from daemon.settings.after_zero import Cleanup, Evidence, Lease, Notices, Pull, Records
from daemon.settings.alerts import Correlation, Policy
from daemon.settings.follow_ups import FollowUps
from daemon.settings.gates import Gates
from daemon.settings.groups import Group, Seconds, seconds
from daemon.settings.zeroing import Proof, Rollback

__all__ = ["PREFIX", "Door", "Settings", "Tls", "load", "seconds"]

PREFIX = "PULLBACK_"


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
    gates: Gates = Gates()
    rollback: Rollback = Rollback()
    proof: Proof = Proof()
    evidence: Evidence = Evidence()
    cleanup: Cleanup = Cleanup()
    follow_ups: FollowUps = FollowUps()
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
    def profiles(self) -> dict[str, Profile]:
        """What the gates of each kind of canary ask for."""
        return self.gates.read(self.policy.stages, self.policy.promotion)

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
