"""Locks between processes: held by an open file, so they end with the process, however it ends.

POSIX locks the whole file (flock), Windows one byte far behind its content, so
that the others can still read who holds it. A lock file is never removed: a
process that waits for the removed file and one that makes it anew would both
hold "the" lock.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rdpeer.errors import UsageError
from rdpeer.store.files import make_folder, read_text
from rdpeer.values import ServerAddress, printable

if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30

    def _acquire(descriptor: int, *, wait: bool) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _acquire(descriptor: int, *, wait: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits for the lock file ``path``, makes it and its folder if needed, and holds it: a few milliseconds
    around reading, changing and writing a file. UsageError where it cannot be made."""
    descriptor = _open(path)
    try:
        try:
            _acquire(descriptor, wait=True)
        except OSError as error:
            raise _not_possible(path, error) from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def keep_online(state: Path, server: ServerAddress, command: str) -> Iterator[None]:
    """Holds the right to keep the identity of the profile with this ``state`` folder online at ``server``.

    A server keeps one address for an ID, so two processes would take each
    other's connections away. OnlineElsewhere, naming the other by process ID and
    command, where it is held. ``command`` is ours, as in ``rdpeer listen``.
    """
    path = state / f"online-{re.sub('[^A-Za-z0-9.-]', '_', str(server))}.lock"
    descriptor = _open(path)
    try:
        try:
            _acquire(descriptor, wait=False)
        except (BlockingIOError, PermissionError) as error:  # the latter is Windows'
            raise _taken(path, server) from error
        except OSError as error:
            raise _not_possible(path, error) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} {command}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    make_folder(path.parent)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def _not_possible(path: Path, error: OSError) -> UsageError:
    """Some network file systems cannot lock; going on without would be two processes with one identity."""
    return UsageError(f"cannot lock {path}: {error.strerror}")


class OnlineElsewhere(UsageError):
    """Another process keeps the identity online; ``holder`` says which."""

    def __init__(self, holder: str, server: ServerAddress) -> None:
        super().__init__(
            f"{holder} already keeps this ID online at {server}",
            hint="stop it first, or use another identity with --profile NAME",
        )
        self.holder = holder


def _taken(path: Path, server: ServerAddress) -> OnlineElsewhere:
    pid, _, command = (read_text(path) or "").strip().partition(" ")
    holder = f"'{printable(command)}' (process {printable(pid)})" if command else "another process"
    return OnlineElsewhere(holder, server)
