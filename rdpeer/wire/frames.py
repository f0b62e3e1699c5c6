"""Frames: how a stream of bytes is cut into payloads (docs/PROTOCOL.md 10.1).

A frame is a header of one to four bytes, little endian, and the payload. The
low two bits of the first byte say how many header bytes there are, less one;
the header without them is the payload's length. Not used by datagrams, by
WebSocket messages, or by legs that a relay has joined.
"""

from __future__ import annotations

import sys

from rdpeer.errors import LocalProtocolError, RemoteProtocolError

MAX_PAYLOAD = 0x3FFFFFFF
"""Bytes; what the header can say. A reader sets its own, far lower limit."""

_MIN_BUFFER = 4096
_MAX_HEADER = 4


def encode_header(length: int) -> bytes:
    """The shortest header for a payload of ``length`` bytes; LocalProtocolError above MAX_PAYLOAD."""
    if length <= 0x3F:
        return bytes((length << 2,))
    if length <= 0x3FFF:
        return (length << 2 | 1).to_bytes(2, "little")
    if length <= 0x3FFFFF:
        return (length << 2 | 2).to_bytes(3, "little")
    if length <= MAX_PAYLOAD:
        return (length << 2 | 3).to_bytes(4, "little")
    raise LocalProtocolError(f"a frame cannot hold {length} bytes")


def header_size(first: int) -> int:
    """How many bytes the header has that begins with the byte ``first``: 1 to 4."""
    return (first & 3) + 1


def decode_header(header: bytes | bytearray) -> int:
    """The payload's length, from a whole header."""
    return int.from_bytes(header, "little") >> 2


def encode_frame(payload: bytes) -> bytes:
    """Header and payload in one piece."""
    return encode_header(len(payload)) + payload


class FrameReader:
    """Cuts a stream into payloads, without I/O.

    Bytes are written straight into its buffer, so that bulk data is copied once:

        view = reader.writable(); n = sock.recv_into(view); payloads = reader.advance(n)

    ``limit`` is the longest payload taken, in bytes; it may be raised as the
    other end proves itself. A longer frame raises RemoteProtocolError as soon as
    its header is there and the payloads before it have been returned. Who raises
    the limit on the strength of those goes on with ``advance(0)``.
    """

    def __init__(self, limit: int, buffer: int = 64 * 1024) -> None:
        self.limit = limit
        self._buffer = bytearray(max(buffer, _MIN_BUFFER))
        self._start = 0
        self._end = 0

    def writable(self) -> memoryview:
        """Where the next bytes go; never empty, released before the next call of a method."""
        return memoryview(self._buffer)[self._end :]

    def advance(self, count: int, most: int = sys.maxsize) -> list[bytes]:
        """``count`` bytes were written to ``writable()``: at most ``most`` payloads that are whole now."""
        self._end += count
        payloads: list[bytes] = []
        try:
            with memoryview(self._buffer) as view:
                while len(payloads) < most and (frame := self._next_frame()) is not None:
                    begin, end = frame
                    payloads.append(bytes(view[begin:end]))
                    self._start = end
        except RemoteProtocolError:
            if not payloads:
                raise
        finally:
            self._make_room()
        return payloads

    def receive(self, data: bytes) -> list[bytes]:
        """The payloads that are whole once ``data`` has been added."""
        payloads = []
        while data:
            with self.writable() as room:
                count = min(len(room), len(data))
                room[:count] = data[:count]
            data = data[count:]
            payloads += self.advance(count)
        return payloads

    @property
    def pending(self) -> bool:
        """True in the middle of a frame: a stream that ends here was cut short."""
        return self._end > self._start

    def take_rest(self) -> bytes:
        """What was received and not yet returned; the reader is empty then. For a leg that turns raw."""
        rest = bytes(self._buffer[self._start : self._end])
        self._start = self._end = 0
        return rest

    def _next_frame(self) -> tuple[int, int] | None:
        """Where the next whole payload lies in the buffer, or None."""
        size = self._end - self._start
        if not size:
            return None
        header = header_size(self._buffer[self._start])
        if size < header:
            return None
        length = decode_header(self._buffer[self._start : self._start + header])
        if length > self.limit:
            raise RemoteProtocolError(f"a frame of {length} bytes is over the limit of {self.limit}")
        if size < header + length:
            self._needed = header + length
            return None
        return self._start + header, self._start + header + length

    _needed = 0

    def _make_room(self) -> None:
        """Moves what is left to the front, and doubles a full buffer where one frame is larger than it: a
        frame that was only announced takes no memory."""
        left = self._end - self._start
        if not left:
            self._start = self._end = 0
        elif self._start:
            with memoryview(self._buffer) as view:  # one move; a slice of the buffer would be a copy first
                view[:left] = view[self._start : self._end]
            self._start, self._end = 0, left
        if self._end + _MAX_HEADER > len(self._buffer):
            wanted = max(min(self._needed, 2 * len(self._buffer)), self._end + _MAX_HEADER)
            self._buffer.extend(bytes(wanted - len(self._buffer)))
        self._needed = 0
