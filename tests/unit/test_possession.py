"""The proof of possession against recorded bytes, and against every change of what it covers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.crypto.keys import IdentityKey
from rdpeer.crypto.possession import Claim, Possession
from rdpeer.values import PublicKey

VECTORS = Path(__file__).parent.parent / "vectors" / "register-1.json"
CASES: list[dict[str, str]] = json.loads(VECTORS.read_text())["cases"]
KEY, OTHER = IdentityKey.from_seed(b"\x01" * 32), IdentityKey.from_seed(b"\x02" * 32)
CLAIM = Claim(OTHER.public, "612345678", b"uuid", KEY.public.raw, bytes(16))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"][:12])
def test_recorded_signatures(case: dict[str, str]) -> None:
    raw = {name: bytes.fromhex(text) for name, text in case.items() if name != "id"}
    claim = Claim(PublicKey(raw["server"]), case["id"], raw["uuid"], raw["pk"], raw["cookie"])
    key, previous = IdentityKey.from_seed(raw["seed"]), IdentityKey.from_seed(raw["previous_seed"])
    assert claim.sign(key) == key.sign(raw["signed"]) == raw["signature"]
    assert claim.sign(previous) == raw["previous_signature"]
    assert claim.is_signed_by(raw["pk"], raw["signature"])
    proof = Possession(key, claim.server).proof(claim.peer_id, claim.uuid, claim.cookie)
    assert proof == raw["signature"]


@pytest.mark.parametrize(
    "change",
    [
        {"server": KEY.public},
        {"peer_id": "612345679"},
        {"uuid": b"uuie"},
        {"pk": OTHER.public.raw},
        {"cookie": bytes(15) + b"\x01"},
        {"peer_id": "612345678u", "uuid": b"uid"},
    ],
    ids=lambda change: " ".join(change),
)
def test_it_is_worth_nothing_for_anything_else(change: dict[str, Any]) -> None:
    signature = CLAIM.sign(KEY)
    assert CLAIM.is_signed_by(KEY.public.raw, signature)
    assert not dataclasses.replace(CLAIM, **change).is_signed_by(KEY.public.raw, signature)


@given(st.binary(max_size=80), st.binary(min_size=32, max_size=32))
def test_junk_is_no_signature(signature: bytes, pk: bytes) -> None:
    assert not CLAIM.is_signed_by(pk, signature)
