"""Who may speak to us: bearer tokens and passwords kept in files, read again when the files change.

Two files per kind may be valid at once, so that a secret can be rotated without a gap. Compared in constant
time, never logged, never shown.
"""

import base64
import dataclasses
import hashlib
import hmac
import pathlib
from collections.abc import Sequence

from daemon.model import errors


@dataclasses.dataclass(slots=True)
class _SecretFile:
    """One secret per file, white space around it cut off. ``stamp`` tells whether the file was exchanged."""

    path: pathlib.Path
    stamp: tuple[int, int, int] = (0, 0, 0)
    digest: bytes = b""

    def read(self) -> bytes:
        """The digest of the secret; the last good one while the file cannot be read (it is being exchanged)."""
        try:
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            if stamp != self.stamp:
                secret = self.path.read_text(encoding="utf-8").strip()
                if secret:
                    self.digest, self.stamp = _digest(secret), stamp
        except (OSError, UnicodeDecodeError):
            return self.digest
        return self.digest


class Credentials:
    """Answers whether an ``Authorization`` header, or a bare token, is one of ours."""

    def __init__(
        self,
        *,
        bearer_files: Sequence[pathlib.Path],
        username: str,
        password_files: Sequence[pathlib.Path],
        anonymous: bool,
    ) -> None:
        self._bearers = [_SecretFile(path) for path in bearer_files]
        self._username = username
        self._passwords = [_SecretFile(path) for path in password_files]
        self.anonymous = anonymous

    def check(self) -> None:
        """Raises ConfigurationError when a file that is named cannot be read or is empty."""
        for secret in (*self._bearers, *self._passwords):
            if not secret.read():
                raise errors.ConfigurationError(f"{secret.path}: expected a readable file with a secret in it")

    @property
    def configured(self) -> bool:
        return bool(self._bearers or self._passwords)

    def accept(self, authorization: str, token: str = "") -> bool:
        """``authorization`` is the header's value, ``token`` one that came in the body (Flagger)."""
        if self.anonymous:
            return True
        scheme, _, value = authorization.partition(" ")
        match scheme.lower():
            case "bearer":
                return _any(self._bearers, value.strip())
            case "basic":
                return self._accept_basic(value.strip())
            case _:
                return bool(token) and _any([*self._bearers, *self._passwords], token)

    def _accept_basic(self, value: str) -> bool:
        try:
            username, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:  # not base64, or not text, or a header that is not ASCII
            return False
        known = hmac.compare_digest(username.encode(), self._username.encode())
        # Both are always compared, so that the time taken tells nothing of either.
        return _any(self._passwords, password) and known


def _any(secrets: Sequence[_SecretFile], given: str) -> bool:
    digest = _digest(given)
    found = False
    for secret in secrets:
        expected = secret.read()
        found |= bool(expected) and hmac.compare_digest(expected, digest)
    return found


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
