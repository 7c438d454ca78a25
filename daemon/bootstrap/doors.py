"""Who may come in: credentials and TLS from the settings, refused where anybody, or nobody, could by oversight."""

import ssl

from daemon.adapters import checks, evidence, notify
from daemon.adapters.credentials import Credentials
from daemon.model import errors
from daemon.settings import Door, Settings, Tls


def door(name: str, configured: Door, *, optional: bool = False) -> Credentials:
    """The credentials of one door. Raises ConfigurationError when nobody, or anybody, could come in by oversight."""
    credentials = Credentials(
        bearer_files=configured.bearer_token_files,
        username=configured.username,
        password_files=configured.password_files,
        anonymous=configured.allow_anonymous,
    )
    credentials.check()
    if not credentials.configured and not configured.allow_anonymous and not optional:
        raise errors.ConfigurationError(
            f"web.{name}: expected bearer_token_files or password_files, or allow_anonymous: true "
            "where a mesh authenticates callers itself"
        )
    return credentials


def tls_context(tls: Tls) -> ssl.SSLContext | None:
    """The server's TLS, or None for plain HTTP. Raises ConfigurationError."""
    if tls.certificate_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(tls.certificate_file, tls.key_file)
        if tls.client_ca_file is not None:
            context.load_verify_locations(cafile=tls.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise errors.ConfigurationError(f"web.tls: {error}") from error
    return context


def check_aftermath(settings: Settings) -> None:
    """Raises ConfigurationError for a channel or a check that cannot be built (its kind, an option, a secret file), and
    for a pattern of ``evidence.redact`` that cannot be used."""
    notify.check(settings.notices.channels)
    checks.check(settings.gates.checks)
    evidence.compiled(settings.evidence.redact)
