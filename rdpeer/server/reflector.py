"""Where does my datagram come from? STUN's question, and RustDesk's: answered to whoever asks.

A datagram's source can be forged. So an answer to STUN is never longer than the question: a request
without padding stays unanswered, and an rdpeer pads its own. Stock's question has three bytes and cannot
be padded; its answer has eight at most.
"""

from __future__ import annotations

from rdpeer.server.registry import Sender
from rdpeer.values import Endpoint
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire import stun


def reflect(datagram: bytes, source: Sender) -> bytes | None:
    """The answer to a STUN binding request; None where there is none."""
    transaction = stun.parse_request(datagram)
    if transaction is None:
        return None
    answer = stun.encode_answer(transaction, Endpoint.of(source))
    return answer if len(answer) <= len(datagram) else None


def reflect_port(source: Sender) -> bytes:
    """The answer to a TestNatRequest (docs/PROTOCOL.md 2.4)."""
    answer = wire.TestNatResponse(port=source[1])
    return wire.RendezvousMessage(test_nat_response=answer).SerializeToString()
