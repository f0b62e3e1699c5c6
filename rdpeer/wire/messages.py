"""Serialised messages to typed ones, with one error for all that cannot be read."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from rdpeer.errors import RemoteProtocolError

M = TypeVar("M", bound=Message)


def parse(kind: type[M], payload: bytes) -> M:
    """``payload`` as a ``kind``.

    Unknown fields are kept and ignored. Raises RemoteProtocolError on anything
    that is not a serialised message: the C parser says DecodeError, the pure
    Python one lets UnicodeDecodeError through for bad text.
    """
    try:
        return kind.FromString(payload)
    except (DecodeError, ValueError):
        raise RemoteProtocolError(f"{len(payload)} bytes are not a {kind.__name__}") from None
