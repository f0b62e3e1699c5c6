"""TLS: whom a client trusts, what a server shows, and what went wrong, in words."""

from __future__ import annotations

import ssl
from pathlib import Path

from rdpeer.errors import UsageError


def client_tls(ca_file: str | None) -> ssl.SSLContext:
    """Certificates are verified with those in ``ca_file``, or with the system's store. UsageError where the
    file cannot be used."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise UsageError(f"no certificates can be read from {ca_file}: {reason_of(error)}") from None


def unverified_tls() -> ssl.SSLContext:
    """Any certificate will do: for who wants to know whether somebody answers, and not who."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def server_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """``certificate`` with its chain, and its ``key``, both PEM. UsageError where they cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise UsageError(f"the certificate {certificate} cannot be used with {key}: {reason}") from None
    return context


def load_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Reads the files anew; connections made from here on are shown what is in them. UsageError as above, and
    nothing has changed."""
    server_tls(certificate, key)  # for its error: where only one of them fits, ``context`` would have neither
    context.load_cert_chain(certificate, key)


def reason_of(error: OSError) -> str:
    """One line for people, of what the ssl module says in its own way."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
    return error.strerror or str(error) or "the connection was lost"


def _no_password() -> str:
    """OpenSSL would ask at the terminal."""
    raise ValueError("the key is encrypted")
