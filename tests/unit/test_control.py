"""The admin socket's transport: lines of JSON, the owner's alone, whatever is said to it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from exhaustion import out_of_descriptors

from rdpeer.errors import RdpeerError, UsageError
from rdpeer.net import control
from rdpeer.net.control import NobodyListens, Row

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Unix sockets")


async def answer(question: Row) -> AsyncIterator[Row]:
    if question == {"do": "fail"}:
        raise UsageError("no way", hint="another one")
    if question == {"do": "crash"}:
        raise ZeroDivisionError
    for number in range(question["count"]):
        yield {"number": number}


@asynccontextmanager
async def served(path: Path, answer: control.Answer = answer) -> AsyncIterator[None]:
    listener = control.listen(path)
    serving = asyncio.create_task(control.serve(listener, answer))
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        listener.close()


async def test_answers_come_in_order_and_errors_as_errors(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with served(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await control.ask(path, {"count": 10_000}) == [{"number": n} for n in range(10_000)]
        assert await control.ask(path, {"count": 0}) == []
        with pytest.raises(UsageError, match="no way") as raised:
            await control.ask(path, {"do": "fail"})
        assert raised.value.hint == "another one"


async def test_another_users_server_is_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(asyncio, "open_unix_connection", refused)
    with pytest.raises(UsageError, match="another user's") as raised:
        await control.ask(tmp_path / "s", {})
    assert not isinstance(raised.value, NobodyListens)


async def test_a_long_answer_leaves_others_their_turn(tmp_path: Path) -> None:
    rows_of_turns = [0]

    async def long(question: Row) -> AsyncIterator[Row]:
        for _ in range(1000):
            rows_of_turns[-1] += 1
            yield {}  # so short that the system takes many at once, and nothing waits for the reader

    async def others() -> None:
        while True:
            await asyncio.sleep(0)
            rows_of_turns.append(0)

    async with served(tmp_path / "s", long):
        turning = asyncio.create_task(others())
        assert len(await control.ask(tmp_path / "s", {})) == 1000
        turning.cancel()
        await asyncio.wait([turning])
    assert max(rows_of_turns) <= 100


async def test_a_bug_in_one_answer_ends_that_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with served(tmp_path / "s"):
        with pytest.raises(UsageError, match="internal error: ZeroDivisionError"):
            await control.ask(tmp_path / "s", {"do": "crash"})
        assert await control.ask(tmp_path / "s", {"count": 1}) == [{"number": 0}]
    assert "ZeroDivisionError" in caplog.text


async def test_it_answers_again_when_there_are_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out_of_descriptors(monkeypatch)
    async with served(tmp_path / "s"):
        assert await control.ask(tmp_path / "s", {"count": 1}) == [{"number": 0}]


async def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(NobodyListens):
        await control.ask(tmp_path / "s", {})
    control.listen(tmp_path / "s").close()  # as a server leaves it that was killed
    with pytest.raises(NobodyListens):
        await control.ask(tmp_path / "s", {})
    async with served(tmp_path / "s"):
        assert await control.ask(tmp_path / "s", {"count": 1}) == [{"number": 0}]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no other way to a long path")
async def test_a_long_path_will_do(tmp_path: Path) -> None:
    folder = tmp_path / ("f" * 120)
    folder.mkdir()
    async with served(folder / "s"):
        assert await control.ask(folder / "s", {"count": 1}) == [{"number": 0}]


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot make"):
        control.listen(tmp_path / "none" / "s")


@pytest.mark.parametrize(
    "said", [b"", b"\n", b"{", b"\xff\n", b"x" * 100_000, b'{"do":', b"[" * 60_000 + b"\n"]
)
async def test_what_is_no_question_ends_the_connection(tmp_path: Path, said: bytes) -> None:
    async with served(tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(said)
        writer.write_eof()
        assert not await _rest(reader)
        writer.close()
        assert await control.ask(tmp_path / "s", {"count": 1}) == [{"number": 0}]


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def test_an_answer_that_breaks_off_is_none(tmp_path: Path) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(json.dumps({"number": 0}).encode() + b"\n")
        writer.close()

    async with await asyncio.start_unix_server(half, str(tmp_path / "s")):
        with pytest.raises(RdpeerError, match="ended before it had answered"):
            await control.ask(tmp_path / "s", {})
