"""What arguments of several commands have in common: how to reach a cluster, which canary, and words read as values."""

import argparse
import datetime
import math
import os
import pathlib
from typing import TypeAlias

from daemon import bootstrap, settings
from daemon.model.canary import CanaryRef

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # the type has no public name


def configured(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=pathlib.Path, metavar="FILE", default=os.environ.get("PULLBACK_CONFIG") or None,
        help="configuration (YAML); default: $PULLBACK_CONFIG, else the built-in defaults",
    )  # fmt: skip


def reaching(parser: argparse.ArgumentParser) -> None:
    configured(parser)
    parser.add_argument("--kubeconfig", type=pathlib.Path, metavar="FILE", help="default: as kubectl finds it")
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig")
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table", help="default: table")


def named(parser: argparse.ArgumentParser) -> None:
    """One canary."""
    parser.add_argument("name", metavar="NAME", help="name of the canary")
    parser.add_argument("-n", "--namespace", default="default", help="default: default")
    reaching(parser)


def loaded(options: argparse.Namespace) -> settings.Settings:
    read = settings.load(options.config)
    overrides = {name: getattr(options, name, None) for name in ("kubeconfig", "context")}
    given = {name: value for name, value in overrides.items() if value is not None}
    if not given:
        return read
    return read.model_copy(update={"kubernetes": read.kubernetes.model_copy(update=given)})


def canary(options: argparse.Namespace) -> CanaryRef:
    return CanaryRef(options.namespace, options.name)


# -- words


def ago(text: str) -> datetime.datetime:
    try:
        return bootstrap.Surroundings().clock.now() - datetime.timedelta(seconds=settings.seconds(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"expected a duration such as 90m, 12h or 7d, got {text!r}") from None


def count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a number from 1, got {text!r}")
    return int(text)


def duration(text: str) -> float:
    """Seconds, more than none."""
    try:
        seconds = float(settings.seconds(text))
        datetime.timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        seconds = 0.0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"expected a duration such as 90s, 30m or 4h, got {text!r}")
    return seconds


def percent(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"expected percent from 0 to 100, got {text!r}")
    return number


def words(text: str) -> str:
    """Anything but nothing."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a few words, got none")
    return text
