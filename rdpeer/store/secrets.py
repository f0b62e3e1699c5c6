"""Secrets in the desktop's keyring. Importing ``keyring`` costs 200 ms, so only a call here does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rdpeer.errors import UsageError

SERVICE = "rdpeer"


def get(name: str) -> str | None:
    """The secret of that name, or None. UsageError where the keyring cannot be opened."""
    import keyring

    with _opened():
        return keyring.get_password(SERVICE, name)


def put(name: str, secret: str) -> None:
    """Keeps a secret, and reads it back, as some backends drop what they take. UsageError if it failed."""
    import keyring

    with _opened():
        keyring.set_password(SERVICE, name, secret)
        kept = keyring.get_password(SERVICE, name)
    if kept != secret:
        raise UsageError("the keyring did not keep what was written to it")


def remove(name: str) -> None:
    """Removes a secret, if it is there. UsageError where the keyring cannot be opened."""
    import keyring
    import keyring.errors

    with _opened():
        try:
            keyring.delete_password(SERVICE, name)
        except keyring.errors.PasswordDeleteError:
            if keyring.get_password(SERVICE, name) is not None:
                raise


@contextmanager
def _opened() -> Iterator[None]:
    import keyring.errors

    try:
        yield
    except keyring.errors.NoKeyringError as error:
        raise UsageError("there is no keyring here (cron, systemd and ssh logins have none)") from error
    except keyring.errors.KeyringError as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"the keyring cannot be used: {reason}") from error
