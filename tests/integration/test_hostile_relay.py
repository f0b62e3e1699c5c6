"""A relay that flips, repeats, skips, cuts, swaps, replays: told in one line, and no wrong byte delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from bare_clients import until
from meddling_relay import (
    I2R,
    R2I,
    Frame,
    MeddlingRelay,
    Pair,
    close,
    flip,
    insert,
    meddler,
    repeat,
    shorten,
    skip,
    stall,
)
from parties import Collector, Echo, Peer, Peers, fails

from rdpeer.cli.exits import exit_code
from rdpeer.errors import (
    ConnectionLost,
    DeadlineExceeded,
    IdentityMismatch,
    NoPath,
    RdpeerError,
    RemoteProtocolError,
)
from rdpeer.peer import handshaking
from rdpeer.peer.connect import Way
from rdpeer.protocol import session
from rdpeer.server import Server

Servers = Callable[..., Server]

DATA = bytes(range(256)) * 300

HANDSHAKE = 3
"""Frames of the responder before the session: SignedId, its proof, ACCEPTED. The initiator has one less."""


class Party:
    """Alice connects to Bob over ``relay``, and to nothing but it."""

    def __init__(self, running: Server, peers: Peers, relay: MeddlingRelay) -> None:
        self.alice: Peer = peers("alice", running, relay_servers=(relay.address,))
        self.bob: Peer = peers("bob", running, relay_servers=(relay.address,))
        self.echo = Echo()
        self.sink = Collector()

    async def send(self) -> None:
        self.echo.received.clear()
        self.sink = Collector()
        await self.alice.send(DATA, self.bob.id, self.sink, way=Way.RELAY)

    async def end(self) -> RdpeerError | None:
        """How sending ended."""
        try:
            await self.send()
        except RdpeerError as error:
            return error
        return None

    def check_delivered(self) -> None:
        """What arrived is a beginning of what was sent, and all of it where an end was told."""
        for sink in (self.sink, *self.echo.received):
            assert DATA.startswith(sink.data)
            assert sink.data == DATA or not sink.finished


async def lengths(party: Party, relay: MeddlingRelay) -> dict[str, int]:
    """How many frames each direction has in an honest session."""
    await party.send()
    return {direction: len(relay.frames(direction)) for direction in (I2R, R2I)}


def swapping(direction: str, number: int) -> Callable[[Frame], list[bytes]]:
    """The frame changes places with the one behind it."""
    held: list[bytes] = []

    def meddle(frame: Frame) -> list[bytes]:
        if (frame.pair, frame.direction, frame.number) == (0, direction, number):
            held.append(frame.payload)
            return []
        if frame.pair == 0 and frame.direction == direction and held:
            return [frame.payload, held.pop()]
        return [frame.payload]

    return meddle


ACTIONS = [flip, repeat, skip, shorten, insert, close, stall, swapping]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
async def test_whatever_it_does_to_whichever_frame(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch, action: Callable[..., list[bytes]]
) -> None:
    monkeypatch.setattr(handshaking, "SILENCE", 0.2)
    monkeypatch.setattr(handshaking, "TIMEOUT", 0.3)
    monkeypatch.setattr(session, "PING_INTERVAL", 0.05)
    monkeypatch.setattr(session, "SILENCE_LIMIT", 0.3)
    async with server() as running, MeddlingRelay() as relay:
        party = Party(running, peers, relay)
        async with party.bob.listening(party.echo):
            frames = await lengths(party, relay)
            places = [(direction, number) for direction in frames for number in range(frames[direction])]
            for direction, number in places:
                await until(lambda: not relay.legs_open)
                relay.forget()
                of = action if action is swapping else None
                relay.meddle = of(direction, number) if of else meddler(direction, number, action)
                error = await party.end()
                if error is None:
                    assert party.sink.data == party.echo.received[-1].data == DATA, (direction, number)
                else:
                    assert exit_code(error) in (7, 8, 9, 10), (direction, number)
                    assert str(error).isprintable()
                party.check_delivered()
            await until(lambda: not relay.legs_open)
            relay.forget()
            await party.send()
            await until(lambda: not relay.legs_open)


@pytest.mark.parametrize("number", range(8))
async def test_a_flipped_bit_of_the_responder_is_told_exactly(
    server: Servers, peers: Peers, number: int
) -> None:
    async with server() as running, MeddlingRelay(meddler(R2I, number, flip)) as relay:
        party = Party(running, peers, relay)
        async with party.bob.listening(party.echo):
            kind, code = (RemoteProtocolError, 10) if number else (IdentityMismatch, 7)
            with fails(kind, code):
                await party.send()
            party.check_delivered()
            assert len(relay.pairs) == 1  # never retried


@pytest.mark.parametrize("number", range(6))
async def test_a_flipped_bit_of_the_initiator_ends_the_connection_at_the_responder(
    server: Servers, peers: Peers, number: int
) -> None:
    async with server() as running, MeddlingRelay(meddler(I2R, number, flip)) as relay:
        party = Party(running, peers, relay)
        async with party.bob.listening(party.echo) as listening:
            with fails(ConnectionLost, 9):
                await party.send()
            party.check_delivered()
            told = listening.reports if number >= HANDSHAKE - 1 else listening.details
            await told.said("does not open|is not|cannot")


@pytest.mark.parametrize("end", [close, stall, skip], ids=["closed", "stalled", "swallowed"])
async def test_a_leg_without_a_word_is_tried_again_with_a_fresh_token(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch, end: Callable[[bytes], list[bytes]]
) -> None:
    monkeypatch.setattr(handshaking, "SILENCE", 0.1)
    async with server() as running, MeddlingRelay(meddler(R2I, 0, end)) as relay:
        party = Party(running, peers, relay)
        async with party.bob.listening(party.echo):
            await party.send()
        assert party.sink.data == DATA
        tokens = [request.uuid for request in relay.requests]
        assert len(tokens) == 4
        assert len(set(tokens)) == 2


@pytest.mark.parametrize("end", [close, skip], ids=["closed", "swallowed"])
async def test_a_relay_where_nobody_is_met(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch, end: Callable[[bytes], list[bytes]]
) -> None:
    monkeypatch.setattr(handshaking, "SILENCE", 0.05)
    async with server() as running, MeddlingRelay(lambda frame: end(frame.payload)) as relay:
        party = Party(running, peers, relay)
        async with party.bob.listening(party.echo):
            with fails(NoPath, 5, f"{party.bob.id} was not met at the relay {relay.address} in 3 tries"):
                await party.send()
        assert len({request.uuid for request in relay.requests}) == 3


async def test_a_leg_that_goes_silent_after_the_peer_has_opened_is_not_tried_again(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshaking, "TIMEOUT", 0.1)
    async with server() as running, MeddlingRelay(meddler(R2I, 1, stall)) as relay:
        party = Party(running, peers, relay)
        async with party.bob.listening(party.echo):
            with fails(DeadlineExceeded, 8):
                await party.send()
        assert len(relay.pairs) == 1


@pytest.mark.parametrize("number", range(2, 7))
async def test_an_old_session_replayed_to_the_initiator(server: Servers, peers: Peers, number: int) -> None:
    """From the frame ``number`` on; the frames before are fresh."""
    async with server() as running, MeddlingRelay() as relay:
        party = Party(running, peers, relay)
        async with party.bob.listening(party.echo):
            await party.send()
            old = relay.frames(R2I)

            def replay(frame: Frame) -> list[bytes]:
                fresh = frame.direction is I2R or frame.number < number or frame.number >= len(old)
                return [frame.payload if fresh else old[frame.number].payload]

            relay.meddle = replay
            with fails(RemoteProtocolError, 10):
                await party.send()
            party.check_delivered()


async def test_a_whole_old_session_replayed_to_the_initiator(server: Servers, peers: Peers) -> None:
    async with server() as running, MeddlingRelay() as relay:
        party = Party(running, peers, relay)
        async with party.bob.listening(party.echo):
            await party.send()
            old = [frame.payload for frame in relay.frames(R2I)]
            relay.meddle = lambda frame: old if (frame.direction, frame.number) == (R2I, 0) else []
            with fails(RemoteProtocolError, 10):
                await party.send()
            assert party.sink.data == b""


async def test_a_whole_old_session_replayed_to_the_responder(server: Servers, peers: Peers) -> None:
    async with server() as running, MeddlingRelay() as relay:
        party = Party(running, peers, relay)
        async with party.bob.listening(party.echo) as listening:
            await party.send()
            old = [frame.payload for frame in relay.frames(I2R)]
            relay.meddle = lambda frame: (
                old if (frame.direction, frame.number) == (I2R, 0) else [frame.payload]
            )
            with fails(ConnectionLost, 9):
                await party.send()
            await listening.details.said("somebody, relay")
            assert not party.echo.received
            assert len([line for line in listening.reports if "accepted" in line]) == 1


class CrossingRelay(MeddlingRelay):
    """Swaps the first two pairs, from the frame ``since`` of each direction on."""

    def __init__(self, since: int) -> None:
        super().__init__()
        self._since = since

    async def deliver(self, frame: Frame, pair: Pair) -> None:
        await until(lambda: len(self.pairs) > 1)
        crossed = frame.pair < 2 and frame.number >= self._since
        await super().deliver(frame, self.pairs[1 - frame.pair] if crossed else pair)


async def test_two_pairs_of_one_listener_that_are_swapped_from_the_start(
    server: Servers, peers: Peers
) -> None:
    """The same peer at both: nothing is wrong with it."""
    async with server() as running, CrossingRelay(0) as relay:
        party = Party(running, peers, relay)
        async with party.bob.listening(party.echo):
            back = await asyncio.gather(
                party.alice.send(b"one", party.bob.id, way=Way.RELAY),
                party.alice.send(b"two", party.bob.id, way=Way.RELAY),
            )
        assert back == [b"one", b"two"]


async def test_two_pairs_of_two_listeners_that_are_swapped_from_the_start(
    server: Servers, peers: Peers
) -> None:
    async with server() as running, CrossingRelay(0) as relay:
        party = Party(running, peers, relay)
        carol = peers("carol", running, relay_servers=(relay.address,))
        async with party.bob.listening(party.echo), carol.listening(party.echo):
            with fails(IdentityMismatch, 7):
                await one_of(
                    party.alice.send(b"one", party.bob.id, way=Way.RELAY),
                    party.alice.send(b"two", carol.id, way=Way.RELAY),
                )
        assert not party.echo.received


@pytest.mark.parametrize("since", range(1, 6))
async def test_two_pairs_that_are_swapped_later(server: Servers, peers: Peers, since: int) -> None:
    async with server() as running, CrossingRelay(since) as relay:
        party = Party(running, peers, relay)
        async with party.bob.listening(party.echo):
            sinks = Collector(), Collector()
            ends = await asyncio.gather(
                *(party.alice.send(DATA, party.bob.id, sink, way=Way.RELAY) for sink in sinks),
                return_exceptions=True,
            )
        assert {type(end) for end in ends} <= {RemoteProtocolError, ConnectionLost}
        for sink in (*sinks, *party.echo.received):
            assert DATA.startswith(sink.data)  # what came before the swap was good


async def one_of(*sending: object) -> None:
    """All of them end in the same way: raises the first one's error."""
    ends = await asyncio.gather(*sending, return_exceptions=True)  # type: ignore[call-overload]
    assert len({type(end) for end in ends}) == 1
    raise ends[0]
