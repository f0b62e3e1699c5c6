"""``rdpeer decode``: what was on the wire."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rdpeer.cli import voice
from rdpeer.cli.common import Command, Invocation

if TYPE_CHECKING:
    from rdpeer.wire.dissect import Part

_MOST = 16 * 1024 * 1024
_TSHARK = (
    "tshark -r FILE -T fields -e tcp.stream -e ip.src -e ip.dst -e udp.payload -e tcp.payload | rdpeer decode"
)


@click.command(cls=Command, network=False, json=True)
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@click.option(
    "--file", "path", metavar="PATH", type=click.Path(path_type=Path), help="Read this file, text or bytes."
)
@click.option(
    "--schema",
    type=click.Choice(["rendezvous", "session"]),
    help="Read messages to and from servers only, or between peers only.",
)
@click.pass_obj
def command(invocation: Invocation, texts: tuple[str, ...], path: Path | None, schema: str | None) -> None:
    """Show captured messages in readable form.

    Each TEXT is hex or base64; without one, standard input is read: the same, a line
    each, what 'tshark -T fields' writes, or the bytes themselves. Passwords, tokens and
    the like are not shown.
    """
    from rdpeer.errors import RemoteProtocolError, UsageError

    if texts and path:
        raise click.UsageError("--file and TEXT exclude each other")
    total = unread = 0
    for part in _parts(_pieces(texts, path), schema):
        total += 1
        unread += part.problem is not None
        if invocation.json:
            voice.answer_json(_object(part))
        else:
            voice.answer(str(part))
    if not total:
        raise UsageError("there is nothing to decode")
    if unread:
        raise RemoteProtocolError(f"cannot read {unread} of {total} pieces")


def _parts(pieces: Iterable[tuple[str, bytes]], schema: str | None) -> Iterator[Part]:
    from rdpeer.wire.dissect import Dissector, Schema

    dissector = Dissector([Schema(schema)] if schema else tuple(Schema))
    for source, data in pieces:
        yield from dissector.take(source, data)
    yield from dissector.end()


def _pieces(texts: tuple[str, ...], path: Path | None) -> Iterator[tuple[str, bytes]]:
    """What is to be dissected, with its source. UsageError for text that is not what it should be."""
    from rdpeer.errors import UsageError
    from rdpeer.wire import captures

    try:
        if texts:
            yield from (("", captures.unwritten(text)) for text in texts)
            return
        data = _content(path)
        if captures.is_capture_file(data):
            raise UsageError("this is a capture file: its packets are to be taken out first", hint=_TSHARK)
        if captures.is_text(data):
            yield from captures.pieces(data.decode("ascii"))
        else:
            yield "", data
    except ValueError as error:
        raise UsageError(str(error)) from None


def _content(path: Path | None) -> bytes:
    """At most 16 MiB of the file, or of standard input. UsageError for one that cannot be read."""
    from rdpeer.errors import UsageError

    try:
        with path.open("rb") if path else sys.stdin.buffer as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path or 'standard input'}: {error.strerror}") from error
    if len(data) > _MOST:
        raise UsageError(f"{path or 'standard input'} has more than {_MOST >> 20} MiB")
    return data


def _object(part: Part) -> dict[str, object]:
    found: dict[str, object] = {"source": part.source} if part.source else {}
    found |= {"carrier": part.carrier, "bytes": part.size, "message": part.name}
    return found | ({"problem": part.problem} if part.problem else {"fields": part.fields})
