"""Codes and passwords: from a file or the environment, never from the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rdpeer.errors import UsageError

if TYPE_CHECKING:
    from rdpeer.protocol.gate import Method


def normalized(method: Method, text: str, where: str) -> bytes:
    """The secret in what was typed or read. UsageError, naming where it came from, if it cannot be one."""
    from rdpeer.protocol.gate import Method, normalize_code, normalize_password

    try:
        return normalize_code(text) if method is Method.CODE else normalize_password(text)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None


def given_secrets(password_file: str | None) -> dict[Method, bytes]:
    """What was given: ``RDPEER_CODE``, and the password of :func:`given_password`."""
    from rdpeer.protocol.gate import Method

    secrets = {}
    if code := os.environ.get("RDPEER_CODE"):
        secrets[Method.CODE] = normalized(Method.CODE, code, "RDPEER_CODE")
    if password := given_password(password_file):
        secrets[Method.PASSWORD] = password
    return secrets


def given_password(password_file: str | None) -> bytes | None:
    """The first line of ``password_file``, else ``RDPEER_PASSWORD``, else None. As :func:`password_in`."""
    from rdpeer.protocol.gate import Method

    if password_file is not None:
        return password_in(password_file, "--password-file")
    text = os.environ.get("RDPEER_PASSWORD")
    return normalized(Method.PASSWORD, text, "RDPEER_PASSWORD") if text else None


def password_in(password_file: str, option: str) -> bytes:
    """The first line of ``password_file``, which ``option`` names.

    UsageError for a file that is not there, that others may read, or that is empty.
    """
    from rdpeer.protocol.gate import Method
    from rdpeer.store.files import read_secret_file

    if not password_file:
        raise UsageError(f"{option}: no file is named")  # a script's empty variable, as a rule
    return normalized(Method.PASSWORD, read_secret_file(Path(password_file)), password_file)
