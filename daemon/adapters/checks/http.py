"""A smoke test: one request to the canary, and what its answer must be.

Where the canary itself is asked, no answer (refused, reset, no such host, too late) is a failure of the canary and not
of the asking. With another URL it starts a load run: ``method: POST`` to flagger-loadtester or k6. That one of those is
down says nothing about the canary (law 8).
"""

import asyncio
import json
import pathlib
from typing import Annotated, Any, Literal, Self

import aiohttp
import pydantic
import yarl

from daemon.adapters import answers
from daemon.adapters.checks import expecting
from daemon.adapters.checks.expecting import Expectation, Seen, Statuses
from daemon.adapters.checks.filling import DocumentTemplate, Template, UrlTemplate, fill, fill_document
from daemon.adapters.checks.findings import failed, line, passed, undecided
from daemon.adapters.checks.options import GRACE, CaFile, CheckOptions, Regex, Seconds, Texts, trust
from daemon.adapters.checks.surroundings import Surroundings
from daemon.adapters.evidence.redacting import Redactor
from daemon.adapters.secrets import Secret, SecretFile
from daemon.model import errors
from daemon.model.checking import Finding, Subject

KIND = "http"

BODY_MOST = 256 * 1024
"""Bytes of an answer that are read."""
_REDIRECTS = 5
_HeaderName = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9-]+$")]


class Options(CheckOptions):
    """``kind: http``."""

    url: UrlTemplate = "http://$canary_service.$namespace/"
    """What is asked; fields are filled in."""
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: dict[_HeaderName, Template] = pydantic.Field(default_factory=dict)
    """Fields are filled in. No place for secrets: see ``bearer_token_file``."""
    body: DocumentTemplate = None
    """A text is sent as it is, anything else as JSON; fields are filled in within texts."""
    status: Statuses = ((200, 299),)
    """``200``, ``2xx``, ``200-204``, or a list of them."""
    contains: Texts = ()
    """Texts that must all be in the answer."""
    matches: Regex | None = None
    """What must be found in the first 16 KiB of the answer."""
    json_: dict[str, Any] = pydantic.Field(default_factory=dict, alias="json")
    """Dotted path (``data.items.0.name``) to the value that must be there."""
    latency: Seconds | None = None
    """How long the whole answer may take; longer fails the check even if all else is right."""
    timeout: Seconds = 5.0
    """After which there is no answer."""
    no_answer: Literal["fail", "undecided"] | None = None
    """Default: ``fail`` where the host is the canary's Service, ``undecided`` where it is somebody else."""
    redirects: bool = False
    """Follow up to five; otherwise a redirect is the answer."""
    verify: bool = True
    """The server's certificate."""
    ca_file: CaFile | None = None
    bearer_token_file: SecretFile | None = None
    """Sent as ``Authorization``, read again when changed; not to another host after a redirect."""

    @pydantic.model_validator(mode="after")
    def _answerable(self) -> Self:
        if self.method == "HEAD" and (self.contains or self.matches or self.json_):
            raise ValueError("HEAD has no body to look into: expected another method with contains, matches or json")
        if self.ca_file is not None and not self.verify:
            raise ValueError("expected either ca_file or verify: false")
        return self


def build(name: str, options: Options, surroundings: Surroundings) -> "HttpCheck":  # noqa: ARG001 - it needs none
    return HttpCheck(options, surroundings)


class HttpCheck:
    """Keeps ``ports.Check``."""

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self._options = options
        self._session = surroundings.session
        self._redactor = Redactor(surroundings.redact)
        self._token = None if options.bearer_token_file is None else Secret(options.bearer_token_file)
        self._expected = Expectation(
            status=options.status, contains=options.contains, matches=options.matches, json=options.json_,
            latency=options.latency,
        )  # fmt: skip
        self.timeout = options.timeout + GRACE
        self.once = options.once

    async def run(self, subject: Subject) -> Finding:
        url = yarl.URL(fill(self._options.url, subject))
        what = self._shown(f"{self._options.method} {url.with_user(None).with_query(None)}")
        wanted = f"{what}: expected {expecting.told(self._options.status)}"
        try:
            async with asyncio.timeout(self._options.timeout):
                seen = await self._ask(url, subject)
        except TimeoutError:
            return self._unanswered(url, subject, f"{wanted} within {self._options.timeout:g} s, got no answer")
        except aiohttp.TooManyRedirects:
            return failed(f"{wanted}, got more than {_REDIRECTS} redirects")
        except (aiohttp.ClientError, ConnectionError) as error:
            said = self._shown(f"{type(error).__name__}: {error}")
            return self._unanswered(url, subject, f"{wanted}, got no answer: {said}")
        problem = self._expected.problem(seen)
        if problem:
            return failed(f"{what}: {self._shown(problem)}")
        return passed(f"{what}: {seen.status} in {seen.took * 1000:.0f} ms")

    def _unanswered(self, url: yarl.URL, subject: Subject, detail: str) -> Finding:
        its_own = f"{url.host}.".startswith(f"{subject.canary.canary_service}.")
        wanted = self._options.no_answer or ("fail" if its_own else "undecided")
        return failed(detail) if wanted == "fail" else undecided(f"cannot know: {detail}")

    async def _ask(self, url: yarl.URL, subject: Subject) -> Seen:
        options = self._options
        headers = {name: fill(value, subject) for name, value in options.headers.items()}
        data = self._body(headers, subject)
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.read()}"
        # No cookies: what one answer sets must not decide where the next request goes.
        async with aiohttp.ClientSession(
            connector=self._session.connector, connector_owner=False, cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=self._session.trust_env,
        ) as session:  # fmt: skip
            loop = asyncio.get_running_loop()
            trusted = _trust(options.ca_file, verify=options.verify)
            began = loop.time()
            async with session.request(
                options.method, url, headers=headers, data=data, ssl=trusted, timeout=aiohttp.ClientTimeout(total=None),
                allow_redirects=options.redirects, max_redirects=_REDIRECTS,
            ) as response:  # fmt: skip
                raw, more = await answers.body(response, BODY_MOST)
                return Seen(response.status, raw, not more, loop.time() - began)

    def _body(self, headers: dict[str, str], subject: Subject) -> bytes | None:
        if self._options.body is None:
            return None
        filled = fill_document(self._options.body, subject)
        if isinstance(filled, str):
            return filled.encode()
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
        return json.dumps(filled).encode()

    def _shown(self, said: str) -> str:
        token = () if self._token is None else (self._token.read(),)
        return answers.hide(self._redactor.text(line(said, 2_000)), token)


def _trust(ca_file: pathlib.Path | None, *, verify: bool) -> Any:
    try:
        return trust(ca_file, verify=verify)
    except OSError as error:
        raise errors.Unreachable(f"{ca_file}: {error}") from error
