"""Reaching a port of a stock desktop: being let in there (docs/CHANNEL.md 7).

A password is asked for with no connection open, as everything that a person is
asked. A code of the second factor is the exception: the desktop wants it on the
connection on which it has taken the password, and gives up on one that is silent.
So its TestDelays are sent back while the person types.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rdpeer.errors import AuthenticationFailed, DeadlineExceeded, NoPath, RdpeerError
from rdpeer.net.raw import RawStream
from rdpeer.net.transport import FrameStream
from rdpeer.net.transport.tcp import TcpStream
from rdpeer.protocol.handshake import ExpectedKey, Send
from rdpeer.protocol.login import (
    MAX_PAYLOAD,
    ApprovalAwaited,
    CodeWanted,
    DesktopLogin,
    LoggedIn,
    LoginEvent,
    Visitor,
)
from rdpeer.protocol.stock import Machine
from rdpeer.values import PeerId, ServerAddress

NOT_ENCRYPTED = (
    "warning: it is a stock desktop: what is carried is not encrypted, and nothing proves its delivery"
)

SILENCE = 30.0
"""Seconds without any frame after which the desktop is gone (docs/PROTOCOL.md 3.8)."""

MOST_TRIES = 3
"""Passwords, and codes, that a person may type; the desktop locks out after six."""

_PLATFORMS = {"Darwin": "Mac OS"}


class DesktopPerson(Protocol):
    """Who is asked and told. The asking methods raise AuthenticationFailed where nothing is to be had."""

    async def desktop_password(self) -> str | None:
        """The desktop's password; None where nobody can be asked, or where somebody there is to accept."""

    async def second_factor(self, again: bool) -> str:
        """The code of the desktop's second factor; ``again``: the last one was wrong."""

    def note(self, text: str) -> None:
        """News that matters."""


def this_machine() -> Machine:
    """As stock peers show it."""
    system = platform.system()
    return Machine(platform.node() or "rdpeer", _PLATFORMS.get(system, system))


@dataclass
class Desktop:
    """What is wanted of a desktop: ``target`` as seen from there. ``password`` is the one that was given.

    ``linger``: seconds without a byte, after our own end, that are taken for its end.
    """

    target: ServerAddress
    visitor: Visitor
    password: str | None = field(repr=False)
    linger: float
    _typed: int = field(default=0, init=False)

    def handshake(self, peer: PeerId, expected: Sequence[ExpectedKey]) -> DesktopLogin:
        """The beginning of a path to it."""
        return DesktopLogin(peer, expected, self.visitor, self.target)

    @property
    def must_ask(self) -> bool:
        """Whether a person has not been asked for the password yet, and none was given."""
        return self.password is None and not self._typed

    async def ask(self, person: DesktopPerson) -> None:
        """Asks for the password, with no connection open."""
        self.password = await person.desktop_password()
        self._typed += 1

    def may_try_again(self) -> bool:
        """A slip of the hand is forgiven; what was given in a file is not going to change."""
        return 0 < self._typed < MOST_TRIES

    async def log_in(self, stream: FrameStream, login: DesktopLogin, person: DesktopPerson) -> RawStream:
        """From PathVerified to raw bytes.

        Raises WrongPassword, what else the login raises, DeadlineExceeded and ConnectionLost.
        """
        if not isinstance(stream, TcpStream):
            raise NoPath("a desktop's port cannot be reached in this way: only TCP can turn raw")
        stream.limit = MAX_PAYLOAD
        stream.step()
        await _Login(stream, login, person).run(self.password)
        return await stream.turn_raw()


class _Login:
    def __init__(self, stream: FrameStream, login: DesktopLogin, person: DesktopPerson) -> None:
        self._stream = stream
        self._login = login
        self._person = person
        self._told = False

    async def run(self, password: str | None) -> None:
        event = self._sent(self._login.log_in(password))
        tries = 0
        while not isinstance(event, LoggedIn):
            if isinstance(event, ApprovalAwaited):
                self._tell()
            if isinstance(event, CodeWanted):
                tries += 1
                event = await self._ask_code(event.again, tries)
            else:
                event = await self._hear()

    async def _ask_code(self, again: bool, tries: int) -> LoginEvent:
        """What the desktop answers to the code; or what it says while the person is still asked."""
        if tries > MOST_TRIES:
            raise AuthenticationFailed("the desktop says that the code of the second factor is wrong")
        hearing = asyncio.create_task(self._hear())
        asking = asyncio.create_task(self._person.second_factor(again))
        try:
            await asyncio.wait((hearing, asking), return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                self._sent(self._login.give_code(asking.result()))
            return await hearing
        finally:
            for task in (hearing, asking):
                task.cancel()
            await asyncio.gather(hearing, asking, return_exceptions=True)

    async def _hear(self) -> LoginEvent:
        """The next event that means more than an echo."""
        while True:
            event = self._sent(self._login.receive(await self._payload()))
            if event is not None:
                return event

    def _sent(self, events: Sequence[LoginEvent]) -> LoginEvent | None:
        """Sends what is to be sent; what else there is, which is one at most."""
        for event in events:
            if isinstance(event, Send):
                self._stream.send(event.payload)
        return next((event for event in events if not isinstance(event, Send)), None)

    async def _payload(self) -> bytes:
        """The next frame. Half-way to where the desktop or we would give up, it hears from us once more."""
        for _ in range(2):
            try:
                async with asyncio.timeout(SILENCE / 2):
                    await self._stream.drain()
                    payload = await self._stream.receive()
            except TimeoutError:
                self._sent(self._login.keep_alive())
                continue
            except RdpeerError as error:
                raise self._login.lost(error) from error
            if payload is None:
                raise self._login.lost()
            return payload
        raise DeadlineExceeded(f"the desktop has been silent for {SILENCE:g} s")

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._person.note("waiting for somebody at the desktop to accept")
