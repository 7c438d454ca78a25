"""The images of a release are signed by whom they should be: what cosign says of their very digests.

cosign is run as a program, with a list of arguments and an environment of its own. Where it is not installed, let
a check of kind ``job`` run it.
"""

import asyncio
import contextlib
import os
import pathlib
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from typing import Annotated, Any, Self

import pydantic

from daemon.adapters.checks.findings import ending, failed, passed, undecided, within
from daemon.adapters.checks.image import chosen, resolved
from daemon.adapters.checks.options import GRACE, Regex, Seconds, exactly_one
from daemon.adapters.checks.references import parse
from daemon.adapters.checks.registry import Registry
from daemon.adapters.checks.registry_access import RegistryOptions
from daemon.adapters.checks.surroundings import Surroundings
from daemon.adapters.evidence.redacting import Redactor
from daemon.model import errors
from daemon.model.checking import Finding, ImageDigest, Subject

KIND = "signature"

_OUTPUT_MOST = 64 * 1024
_SHOWN = 160
# cosign's documentation, "Exit codes": no signature, no such tag, no matching signature; 13 since v2 is a signature
# without a certificate. Everything else (network, a broken key, a bad flag) says nothing about the image.
_NOT_SIGNED = frozenset({10, 11, 12, 13})
_SAYS_NOT_SIGNED = re.compile(r"no matching signatures|no signatures found|none of the expected identities matched")
# Nothing of the daemon's own environment (credentials!) but what a program needs to find its way out.
_PASSED_ON = ("PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE",
              "SSL_CERT_DIR", "TUF_ROOT", "SIGSTORE_ROOT_FILE")  # fmt: skip


def _program(value: str) -> str:
    if shutil.which(value) is None:
        raise ValueError(f"{value}: no such program; install cosign into the image, or let a check of kind job run it")
    return value


def _file(path: pathlib.Path) -> pathlib.Path:
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError(f"{path}: expected a readable file with a public key in PEM")
    return path


class Options(RegistryOptions):
    """``kind: signature``."""

    key: Annotated[pathlib.Path, pydantic.AfterValidator(_file)] | None = None
    """The public key. Without it, signatures are keyless: ``issuer`` and one of the identities are needed."""
    identity: str | None = None
    """Who must have signed, as it stands in the certificate: an address, or the URL of a workflow."""
    identity_regexp: str | None = None
    issuer: str | None = None
    """Who vouched for the identity: ``https://token.actions.githubusercontent.com``."""
    transparency_log: bool = True
    """False where signatures are not in Rekor: a private key, an installation without network."""
    annotations: dict[str, str] = pydantic.Field(default_factory=dict)
    """That the signature must carry."""
    only: Regex | None = None
    """Images in whose name this is found; the others are not looked at."""
    cosign: Annotated[str, pydantic.Field(validate_default=True), pydantic.AfterValidator(_program)] = "cosign"
    """The program: a name on PATH, or a path."""
    timeout: Seconds = 60.0
    """Of all images together."""

    @pydantic.model_validator(mode="after")
    def _by_whom(self) -> Self:
        if self.key is not None:
            if self.identity or self.identity_regexp or self.issuer:
                raise ValueError("expected either key, or issuer and identity")
            return self
        if not self.issuer:
            raise ValueError("expected key, or issuer and identity")
        exactly_one({"identity": self.identity, "identity_regexp": self.identity_regexp})
        return self


def build(name: str, options: Options, surroundings: Surroundings) -> "SignatureCheck":  # noqa: ARG001
    return SignatureCheck(options, surroundings)


class SignatureCheck:
    """Keeps ``ports.Check``."""

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self._options = options
        self._registry = Registry(surroundings.session, surroundings.clock, options)
        self._redactor = Redactor(surroundings.redact)
        self.timeout = options.timeout + GRACE
        self.once = options.once

    async def run(self, subject: Subject) -> Finding:
        images = chosen(subject.images, self._options.only)
        if not images:
            return undecided(f"expected images to verify, got none of {len(subject.images)}")
        async with within(self._options.timeout, "cosign"):
            # What is verified is what the tag means now: a tag could mean something else for cosign.
            found = await resolved(self._registry, images)
            if found.problems:
                return failed("; ".join(found.problems), found.digests)
            if found.error is not None:
                raise found.error
            async with _home(self._options.docker_config) as home:
                for one in found.digests:
                    if problem := await self._verify(one, home):
                        return failed(problem, found.digests)
        shown = ", ".join(f"{one.image} ({one.digest[:19]})" for one in found.digests)
        return passed(f"signed: {shown}", found.digests)

    async def _verify(self, image: ImageDigest, home: str) -> str:
        """Why it is not signed as it must be; empty when it is."""
        exit_code, output = await _run(self._arguments(image), home)
        if exit_code == 0:
            return ""
        told = ending(self._redactor.text(output.decode(errors="replace")), _SHOWN)
        if exit_code in _NOT_SIGNED or _SAYS_NOT_SIGNED.search(output.decode(errors="replace")):
            return f"expected {image.image} to be signed {self._by()}, but cosign says: {told}"
        raise errors.Unreachable(f"cosign ended with {exit_code} for {image.image}: {told}")

    def _arguments(self, image: ImageDigest) -> list[str]:
        options, reference = self._options, parse(image.image)
        arguments = [options.cosign, "verify"]
        if options.key is not None:
            arguments.append(f"--key={options.key}")
        else:
            arguments.append(f"--certificate-oidc-issuer={options.issuer}")
            by = "identity" if options.identity else "identity-regexp"
            arguments.append(f"--certificate-{by}={options.identity or options.identity_regexp}")
        if not options.transparency_log:
            arguments.append("--insecure-ignore-tlog=true")
        if reference.registry in options.insecure:
            arguments.append("--allow-http-registry=true")
        if options.ca_file is not None:
            arguments.append(f"--registry-cacert={options.ca_file}")
        arguments += [f"--annotations={key}={value}" for key, value in sorted(options.annotations.items())]
        return [*arguments, reference.at(image.digest)]

    def _by(self) -> str:
        options = self._options
        return f"with {options.key}" if options.key else f"by {options.identity or options.identity_regexp}"


@contextlib.asynccontextmanager
async def _home(docker_config: pathlib.Path | None) -> AsyncIterator[str]:
    """A folder for what cosign writes, with the registries' credentials where it looks for them."""
    folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="pullback-cosign-")
    try:
        if docker_config is not None:
            await asyncio.to_thread(shutil.copyfile, docker_config, pathlib.Path(folder) / "config.json")
        yield folder
    except OSError as error:
        raise errors.Unreachable(f"cosign: {error}") from error
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _run(arguments: list[str], home: str) -> tuple[int, bytes]:
    """The exit code and the end of what was said. The program, and all it has started, does not outlive the call."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *arguments, cwd=home, env={**environment, "HOME": home, "DOCKER_CONFIG": home},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        output = await _tail(process.stderr)
        return await process.wait(), output
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _tail(stream: Any) -> bytes:
    kept = bytearray()
    while chunk := await stream.read(16 * 1024):
        kept += chunk
        del kept[:-_OUTPUT_MOST]
    return bytes(kept)
