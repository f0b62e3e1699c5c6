"""Requests for a peer that wait for their answer.

The answer comes from whom we asked, over a connection of its own, and must be
bound to its question, or anyone who knows the initiator's address could answer
in the peer's place. What binds it is the *mark*: the mangled endpoint of the
initiator that the peer was sent, which every implementation copies back as it
is. The mangling has room for a 32-bit number (docs/PROTOCOL.md 10.2), and we
draw it at random: only who saw our datagram to the peer knows the mark. An
IPv6 endpoint is mangled without a number; there the broker asks in addition
that the answer comes from the peer's registered address.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rdpeer.crypto.keys import IdentityKey
from rdpeer.server.limits import Limits
from rdpeer.values import Endpoint
from rdpeer.wire.endpoints import mangle


@dataclass(slots=True)
class Question:
    """``connection`` (its number) of ``initiator`` asked for ``peer_id``, last at ``asked``.

    ``key`` is the one of ours that it named, and ``relay_server`` our choice, one for all messages about it.
    """

    connection: int
    initiator: Endpoint
    peer_id: str
    mark: bytes
    asked: float
    key: IdentityKey
    relay_server: str


class Pending(Protocol):
    """What the rules ask of the open questions. Nothing here may wait (docs/SCALE.md)."""

    def ask(
        self,
        connection: int,
        initiator: Endpoint,
        peer_id: str,
        key: IdentityKey,
        choose_relay: Callable[[], str],
        now: float,
        /,
    ) -> Question | None:
        """The question to send on; the same one, with the same mark, where an initiator only repeats it.

        None if this connection has too many.
        """

    def find(self, mark: bytes, now: float, /) -> Question | None:
        """The question that ``mark`` answers, byte for byte, unless it is too late."""

    def close(self, question: Question, /) -> None:
        """It is answered: a second answer is none."""

    def forget(self, connection: int, /) -> None:
        """The initiator is gone."""


class Questions:
    """The open questions, in memory. ``draw`` gives a random number from 0 to 2**32 - 1."""

    def __init__(self, limits: Limits, draw: Callable[[], int]) -> None:
        self._limits = limits
        self._draw = draw
        self._by_mark: OrderedDict[bytes, Question] = OrderedDict()
        self._by_connection: dict[int, dict[str, Question]] = {}

    def __len__(self) -> int:
        return len(self._by_mark)

    def ask(
        self,
        connection: int,
        initiator: Endpoint,
        peer_id: str,
        key: IdentityKey,
        choose_relay: Callable[[], str],
        now: float,
    ) -> Question | None:
        own = self._by_connection.setdefault(connection, {})
        question = own.get(peer_id)
        if question is not None:
            question.asked = now
            self._by_mark.move_to_end(question.mark)
            return question
        if len(own) >= self._limits.questions_per_connection:
            return None
        mark = self._new_mark(initiator)
        question = Question(connection, initiator, peer_id, mark, now, key, choose_relay())
        if question.mark in self._by_mark:
            self.close(self._by_mark[question.mark])
        self._by_connection.setdefault(connection, {})[peer_id] = question
        self._by_mark[question.mark] = question
        if len(self._by_mark) > self._limits.questions:
            self.close(next(iter(self._by_mark.values())))
        return question

    def find(self, mark: bytes, now: float) -> Question | None:
        question = self._by_mark.get(mark)
        if question is None or now - question.asked > self._limits.answer_timeout:
            return None
        return question

    def close(self, question: Question) -> None:
        del self._by_mark[question.mark]
        own = self._by_connection[question.connection]
        del own[question.peer_id]
        if not own:
            del self._by_connection[question.connection]

    def forget(self, connection: int) -> None:
        for question in list(self._by_connection.pop(connection, {}).values()):
            del self._by_mark[question.mark]

    def _new_mark(self, initiator: Endpoint) -> bytes:
        while not initiator.is_v6:
            mark = mangle(initiator, self._draw())
            if mark not in self._by_mark:
                return mark
        return mangle(initiator, 0)
