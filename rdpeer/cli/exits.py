"""Exit codes: one table from what went wrong to what the process ends with.

    0    it worked; a service that was asked to stop
    1    a bug, or an error without a code of its own
    2    usage, settings, a taken port, an unwritable folder
    3    the server is unreachable or refuses
    4    the peer is unknown, offline or silent
    5    no path to the peer
    6    authentication failed
    7    identity or key mismatch
    8    --timeout is over, or the peer stopped in the middle of a handshake
    9    the connection was lost after it was up
    10   protocol error
    11   the peer refused
    129, 130, 143   ended by SIGHUP, SIGINT, SIGTERM
    141  nobody reads standard output any more

255 stays ssh's own. Errors are one line on stderr: ``rdpeer: error: ...``, and
``rdpeer: hint: ...`` where there is something to do about it.
"""

from __future__ import annotations

import sys

import click

from rdpeer import errors
from rdpeer.cli import voice

SIGNALLED = 128
"""A shell's code for a process that a signal ended is this and the signal's number."""

CODES: dict[type[BaseException], int] = {
    errors.RdpeerError: 1,
    errors.UsageError: 2,
    errors.ServerError: 3,
    errors.PeerUnavailable: 4,
    errors.NoPath: 5,
    errors.AuthenticationFailed: 6,
    errors.IdentityMismatch: 7,
    errors.DeadlineExceeded: 8,
    errors.ConnectionLost: 9,
    errors.RemoteProtocolError: 10,
    errors.PeerRefused: 11,
    click.ClickException: 2,
    click.Abort: 130,
    KeyboardInterrupt: 130,
    BrokenPipeError: 141,
    OSError: 1,
}
"""A class's own code, or that of its nearest base. BrokenPipeError is stdout's: ``rdpeer.net`` makes
ConnectionLost of a socket's."""

_SILENT = (130, 141)


def exit_code(error: BaseException) -> int:
    """What the process ends with; 1 for what nobody expected."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), 1)


def report(error: BaseException, *, verbose: bool = False) -> int:
    """Tells ``error`` on stderr, and returns its exit code.

    What nobody expected is told in one line too: scripts, and ssh, show our
    stderr to people whom a traceback only frightens. ``verbose`` shows it.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]  # a task group wraps even a single error
    code = exit_code(error)
    if code in _SILENT:
        return code
    expected = _is_expected(error)
    voice.error(_text(error) if expected else f"internal error: {type(error).__name__}: {error}")
    if not expected and verbose:
        sys.excepthook(type(error), error, error.__traceback__)
    elif not expected:
        voice.hint("the same with -v shows where")
    if hint := _hint(error):
        voice.hint(hint)
    return code


def _is_expected(error: BaseException) -> bool:
    """A LocalProtocolError has no code of its own: it is a bug of ours that a state machine has noticed."""
    known = any(kind in CODES for kind in type(error).__mro__)
    return known and not isinstance(error, errors.LocalProtocolError)


def _text(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        message = error.format_message()
        return message[:1].lower() + message[1:].removesuffix(".")
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _hint(error: BaseException) -> str | None:
    if isinstance(error, click.UsageError) and error.ctx:
        return f"try '{error.ctx.command_path} --help'"
    return error.hint if isinstance(error, errors.RdpeerError) else None
