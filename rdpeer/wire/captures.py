"""Captured bytes as people have them: hex, base64, and the lines that ``tshark -T fields`` writes."""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Iterator

from rdpeer.values import printable

_HEX = re.compile(r"(?:0x)?(?:[0-9A-Fa-f]{2}[: ]?)+")
_TEXT = frozenset(string.printable.encode())
_CAPTURE_FILES = (
    b"\xa1\xb2\xc3\xd4",
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x4d\x3c\xb2\xa1",
    b"\n\r\r\n",
)


def is_capture_file(data: bytes) -> bool:
    """Whether this is the content of a pcap or pcapng file, which has packets inside packets."""
    return data.startswith(_CAPTURE_FILES)


def is_text(data: bytes) -> bool:
    """Whether to read ``data`` as lines of text; else it is what was captured itself."""
    return _TEXT.issuperset(data)


def pieces(text: str) -> Iterator[tuple[str, bytes]]:
    """Each line's source and bytes; ValueError for a line that is neither hex nor base64.

    Hex may have ``:`` or spaces between its bytes. In a line with tabs the bytes are
    in the last column that is not empty, and the columns before it name the source;
    a line of which that column is none, since its own are empty, is a packet without bytes.
    Empty lines, and those that begin with ``#``, are passed over.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        *source, captured = [column.strip() for column in line.rstrip("\t").split("\t") if column.strip()]
        try:
            found = [unwritten(one) for one in captured.split(",")]
        except ValueError:
            if line.endswith("\t"):
                continue
            raise ValueError(
                f"line {number} is neither hex nor base64: {printable(captured, 40)!r}"
            ) from None
        for data in found:
            yield printable(" ".join(source)), data


def unwritten(text: str) -> bytes:
    """The bytes that are written as hex, or else as base64. ValueError for anything else."""
    text = text.strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex(text.removeprefix("0x").replace(":", " "))
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"neither hex nor base64: {printable(text, 40)!r}") from error
