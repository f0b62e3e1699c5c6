"""The stock session's own bytes, from docs/PROTOCOL.md 3 and 10 alone: what both stand-ins speak.

Nothing here is rdpeer's but the message schema: sealing, proofs and frames are written once more.
``tests/unit/test_stand_ins.py`` holds them against the recorded session of a real desktop.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from nacl.public import Box, PrivateKey, PublicKey
from nacl.secret import SecretBox

from rdpeer.wire import session_pb2 as pb


def digest(password: str, salt: str) -> bytes:
    """3.4: all that a desktop keeps of a password."""
    return hashlib.sha256(password.encode() + salt.encode()).digest()


def proof(stored: bytes, challenge: str) -> bytes:
    return hashlib.sha256(stored + challenge.encode()).digest()


def seal_session_key(session_key: bytes, ours: PrivateKey, theirs: bytes) -> bytes:
    """3.1, step 3."""
    return Box(ours, PublicKey(theirs)).encrypt(session_key, bytes(24)).ciphertext


def open_session_key(sealed: bytes, ours: PrivateKey, theirs: bytes) -> bytes:
    return Box(ours, PublicKey(theirs)).decrypt(sealed, bytes(24))


def header(length: int) -> bytes:
    """10.1."""
    size = 1 if length <= 0x3F else 2 if length <= 0x3FFF else 3 if length <= 0x3FFFFF else 4
    return (length << 2 | size - 1).to_bytes(size, "little")


class Wire:
    """One connection: frames, then sealed frames, then raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._box: SecretBox | None = None
        self._sent = self._received = 0

    def encrypt(self, session_key: bytes) -> None:
        """From here on (3.2)."""
        self._box = SecretBox(session_key)

    async def receive(self) -> bytes:
        """The next payload, opened. IncompleteReadError at the end."""
        first = (await self.reader.readexactly(1))[0]
        rest = await self.reader.readexactly(first & 3)
        length = int.from_bytes(bytes([first]) + rest, "little") >> 2
        return self.opened(await self.reader.readexactly(length))

    async def hear(self) -> pb.Message:
        return pb.Message.FromString(await self.receive())

    def send(self, payload: bytes) -> None:
        payload = self.sealed(payload)
        self.writer.write(header(len(payload)) + payload)

    def say(self, **member: Any) -> None:
        self.send(pb.Message(**member).SerializeToString())

    def sealed(self, payload: bytes) -> bytes:
        if self._box is None:
            return payload
        self._sent += 1
        return self._box.encrypt(payload, self._sent.to_bytes(8, "little") + bytes(16)).ciphertext

    def opened(self, payload: bytes) -> bytes:
        if self._box is None or len(payload) <= 1:
            return payload
        self._received += 1
        return self._box.decrypt(payload, self._received.to_bytes(8, "little") + bytes(16))


async def join(one: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """3.7: raw both ways; the end of either side ends both."""
    ways = [
        asyncio.create_task(_copy(one.reader, writer)),
        asyncio.create_task(_copy(reader, one.writer)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
