"""Rows of datagrams, each row in one system call: recvmmsg(2) and sendmmsg(2), which Python has no names for.

For a server that answers in a microsecond, two system calls a datagram are most
of what it does. Here a row arrives in one, and a run of one same answer, as keep-alives
get, leaves in one. The kernel reads and writes the memory laid out below; nothing
is allocated for a datagram but its bytes and its source.

Linux and IPv4 only: everything else goes one by one, and passes the same tests.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

Answer = Callable[[bytes, Any, float], bytes | None]
"""As that of ``rdpeer.net.datagrams``."""

_ROW = 64
_LONGEST = 2048
_NAME = struct.Struct("=2x6s8x")  # sockaddr_in: the family; port and address, in the network's order
_SOURCES = 65536


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iov_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr: a header, and how many bytes came."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint32))


def can_row(sock: socket.socket) -> bool:
    """Whether ``sock`` can be given to Rows: the calls are there, and whatever confines us allows them."""
    if sys.platform != "linux" or sock.family != socket.AF_INET:
        return False
    libc = _libc()
    return not libc.recvmmsg(sock.fileno(), None, 0, 0, None) and not libc.sendmmsg(sock.fileno(), None, 0, 0)


class Rows:
    """Answers what comes to ``sock``, which is bound and does not block."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        libc = _libc()
        self._receive, self._send = libc.recvmmsg, libc.sendmmsg
        self._receive.argtypes = (
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_void_p,
        )
        self._send.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._datagrams = mmap.mmap(-1, _ROW * _LONGEST)  # a slice of it is bytes, and copied once
        self._names = bytearray(_ROW * _NAME.size)
        self._reply = memoryview(bytearray(_LONGEST))  # never moves: a longer answer is a ValueError
        data, names = _address(self._datagrams), _address(self._names)
        self._places = (_Iovec * _ROW)(*(_Iovec(data + n * _LONGEST, _LONGEST) for n in range(_ROW)))
        self._reply_place = _Iovec(_address(self._reply), 0)
        places = ctypes.addressof(self._places)
        self._incoming, self._outgoing = (_Message * _ROW)(), (_Message * _ROW)()
        for n in range(_ROW):
            self._incoming[n] = _message(names + n * _NAME.size, places + n * ctypes.sizeof(_Iovec))
            self._outgoing[n] = _message(names + n * _NAME.size, ctypes.addressof(self._reply_place))
        self._lengths = _lengths(self._incoming)

    def drain(self, answer: Answer, now: float, most: int) -> bool:
        """Takes and answers what is there, ``most`` datagrams or a few more: whether each was answered.

        An answer that there is no room for is lost.
        """
        all_answered = True
        while most > 0:
            count = self._receive(self._socket.fileno(), ctypes.addressof(self._incoming), _ROW, 0, None)
            if count < 0:
                if ctypes.get_errno() in (errno.EAGAIN, errno.EINTR):
                    break
                most -= 1  # of the socket, and told once; but never for ever in one call of ours
                continue
            most -= count
            all_answered &= self._answer_row(answer, now, count)
            if count < _ROW:
                break
        return all_answered

    def _answer_row(self, answer: Answer, now: float, count: int) -> bool:
        run: bytes | None = b""  # what all from ``begin`` up to here get; empty is no answer of anybody's
        begin = 0
        all_answered = True
        lengths = self._lengths[:count].tolist()
        names = _NAME.iter_unpack(self._names)
        datagrams = self._datagrams
        for at, (length, (name,)) in enumerate(zip(lengths, names, strict=False)):
            start = at * _LONGEST
            reply = answer(datagrams[start : start + length], _source(name), now)
            if reply is not run:
                self._send_run(run, begin, at)
                run, begin = reply, at
                all_answered &= reply is not None
        self._send_run(run, begin, count)
        return all_answered

    def _send_run(self, reply: bytes | None, begin: int, end: int) -> None:
        """``reply`` to those who sent the datagrams from ``begin`` on, to ``end``."""
        if reply is None:
            return
        self._reply[: len(reply)] = reply
        self._reply_place.length = len(reply)
        while begin < end:
            first = ctypes.addressof(self._outgoing) + begin * ctypes.sizeof(_Message)
            begin += max(self._send(self._socket.fileno(), first, end - begin, 0), 1)


@functools.lru_cache(_SOURCES)
def _source(name: bytes) -> tuple[str, int]:
    """As the socket functions have it. Who comes again is the same object, which is cheap to compare."""
    return socket.inet_ntoa(name[2:]), int.from_bytes(name[:2], "big")


def _message(name: int, place: int) -> _Message:
    return _Message(_Header(name=name, name_length=_NAME.size, iov=place, iov_length=1))


def _lengths(messages: ctypes.Array[_Message]) -> memoryview:
    """The lengths alone, as numbers."""
    words = memoryview(messages).cast("B").cast("I")
    return words[_Message.length.offset // 4 :: ctypes.sizeof(_Message) // 4]


def _address(buffer: bytearray | memoryview | mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
