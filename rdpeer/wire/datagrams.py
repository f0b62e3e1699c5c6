"""Datagrams that are no messages, made readable: the reliable stream's, and STUN's.

Neither says what it is. They are told by their form: the reliable stream by a
known set of flags, a zero, and segments that fill the rest to the byte; STUN by
its constant and its length.
"""

from __future__ import annotations

from rdpeer.errors import RemoteProtocolError
from rdpeer.wire import kcp, stun
from rdpeer.wire.frames import decode_header, header_size
from rdpeer.wire.readable import Shown, Value

_CARRIES = kcp.ACK | kcp.DATA
_FLAGS = {
    kcp.SYN: "SYN",
    kcp.SYN | kcp.ACK: "SYN+ACK",
    _CARRIES: "ACK+DATA",
    kcp.FIN: "FIN",
    kcp.RST: "RST",
    kcp.PING: "PING",
    kcp.PING | kcp.PONG: "PING+PONG",
}
_COMMANDS = {
    kcp.PUSH: "PUSH",
    kcp.ACKNOWLEDGE: "ACK",
    kcp.ASK_WINDOW: "ASK_WINDOW",
    kcp.TELL_WINDOW: "TELL_WINDOW",
}


def describe(datagram: bytes) -> tuple[str, dict[str, Value]] | None:
    """Name and fields of a datagram of one of the two; None for anything else."""
    if fields := _stun(datagram):
        return "STUN", fields
    if fields := _reliable(datagram):
        return "KCP", fields
    return None


def _stun(datagram: bytes) -> dict[str, Value] | None:
    """A binding request, or an answer to one."""
    if stun.parse_request(datagram) is not None:
        return {"binding": "request"}
    try:
        return {"binding": "answer", "endpoint": Shown(stun.parse_answer(datagram, datagram[8:20]))}
    except RemoteProtocolError:
        return None


def _reliable(datagram: bytes) -> dict[str, Value] | None:
    """A datagram of the reliable stream (docs/PROTOCOL.md 1.1, 1.5).

    One frame of as many bytes as the header alone has is more likely that frame.
    """
    try:
        name, flags = kcp.split_datagram(datagram)
        segments = kcp.parse_segments(datagram)
    except RemoteProtocolError:
        return None
    is_frame = len(datagram) == 1 + decode_header(datagram[:1]) and header_size(datagram[0]) == 1
    if flags not in _FLAGS or datagram[len(name) + 1] or (segments and flags != _CARRIES) or is_frame:
        return None
    shown: dict[str, Value] = {"flags": _FLAGS[flags], "connection": name[:4][::-1].hex()}
    return shown | ({"segments": [_segment(segment) for segment in segments]} if segments else {})


def _segment(segment: kcp.Segment) -> dict[str, Value]:
    shown: dict[str, Value] = {"command": _COMMANDS[segment.command], "window": segment.window}
    shown |= {"number": segment.number, "expected": segment.expected}
    return shown | ({"bytes": len(segment.data)} if segment.data else {})
