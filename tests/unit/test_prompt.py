"""The event loop that serves some descriptors between its turns, and asyncio's own in its place."""

from __future__ import annotations

import asyncio
import functools
import itertools
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from rdpeer.net.prompt import PromptLoop, loop_factory, watch

Main = Callable[[], Coroutine[Any, Any, None]]
Run = Callable[[Main], None]

needs_epoll = pytest.mark.skipif(loop_factory() is None, reason="no epoll here")


def in_prompt_loop(main: Main) -> None:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        assert isinstance(runner.get_loop(), PromptLoop)
        runner.run(main())


def in_usual_loop(main: Main) -> None:
    asyncio.run(main())


both_loops = pytest.mark.parametrize(
    "run", [pytest.param(in_prompt_loop, marks=needs_epoll), in_usual_loop], ids=["prompt", "usual"]
)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    left.setblocking(False)
    with left, right:
        yield left, right


@both_loops
def test_who_watches_is_called_until_he_unwatches(
    run: Run, ends: tuple[socket.socket, socket.socket]
) -> None:
    left, right = ends

    async def main() -> None:
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        def serve() -> bool:
            heard.put_nowait(left.recv(10))
            return False

        unwatch = watch(left.fileno(), serve)
        for text in (b"one", b"two"):
            right.send(text)
            assert await heard.get() == text
        unwatch()
        unwatch()
        right.send(b"three")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert heard.empty()

    run(main)


@both_loops
def test_who_always_has_work_leaves_all_others_their_turn(
    run: Run, ends: tuple[socket.socket, socket.socket]
) -> None:
    left, right = ends
    right.send(b"never read, so always readable")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        served = 0

        def serve() -> bool:
            nonlocal served
            served += 1
            return True

        unwatch = watch(left.fileno(), serve)
        await asyncio.sleep(0.01)  # a timer
        timer = loop.create_future()
        loop.call_soon(timer.set_result, None)
        await timer
        other = loop.create_future()  # another thread
        threading.Thread(target=lambda: loop.call_soon_threadsafe(other.set_result, None)).start()
        await other
        near, far = socket.socketpair()  # another descriptor
        near.setblocking(False)
        with near, far:
            far.send(b"x")
            assert await loop.sock_recv(near, 1) == b"x"
        unwatch()
        assert served

    run(main)


@needs_epoll
def test_who_leaves_nothing_for_the_loop_costs_no_turn(ends: tuple[socket.socket, socket.socket]) -> None:
    left, right = ends

    async def main() -> None:
        loop = asyncio.get_running_loop()
        turns, over = [0], loop.create_future()
        count = 0

        def serve() -> bool:
            nonlocal count
            left.recv(1)
            count += 1
            if count == 100:
                over.set_result(None)
                return False
            right.send(b"x")  # the next one is there before the selector looks again
            return True

        select = loop._selector.select  # type: ignore[attr-defined]

        def counted(timeout: float | None) -> Any:
            turns[0] += 1
            return select(timeout)

        loop._selector.select = counted  # type: ignore[attr-defined]
        unwatch = watch(left.fileno(), serve)
        right.send(b"x")
        await over
        unwatch()
        assert count == 100
        assert turns[0] < 10

    in_prompt_loop(main)


@both_loops
def test_an_error_of_who_is_called_is_told_and_ends_nothing(
    run: Run, ends: tuple[socket.socket, socket.socket]
) -> None:
    left, right = ends

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[BaseException] = asyncio.Queue()
        loop.set_exception_handler(lambda _, context: told.put_nowait(context["exception"]))

        def serve() -> bool:
            raise ValueError(left.recv(10))

        unwatch = watch(left.fileno(), serve)
        for text in (b"one", b"two"):
            right.send(text)
            assert (await told.get()).args == (text,)
        unwatch()

    run(main)


@both_loops
def test_who_is_ready_beside_one_that_fails_is_called_all_the_same(run: Run) -> None:
    pairs = [socket.socketpair() for _ in range(5)]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: None)
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        def serve(near: socket.socket) -> bool:
            text = near.recv(10)
            if text == b"fail":
                raise ValueError
            heard.put_nowait(text)
            return False

        for near, far in pairs:
            near.setblocking(False)
            far.send(b"fail" if near is pairs[2][0] else b"heard")
        unwatches = [watch(near.fileno(), functools.partial(serve, near)) for near, _ in pairs]
        assert [await heard.get() for _ in range(4)] == [b"heard"] * 4
        for unwatch in unwatches:
            unwatch()

    run(main)
    for end in itertools.chain(*pairs):
        end.close()


@needs_epoll
def test_a_descriptor_is_watched_for_reading_by_one_and_for_writing_by_another(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    left, right = ends

    async def main() -> None:
        loop = asyncio.get_running_loop()
        heard, writable = loop.create_future(), loop.create_future()

        def serve() -> bool:
            heard.set_result(left.recv(10))
            return False

        unwatch = watch(left.fileno(), serve)
        loop.add_writer(left, lambda: writable.done() or writable.set_result(None))
        await writable
        loop.remove_writer(left)
        right.send(b"heard")
        assert await heard == b"heard"
        unwatch()

    in_prompt_loop(main)
