"""rdpeer.wire.readable: every message in one line, its secrets hidden, whatever it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.errors import RemoteProtocolError
from rdpeer.values import Endpoint, PublicKey
from rdpeer.wire import readable
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire import session_pb2 as session
from rdpeer.wire.endpoints import mangle
from rdpeer.wire.messages import parse

VECTORS = Path(__file__).parent.parent / "vectors"
KEY = PublicKey(bytes(range(32)))
SECRET = "s3cret-s3cret"


def _answers_of_hbbs() -> Iterator[tuple[str, str, str]]:
    """Name, bytes and what was read there by another hand: ``PunchHole{1=@10.77.0.8:P, 3=1}``."""
    for line in (VECTORS / "stock-hbbs-1.1.17.jsonl").read_text().splitlines()[1:]:
        row = json.loads(line)
        read = [part for part in row["read"].split(" | ") if not part.startswith("(")]
        for data, seen in zip(row["hex"], read, strict=True):
            yield row["name"], data, seen


@pytest.mark.parametrize(("name", "data", "read"), list(_answers_of_hbbs()))
def test_answers_of_a_stock_server(name: str, data: str, read: str) -> None:
    message = readable.member(pb.RendezvousMessage.FromString(bytes.fromhex(data)))
    assert message is not None
    line = readable.line(message)
    assert line.split(" ")[0] == read.partition("{")[0]
    for address in re.findall(r"@([\d.]+|[0-9a-f:]+):P", read):
        assert address in line
    for text in re.findall(r"'(r\.example(?::\d+)?|710300010)'", read):
        assert text in line


def test_a_desktop_s_session_hides_what_opens_it() -> None:
    rows = [json.loads(row) for row in (VECTORS / "stock-desktop-1.4.9.jsonl").read_text().splitlines()[1:]]
    lines = []
    for row in rows:
        message = readable.member(session.Message.FromString(bytes.fromhex(row.get("bytes") or row["plain"])))
        assert message is not None
        lines.append(readable.line(message))
    assert lines[0].startswith("SignedId id={id=178000002 pk=SHA256:")
    assert re.fullmatch(r"PublicKey asymmetric_value=SHA256:\S{43} symmetric_value=<48 bytes>", lines[1])
    assert lines[2] == "Hash salt=aaaabbbbccccddddeeeeffff00001111 challenge=aen3ka"
    assert lines[3] == (
        "LoginRequest username=178000002 password=<hidden, 32 bytes> my_id=987654321 my_name=lab "
        "port_forward={host=localhost port=9000} session_id=<hidden> version=1.4.9 my_platform=Linux"
    )
    assert 'LoginResponse error="Wrong Password"' in lines


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (pb.RegisterPkResponse(), "RegisterPkResponse result=OK"),
        (pb.PunchHoleResponse(), "PunchHoleResponse failure=ID_NOT_EXIST"),
        (pb.PunchHoleResponse(other_failure="no, never"), 'PunchHoleResponse other_failure="no, never"'),
        (pb.PunchHole(nat_type=pb.SYMMETRIC), "PunchHole nat_type=SYMMETRIC"),
        (pb.RegisterPk(id="612345678", pk=KEY.raw), f"RegisterPk id=612345678 pk={KEY.fingerprint}"),
        (pb.RegisterPk(pk=b"short"), "RegisterPk pk=<5 bytes, no key>"),
        (pb.RelayResponse(pk=b"\1" * 70), "RelayResponse pk=<70 bytes, no signed ID>"),
        (pb.RelayResponse(pk=b""), "RelayResponse pk=<none>"),
        (pb.OnlineResponse(states=b"\xa0"), "OnlineResponse states=10100000"),
        (pb.PunchHoleRequest(licence_key=KEY.text), f"PunchHoleRequest licence_key={KEY.fingerprint}"),
        (pb.LocalAddr(local_addr=b"\1" * 17), "LocalAddr local_addr=<17 bytes, no endpoint>"),
        (
            pb.LocalAddr(socket_addr_v6=mangle(Endpoint("fd00::1", 7), 0)),
            "LocalAddr socket_addr_v6=[fd00::1]:7",
        ),
        (
            pb.TestNatResponse(port=9, cu=pb.ConfigUpdate(serial=2, rendezvous_servers=["a", "b"])),
            "TestNatResponse port=9 cu={serial=2 rendezvous_servers=[a b]}",
        ),
        (session.PublicKey(version=1), "PublicKey version=1"),
        (pb.SoftwareUpdate(url='a" b'), 'SoftwareUpdate url="a\' b"'),
    ],
)
def test_a_line(message: Message, line: str) -> None:
    assert readable.line(message) == line


@pytest.mark.parametrize(
    "message",
    [
        pb.RegisterPk(uuid=SECRET.encode()),
        pb.RequestRelay(uuid=SECRET, token=SECRET, switch_code=SECRET, licence_key=SECRET),
        pb.RelayResponse(uuid=SECRET),
        pb.PunchHoleRequest(token=SECRET, switch_code=SECRET, licence_key=SECRET),
        pb.HealthCheck(token=SECRET),
        pb.HttpProxyRequest(
            path=f"/api?token={SECRET}",
            headers=[pb.HeaderEntry(name="Authorization", value=SECRET)],
            body=SECRET.encode(),
        ),
        pb.HttpProxyResponse(body=SECRET.encode()),
        pb.KeyExchange(keys=[SECRET.encode()]),
        session.LoginRequest(password=SECRET.encode(), hwid=SECRET.encode(), avatar=SECRET),
        session.LoginRequest(os_login=session.OsLogin(password=SECRET)),
        session.Auth2FA(code=SECRET, hwid=SECRET.encode()),
        session.Misc(chat_message=session.ChatMessage(text=SECRET)),
        session.PublicKey(asymmetric_value=SECRET.encode(), symmetric_value=SECRET.encode()),
    ],
)
def test_secrets_are_hidden(message: Message) -> None:
    line = readable.line(message)
    assert SECRET not in line
    assert SECRET not in json.dumps(readable.fields(message))
    for field, _ in message.ListFields():  # it is told that something was there
        assert f"{field.name}=" in line


def _fields_that_sound_secret() -> list[tuple[type[Message], str, bool]]:
    sounds = re.compile("passw|secret|token|uuid|hwid|code$|licence|session_id")
    return [
        (kind, field.name, field.type == field.TYPE_BYTES)
        for schema in (pb, session)
        for kind in vars(schema).values()
        if isinstance(kind, type) and issubclass(kind, Message)
        for field in kind.DESCRIPTOR.fields
        if sounds.search(field.name) and field.type in (field.TYPE_BYTES, field.TYPE_STRING)
    ]


@pytest.mark.parametrize(("kind", "name", "is_bytes"), _fields_that_sound_secret())
def test_what_sounds_secret_is_hidden(kind: type[Message], name: str, is_bytes: bool) -> None:
    """Of a field that is new in the schema, too."""
    message = kind(**{name: SECRET.encode() if is_bytes else SECRET})
    assert SECRET not in readable.line(message)


def test_one_token_has_one_mark() -> None:
    lines = [readable.line(pb.RequestRelay(uuid=token)) for token in ("one", "one", "two")]
    assert lines[0] == lines[1] != lines[2]


def test_unknown_fields_are_told_by_number_and_length() -> None:
    message = pb.RegisterPeer.FromString(b"\x82\x7d\x28" + bytes(40) + b"\x88\x7d\x07")
    assert readable.fields(message) == {"2000": "<40 bytes>", "2001": 7}


def test_what_is_long_is_cut() -> None:
    request = pb.OnlineRequest(peers=[str(number) for number in range(5000)])
    assert readable.line(request).endswith(" 15 <4984 more>]")
    assert len(readable.line(pb.RegisterPeer(id="x" * 9999))) < 300
    many = pb.RegisterPeer.FromString(b"\xc8\x3e\x07" * 400)
    assert len(readable.line(many)) < 300


@given(st.integers(3, 28), st.binary(max_size=300), st.sampled_from([pb.RendezvousMessage, session.Message]))
def test_any_member_is_one_printable_line(number: int, payload: bytes, kind: type[Message]) -> None:
    try:
        message = readable.member(parse(kind, _varint(number << 3 | 2) + _varint(len(payload)) + payload))
    except RemoteProtocolError:
        return
    if message is not None:
        assert readable.line(message).isprintable()
        json.dumps(readable.fields(message))


def _varint(number: int) -> bytes:
    return bytes((number,)) if number < 128 else bytes((number & 127 | 128, number >> 7))


@given(st.text(max_size=300))
def test_no_text_of_the_wire_breaks_out(text: str) -> None:
    line = readable.line(pb.RegisterPeer(id=text, serial=1)) if text else "RegisterPeer serial=1"
    assert line.isprintable()
    assert re.fullmatch(r'RegisterPeer (id=([\w.:/@+-]+|"[^"]*") )?serial=1', line)
