"""Asking STUN servers: who answers, who lies, and who is not there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rdpeer.net.stun import reflexive
from rdpeer.server.reflector import reflect
from rdpeer.values import Endpoint, ServerAddress
from rdpeer.wire import stun

SEEN = Endpoint("203.0.113.7", 40404)


class StunServer(asyncio.DatagramProtocol):
    """Answers each request with what ``answers`` makes of it."""

    def __init__(self, answers: Callable[[bytes, tuple[str, int]], list[bytes]]) -> None:
        self.answers = answers
        self.requests = 0

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.address = ServerAddress("127.0.0.1", transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, addr) -> None:
        self.requests += 1
        for answer in self.answers(data, addr):
            self.transport.sendto(answer, addr)


async def serve(answers) -> StunServer:
    loop = asyncio.get_running_loop()
    _, server = await loop.create_datagram_endpoint(lambda: StunServer(answers), local_addr=("127.0.0.1", 0))
    return server


@contextmanager
def bound() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        yield sock


def transaction_of(request: bytes) -> bytes:
    transaction = stun.parse_request(request)
    assert transaction is not None
    return transaction


async def test_the_server_of_rdpeer_says_where_we_are():
    server = await serve(lambda request, source: [reflect(request, source) or b""])
    with bound() as sock:
        assert await reflexive(sock, [server.address]) == Endpoint.of(sock.getsockname())
        assert sock.fileno() >= 0
    server.transport.close()


async def test_the_first_to_answer_counts_and_a_lost_request_is_sent_again():
    silent = await serve(lambda request, source: [])

    def second_time(request, source):
        return [stun.encode_answer(transaction_of(request), SEEN)] if late.requests > 1 else []

    late = await serve(second_time)
    with bound() as sock:
        assert await reflexive(sock, [silent.address, late.address]) == SEEN
    assert silent.requests == late.requests == 2
    silent.transport.close()
    late.transport.close()


@pytest.mark.parametrize("servers", [[], [ServerAddress("no..name", 3478)], [ServerAddress("::1", 3478)]])
async def test_nobody_can_be_asked(servers):
    with bound() as sock:
        assert await reflexive(sock, servers) is None


async def test_nobody_answers():
    with bound() as closed:
        port = closed.getsockname()[1]
    with bound() as sock:
        assert await reflexive(sock, [ServerAddress("127.0.0.1", port)]) is None


async def test_spoofed_answers_are_dropped():
    lie = Endpoint("198.51.100.66", 6666)

    def lies_first(request, source):
        stranger.transport.sendto(stun.encode_answer(transaction_of(request), lie), source)
        wrong = stun.encode_answer(bytes(12), lie)
        answer = stun.encode_answer(transaction_of(request), SEEN)
        return [*[wrong] * 100, b"", answer[:-1], wrong[:20], answer]

    stranger = await serve(lambda request, source: [])
    server = await serve(lies_first)
    with bound() as sock:
        assert await reflexive(sock, [server.address]) == SEEN
    server.transport.close()
    stranger.transport.close()
