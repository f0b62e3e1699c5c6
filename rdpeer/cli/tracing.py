"""``--trace``: the protocol's messages on stderr, each in one line with its time."""

from __future__ import annotations

import logging

from rdpeer.cli import voice


class _Teller(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        voice.note(f"trace: {self.format(record)}")


def start() -> None:
    """Shows from here on what ``rdpeer.net.trace`` tells; calling it again changes nothing."""
    log = logging.getLogger("rdpeer.net.trace")
    if log.handlers:
        return
    teller = _Teller()
    teller.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(message)s", "%H:%M:%S"))
    log.addHandler(teller)
    log.propagate = False
    log.setLevel(logging.DEBUG)
