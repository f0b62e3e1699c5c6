"""Transcripts of conversations: what happens (``>>``), and what is then commanded (``<<``).

    assert (
        Playbook(conversation)
        >> Started()
        << OpenStream("server", SERVER)
        >> Deadline(15.0)
        << Fail(ServerUnreachable("no answer from ..."))
    )

Commands are compared as lines of text: a payload is shown as the message it
is, an error by its class and text. Everything commanded must be expected, in
its order. The clock is virtual: it stands still, but for Deadline and After.
A playbook that is not run by ``assert`` fails when it is thrown away.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

from google.protobuf import text_format

from rdpeer.errors import RemoteProtocolError
from rdpeer.protocol.conversation import Command, Conversation, DeadlineReached, Event, Fail
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.messages import parse


@dataclass(frozen=True)
class Deadline:
    """The conversation waits exactly ``seconds`` from now; they pass, and it is told so."""

    seconds: float


@dataclass(frozen=True)
class After:
    """``seconds`` pass, and nothing happens: the conversation's deadline lies behind them."""

    seconds: float


class Playbook:
    def __init__(self, conversation: Conversation, now: float = 1000.0) -> None:
        self._conversation = conversation
        self._now = now
        self._steps: list[Event | Deadline | After] = []
        self._expected: list[list[str]] = [[]]
        self._ran = False

    def __rshift__(self, step: Event | Deadline | After) -> Self:
        self._steps.append(step)
        self._expected.append([])
        return self

    def __lshift__(self, command: Command) -> Self:
        self._expected[-1].append(shown(command))
        return self

    def __bool__(self) -> bool:
        self._ran = True
        expected = self._expected[0]
        actual: list[str] = []
        for step, lines in zip(self._steps, self._expected[1:], strict=True):
            expected += [f">> {shown(step)}", *(f"<< {line}" for line in lines)]
            actual += [f">> {shown(step)}", *(f"<< {shown(command)}" for command in self._take(step))]
        if actual != expected:
            raise AssertionError("\n" + "\n".join(difflib.ndiff(expected, actual)))
        return True

    def __del__(self) -> None:
        if not self._ran:
            raise AssertionError("a playbook was not run: assert it")

    def _take(self, step: Event | Deadline | After) -> list[Command]:
        match step:
            case After(seconds):
                self._now += seconds
                deadline = self._conversation.deadline
                assert deadline is None or deadline > self._now, (
                    f"its deadline came {self._now - deadline} s ago"
                )
                return []
            case Deadline(seconds):
                deadline = self._conversation.deadline
                assert deadline is not None, "it waits for no deadline"
                assert round(deadline - self._now, 6) == seconds, f"it waits {deadline - self._now} s"
                self._now = deadline
                return self._conversation.handle(DeadlineReached(), self._now)
            case _:
                return self._conversation.handle(step, self._now)


def wire(**member: Any) -> bytes:
    """A RendezvousMessage, serialised."""
    return pb.RendezvousMessage(**member).SerializeToString()


def shown(value: Any) -> str:
    """One line."""
    if isinstance(value, Fail):
        return f"Fail({type(value.error).__name__}: {value.error})"
    parts = [_shown_field(getattr(value, field.name)) for field in fields(value)]
    return f"{type(value).__name__}({', '.join(parts)})"


def _shown_field(value: Any) -> str:
    render: Callable[[Any], str] = _shown_payload if isinstance(value, bytes) else repr
    return render(value)


def _shown_payload(payload: bytes) -> str:
    try:
        message = parse(pb.RendezvousMessage, payload)
    except RemoteProtocolError:
        return repr(payload)
    return text_format.MessageToString(message, as_one_line=True) or repr(payload)
