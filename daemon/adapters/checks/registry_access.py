"""How a registry is entered: which are spoken to in the clear, whose credentials they get, and tokens.

A registry answers 401 with what it wants (distribution specification, "Token Authentication"): Basic, or a Bearer
token to be fetched from a realm, which also anonymous visitors of Docker Hub and others must do.
"""

import asyncio
import base64
import binascii
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Annotated, Any

import aiohttp
import pydantic
import yarl

from daemon import ports
from daemon.adapters import answers
from daemon.adapters.checks.asking import ask
from daemon.adapters.checks.options import CaFile, CheckOptions, trust
from daemon.adapters.checks.references import DOCKER_HUB, Reference
from daemon.model import errors

_TOKEN_MOST = 64 * 1024
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_HUB_KEYS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


class NotAllowed(Exception):  # noqa: N818 - said in raise statements
    """The registry, or who gives out its tokens, does not let us see the image."""


def _docker_config(path: pathlib.Path) -> pathlib.Path:
    try:
        read_credentials(path)
    except (OSError, ValueError) as error:
        # What json says of a broken file does not repeat what is in it.
        raise ValueError(f"{path}: expected a docker config.json with auths: {error}") from error
    return path


DockerConfig = Annotated[pathlib.Path, pydantic.AfterValidator(_docker_config)]
"""A docker ``config.json`` (a Secret of type kubernetes.io/dockerconfigjson, mounted), read at each run."""


class RegistryOptions(CheckOptions):
    """How registries are reached, for every kind that asks them."""

    docker_config: DockerConfig | None = None
    """``auths`` with ``auth``, or ``username`` and ``password``, by registry or by registry and path."""
    insecure: tuple[Annotated[str, pydantic.Field(min_length=1)], ...] = ()
    """Registries (``registry.local:5000``) that are spoken to over http."""
    ca_file: CaFile | None = None


def read_credentials(path: pathlib.Path) -> dict[str, tuple[str, str]]:
    """Name and password by registry, or by registry and path. Raises OSError, or ValueError without any secret."""
    document = json.loads(path.read_text(encoding="utf-8"))
    auths = document.get("auths") if isinstance(document, dict) else None
    if not isinstance(auths, dict):
        raise ValueError("it has no auths")  # noqa: TRY004 - of the file's content
    found: dict[str, tuple[str, str]] = {}
    for key, entry in auths.items():
        pair = _pair(entry, key)
        if pair is not None:
            found[_normal(key)] = pair
    return found


def _pair(entry: Any, key: str) -> tuple[str, str] | None:
    if not isinstance(entry, dict):
        raise ValueError(f"{key}: expected an object")  # noqa: TRY004 - of the file's content
    if isinstance(entry.get("username"), str) and isinstance(entry.get("password"), str):
        return entry["username"], entry["password"]
    if not isinstance(entry.get("auth"), str) or not entry["auth"]:
        return None
    try:
        name, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError(f"{key}: auth is not base64 of name:password") from None
    if not colon:
        raise ValueError(f"{key}: auth is not base64 of name:password")
    return name, password


def _normal(key: str) -> str:
    """``https://index.docker.io/v1/`` names Docker Hub, and ``/v1/`` and ``/v2/`` are no paths."""
    name = re.sub(r"^https?://", "", key)
    name = re.sub(r"/v[12]/?$", "", name).rstrip("/")
    host, slash, path = name.partition("/")
    return (DOCKER_HUB if host in _HUB_KEYS else host) + slash + path


def credentials_for(known: Mapping[str, tuple[str, str]], reference: Reference) -> tuple[str, str] | None:
    """Those with the longest matching path, as a kubelet chooses."""
    name = f"{reference.registry}/{reference.repository}"
    fitting = [key for key in known if name == key or name.startswith(key + "/")]
    return known[max(fitting, key=len)] if fitting else None


class Access:
    """What one conversation about one image needs to be let in. Fetches no token before it is asked for one."""

    def __init__(
        self, session: aiohttp.ClientSession, clock: ports.Clock, options: RegistryOptions, reference: Reference
    ) -> None:
        self._session = session
        self._clock = clock
        self._options = options
        self._reference = reference
        self._insecure = reference.registry in options.insecure
        self.headers: dict[str, str] = {}
        self.hidden: list[str] = []

    @property
    def base(self) -> yarl.URL:
        """Of the repository's API."""
        scheme = "http" if self._insecure else "https"
        return yarl.URL(f"{scheme}://{self._reference.host}/v2/{self._reference.repository}")

    @property
    def trusted(self) -> Any:
        """Raises Unreachable when the file with the certificates cannot be read any more."""
        try:
            return trust(self._options.ca_file)
        except OSError as error:
            raise errors.Unreachable(f"{self._options.ca_file}: {error}") from error

    async def answer(self, challenge: str) -> None:
        """Gets in by what a 401 asks for. Raises NotAllowed when that cannot be done."""
        pair = await self._credentials()
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and pair is not None:
            self.headers["Authorization"] = _basic(pair)
        elif scheme.lower() == "bearer":
            parameters = {key.lower(): quoted or bare for key, quoted, bare in _PARAMETER.findall(rest)}
            token = await self._token(parameters, pair)
            self.hidden.append(token)
            self.headers["Authorization"] = f"Bearer {token}"
        else:
            raise NotAllowed(f"{self._reference.registry} asks for credentials, and there are none for it")

    async def _credentials(self) -> tuple[str, str] | None:
        path = self._options.docker_config
        if path is None:
            return None
        try:
            known = await asyncio.to_thread(read_credentials, path)
        except (OSError, ValueError) as error:
            raise errors.Unreachable(f"{path}: {error}") from error
        pair = credentials_for(known, self._reference)
        if pair is not None:
            self.hidden += [pair[1], _basic(pair).removeprefix("Basic ")]
        return pair

    async def _token(self, parameters: Mapping[str, str], pair: tuple[str, str] | None) -> str:
        realm = parameters.get("realm", "")
        what = f"tokens for {self._reference.registry}"
        if not realm.startswith(("https://", "http://") if self._insecure else "https://"):
            # Or whoever is in the middle would get the password.
            raise errors.Refused(f"{what}: expected a realm over https, got {realm[:100]!r}")
        query = {"scope": parameters.get("scope") or f"repository:{self._reference.repository}:pull"}
        query |= {"service": parameters["service"]} if parameters.get("service") else {}
        headers = {"Authorization": _basic(pair)} if pair is not None else {}
        try:
            url = yarl.URL(realm).update_query(query)
        except ValueError as error:
            raise errors.Refused(f"{what}: not a URL: {realm[:100]!r}") from error
        answer = await ask(
            self._session, "GET", url, what=what, headers=headers, most=_TOKEN_MOST, trusted=self.trusted,
            hidden=self.hidden,
        )  # fmt: skip
        if answer.status in {401, 403}:
            who = "the credentials were not accepted" if pair else "anonymous visitors get none, and no credentials fit"
            raise NotAllowed(f"{what}: HTTP {answer.status}: {who}")
        if answer.status != 200:
            told = f"{what}: HTTP {answer.status}: {answer.shown(self.hidden)}"
            raise answers.refusal(told, answer.status, answer.headers, self._clock)
        document = answer.json(what)
        token = document.get("token") or document.get("access_token") if isinstance(document, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise errors.Unreachable(f"{what}: expected a token, got none")
        return token


def _basic(pair: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(pair).encode()).decode()
