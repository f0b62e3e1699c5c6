"""Files of one's own: written whole or not at all, readable by nobody else.

A file is replaced by a rename: a reader, and a crash, find the old content or the
new one. The temporary file lies in the same folder, because a rename does not
cross file systems; where the path is a symbolic link, its target is replaced, so
that a linked config.toml stays linked.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rdpeer.errors import UsageError

_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def make_folder(folder: Path) -> None:
    """Makes ``folder``, for its owner alone, unless it is there. UsageError where that is not possible."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from error


def write_whole(path: Path, text: str) -> None:
    """Makes ``text`` (UTF-8) the content of ``path``, mode 0600, on disk when this returns.

    UsageError, naming ``path``, where its folder is missing or cannot be written, or where it is no file:
    a rename would put one in the place of /dev/null.
    """
    target = Path(os.path.realpath(path))
    _refuse_special(target)
    try:
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink()
            raise
        _sync_folder(target.parent)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def read_text(path: Path) -> str | None:
    """The content, or None where there is no such file. UsageError where it cannot be read as UTF-8."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read {path}: it is not UTF-8 text") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def read_secret_file(path: Path) -> str:
    """The first line, without its end, of a file that holds a secret.

    UsageError where it cannot be read, is empty, or where others may read it too.
    """
    refuse_readable(path)
    text = read_text(path)
    if text is None:
        raise UsageError(f"cannot read {path}: no such file")
    line = text.partition("\n")[0].removesuffix("\r")
    if not line:
        raise UsageError(f"the first line of {path} is empty")
    return line


def refuse_readable(path: Path) -> None:
    """UsageError where others than the owner may read ``path``. A path that is not there is fine."""
    if _mode(path) & _OTHERS_READ:
        raise UsageError(f"others may read {path}", hint=f"chmod 600 {path}")


def refuse_writable(path: Path) -> None:
    """UsageError where others may change ``path``, or put another file in its place.

    That is: write it or its folder, also those behind a symbolic link, or own it.
    """
    real = Path(os.path.realpath(path))
    for place in dict.fromkeys((path.parent, real.parent, real)):
        if _mode(place) & _OTHERS_WRITE:
            raise UsageError(f"others may write {place}", hint=f"chmod go-w {place}")
        if hasattr(os, "geteuid") and place.exists() and place.stat().st_uid not in (0, os.geteuid()):
            raise UsageError(f"{place} belongs to another user")


@contextmanager
def ready_file(path: Path | None) -> Iterator[Callable[[str], None]]:
    """Gives a function that writes one line to ``path``: the sign to others that all is ready.

    One that an earlier process left is removed at the start, ours at the end.
    Without a path the function does nothing.
    """
    if path is None:
        yield lambda line: None
        return
    _remove(path)
    try:
        yield lambda line: write_whole(path, line + "\n")
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    _refuse_special(path)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot remove {path}: {error.strerror}") from error


def _refuse_special(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise UsageError(f"cannot write {path}: not a regular file")


def _mode(path: Path) -> int:
    """Mode; 0 for a path that is not there, nor on Windows, whose bits tell nothing of others."""
    if os.name != "posix":
        return 0
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Puts a rename on disk. Only POSIX can open a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
