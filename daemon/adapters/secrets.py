"""A credential for a service we call, kept in a file and read again when the file is exchanged."""

import pathlib
from typing import Annotated

import pydantic

from daemon.model import errors


class Secret:
    """One secret per file, white space around it cut off. Never logged, never shown: errors name the file only."""

    def __init__(self, path: pathlib.Path) -> None:
        """Raises ConfigurationError when there is nothing usable in the file."""
        self._path = path
        self._stamp: tuple[int, int, int] = (0, 0, 0)
        self._value = ""
        if not self.read():
            raise errors.ConfigurationError(f"{path}: expected {EXPECTED}")

    def read(self) -> str:
        """The secret; the last good one while the file cannot be used (it is being exchanged)."""
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            if stamp != self._stamp:
                value = self._path.read_text(encoding="utf-8").strip()
                if _fits_a_header(value):
                    self._value, self._stamp = value, stamp
        except (OSError, UnicodeDecodeError):
            return self._value
        return self._value


EXPECTED = "a readable file with a secret in it: one line of printable ASCII"


def _fits_a_header(value: str) -> bool:
    # What a header cannot carry would otherwise be found out in the middle of a rollback.
    return bool(value) and value.isascii() and value.isprintable()


def _readable(path: pathlib.Path) -> pathlib.Path:
    try:
        Secret(path)
    except errors.ConfigurationError as error:
        raise ValueError(str(error)) from error
    return path


SecretFile = Annotated[pathlib.Path, pydantic.AfterValidator(_readable)]
"""The path of a file with one secret in it, looked into when the configuration is checked."""
