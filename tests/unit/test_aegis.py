from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

import pytest
from nacl import bindings
from nacl.exceptions import UnavailableError

from rdpeer.crypto import aegis, channel
from rdpeer.crypto.aegis import Nonces, Opener, Sealer
from rdpeer.errors import LocalProtocolError, RemoteProtocolError
from rdpeer.wire.records import RecordType, encode

KEY, HEADER = bytes(range(32)), bytes(range(24))
FINAL = encode(RecordType.FINAL)


def foreign(plaintext: bytes, count: int) -> bytes:
    return bindings.crypto_aead_aegis256_encrypt(plaintext, None, HEADER + count.to_bytes(8, "big"), KEY)


def test_libsodium_has_the_aegis_of_the_specification() -> None:
    """Test vector 1 of AEGIS-256, with the tag of 256 bits (draft-irtf-cfrg-aegis-aead, appendix A.3)."""
    sealed = bindings.crypto_aead_aegis256_encrypt(
        bytes(16), None, bytes.fromhex("1000020000").ljust(32, b"\0"), bytes.fromhex("1001").ljust(32, b"\0")
    )
    assert sealed.hex() == (
        "754fc3d8c973246dcc6d741412a4b2361181a1d18091082bf0266f66297d167d2e68b845f61a3b0527d31fc7b7b89f13"
    )


def test_the_nonce_is_the_header_and_the_number_of_the_record() -> None:
    sealer, opener = Sealer(KEY, HEADER), Opener(KEY, HEADER)
    for count in range(300):
        sealed = foreign(b"record", count)
        assert sealer.seal(b"record") == sealed
        assert opener.open(sealed) == (b"record", False)


def test_a_record_that_failed_to_seal_leaves_its_number_unused() -> None:
    sealer = Sealer(KEY, HEADER)
    with pytest.raises(TypeError):
        sealer.seal(None)  # type: ignore[arg-type]
    assert sealer.seal(b"next") == foreign(b"next", 1)


def test_no_number_comes_back_however_many_there_are() -> None:
    nonces = Nonces(HEADER, 2**32 - 1)
    assert nonces.next() == HEADER + bytes.fromhex("00000000ffffffff")
    assert nonces.next() == HEADER + bytes.fromhex("0000000100000000")
    nonces = Nonces(HEADER, 2**64)
    with pytest.raises(OverflowError):
        nonces.next()


def test_threads_at_one_sealer_never_use_a_number_twice() -> None:
    nonces, seen = Nonces(HEADER), [set[bytes]() for _ in range(4)]

    def work(mine: set[bytes]) -> None:
        sys.settrace(lambda *_: lambda *_: time.sleep(0))  # as a debugger does, between any two lines
        mine.update(nonces.next() for _ in range(500))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set().union(*seen)) == 2000


@pytest.mark.parametrize(("record", "final"), [(FINAL, False), (b"", True), (FINAL + b"x", True)])
def test_only_final_is_sealed_as_the_end(record: bytes, final: bool) -> None:
    with pytest.raises(LocalProtocolError, match="final record"):
        Sealer(KEY, HEADER).seal(record, final)


def test_nothing_opens_after_the_final_record() -> None:
    opener = Opener(KEY, HEADER)
    assert opener.open(foreign(FINAL, 0)) == (FINAL, True)
    with pytest.raises(RemoteProtocolError, match="after the end"):
        opener.open(foreign(b"more", 1))


def test_final_with_a_body_is_not_the_end() -> None:
    opener = Opener(KEY, HEADER)
    assert opener.open(foreign(FINAL + b"x", 0)) == (FINAL + b"x", False)


@pytest.fixture
def forgetful() -> Iterator[None]:
    """What was found of the processor is found anew, and again after the test."""
    aegis.is_fast.cache_clear()
    yield
    aegis.is_fast.cache_clear()


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("has_aes", [False, True])
def test_version_2_is_spoken_where_the_processor_has_aes(
    monkeypatch: pytest.MonkeyPatch, has_aes: bool
) -> None:
    def unavailable(*_: object) -> bytes:
        raise UnavailableError

    monkeypatch.setattr(
        bindings, "crypto_aead_aes256gcm_encrypt", (lambda *_: bytes(16)) if has_aes else unavailable
    )
    assert channel.versions() == ((1, 2) if has_aes else (1,))
