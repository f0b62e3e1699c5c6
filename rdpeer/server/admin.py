"""The admin socket: questions of ``rdpeer server status`` and the others, put to the operator's methods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from rdpeer.errors import UsageError
from rdpeer.server.operator import Operator, Row

SOCKET = "admin.sock"
"""In the data folder."""

_MOST_DAYS = 3650.0


class Admin:
    """``reload`` reads the configuration again."""

    def __init__(self, operator: Operator, reload: Callable[[], None]) -> None:
        self._operator = operator
        self._reload = reload

    async def answer(self, question: Row) -> AsyncIterator[Row]:
        """The lines of the answer; UsageError for what cannot be done, or is no question."""
        operator = self._operator
        match question:
            case {"do": "status"}:
                yield operator.status()
            case {"do": "peers"}:
                for row in operator.peers():
                    yield row
            case {"do": "relays"}:
                for row in operator.pairs():
                    yield row
            case {"do": "blocked"}:
                for row in operator.listed():
                    yield row
            case {"do": "block", "entry": str(entry)}:
                await operator.block(entry)
            case {"do": "unblock", "entry": str(entry)}:
                await operator.unblock(entry)
            case {"do": "approve", "id": str(peer_id)}:
                await operator.approve(peer_id)
            case {"do": "remove", "id": str(peer_id)}:
                await operator.remove(peer_id)
            case {"do": "rotate", "days": int() | float() as days} if 0 <= days <= _MOST_DAYS:
                yield operator.rotate(days)
            case {"do": "backup", "folder": str(folder)}:
                await operator.backup(Path(folder))
            case {"do": "reload"}:
                self._reload()
            case _:
                raise UsageError("the server does not know this question; is it of another version?")


def request(do: str, **arguments: Any) -> Row:
    """A question as ``Admin.answer`` takes it."""
    return {"do": do, **arguments}
