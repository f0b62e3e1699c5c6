"""Where the server's log goes: events to stderr, requests to the access log, if there is one."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler

from rdpeer.cli import voice
from rdpeer.errors import UsageError
from rdpeer.server.journal import Entry
from rdpeer.server.journal import log as requests
from rdpeer.server.options import ServerOptions


def set_up(options: ServerOptions, verbosity: int) -> None:
    """For the life of the process. UsageError where the access log cannot be written."""
    logging.basicConfig(handlers=[Voice()], level=logging.WARNING)
    level = logging.INFO if verbosity else logging.getLevelNamesMapping()[options.log_level.upper()]
    logging.getLogger("rdpeer").setLevel(level)
    if options.access_log is None:
        return
    handler = _access_handler(options.access_log)
    handler.setFormatter(JsonLines() if options.log_format == "json" else TextLines())
    requests.addHandler(handler)
    requests.setLevel(logging.INFO)
    requests.propagate = False


class Voice(logging.Handler):
    """One line on stderr for each event."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {record.exc_info[1]!r}"
        (voice.error if record.levelno >= logging.ERROR else voice.note)(text)


class AccessFile(WatchedFileHandler):
    """Opens a file anew that was moved away. A full disk is told once, and does not stop the server."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not self._told:
            self._told = True
            voice.error(f"cannot write {self.baseFilename}")


class TextLines(logging.Formatter):
    """``TIME SOURCE WHAT DECISION id=... why=...``"""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record)} {record.getMessage()}"


class JsonLines(logging.Formatter):
    """One object a line: ``time``, and the fields of the entry that are not empty."""

    def format(self, record: logging.LogRecord) -> str:
        assert isinstance(record.args, tuple)  # noqa: S101 - the journal logs nothing else
        (entry,) = record.args
        assert isinstance(entry, Entry)  # noqa: S101
        return json.dumps({"time": _time(record), **entry.as_dict()}, ensure_ascii=False)


def _access_handler(place: str) -> logging.Handler:
    if place == "-":
        return logging.StreamHandler()
    try:
        return AccessFile(place, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {place}: {error.strerror}") from None


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
