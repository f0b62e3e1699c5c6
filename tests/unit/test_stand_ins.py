"""The stand-ins for a stock desktop against the recorded session of a real one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from nacl.public import PrivateKey
from nacl.signing import VerifyKey
from stock_session import Wire, digest, header, open_session_key, proof, seal_session_key

from rdpeer.wire import session_pb2 as pb

VECTORS = Path(__file__).parent.parent / "vectors" / "stock-desktop-1.4.9.jsonl"
RECORDED = [json.loads(line) for line in VECTORS.read_text().splitlines()[1:]]
SESSIONS = sorted({vector["session"] for vector in RECORDED})


def wire() -> Wire:
    nobody: Any = None
    return Wire(asyncio.StreamReader(), nobody)


@pytest.mark.parametrize("name", SESSIONS)
async def test_a_recorded_session(name: str) -> None:
    signed_id, public_key, *messages = [vector for vector in RECORDED if vector["session"] == name]
    blob = pb.Message.FromString(bytes.fromhex(signed_id["bytes"])).signed_id.id
    identity = pb.IdPk.FromString(VerifyKey(bytes.fromhex(signed_id["peer_ed25519"])).verify(blob))
    assert identity.id == signed_id["id"]

    ours, session_key = bytes.fromhex(public_key["x25519_secret"]), bytes.fromhex(public_key["session_key"])
    answer = pb.PublicKey(
        asymmetric_value=PrivateKey(ours).public_key.encode(),
        symmetric_value=seal_session_key(session_key, PrivateKey(ours), identity.pk),
    )
    assert pb.Message(public_key=answer).SerializeToString().hex() == public_key["bytes"]

    desktop, initiator = wire(), wire()
    desktop.encrypt(session_key)
    initiator.encrypt(session_key)
    for message in messages:
        plain = bytes.fromhex(message["plain"])
        if message["what"] == "LoginRequest":
            login = pb.Message.FromString(plain).login_request
            stored = digest(message["password"], message["salt"])
            assert proof(stored, message["challenge"]) == login.password
        else:
            assert desktop.sealed(plain).hex() == message["sealed"]
            assert initiator.opened(bytes.fromhex(message["sealed"])) == plain


def test_a_session_key_is_opened_by_whom_it_was_sealed_for() -> None:
    initiator, desktop = PrivateKey.generate(), PrivateKey.generate()
    sealed = seal_session_key(bytes(range(32)), initiator, desktop.public_key.encode())
    assert len(sealed) == 48
    assert open_session_key(sealed, desktop, initiator.public_key.encode()) == bytes(range(32))


@pytest.mark.parametrize(
    ("length", "expected"), [(0, "00"), (63, "fc"), (64, "0101"), (16384, "020001"), (4194304, "03000001")]
)
def test_frame_headers(length: int, expected: str) -> None:
    assert header(length).hex() == expected
