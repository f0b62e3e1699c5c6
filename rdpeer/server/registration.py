"""What comes by UDP, above all registration, without I/O (docs/PROTOCOL.md 9.1, 9.2).

RegisterPeer is the keep-alive that every peer sends every 15 s: it is all that
a busy server does, so the usual one is read by hand, and its answer is one of
two constants. Everything else goes through the schema.

A RegisterPk that changes something is answered only when it is on the disk:
``receive`` returns a Save, and the driver says ``saved`` or ``save_failed``
when it knows. Meanwhile the ID takes no other RegisterPk, so two of them can
never both get their OK.

A datagram's source may be forged. An answer is therefore at most as long as
the question, or 8 bytes, and a datagram that cannot be read is not answered.

Stock's peers prove nothing. Ours do, where they know our key (docs/CHANNEL.md
8): who asks by a padded RegisterPeer, or on a line, is given a cookie where a
proof is wanted. An ID that was proven once moves by a proof alone.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from rdpeer.crypto.keys import IdentityKey
from rdpeer.errors import RemoteProtocolError
from rdpeer.server.blocks import Blocks
from rdpeer.server.enrolment import Enrolment, Mode
from rdpeer.server.frequency import Frequency
from rdpeer.server.journal import Journal
from rdpeer.server.keys import Keys
from rdpeer.server.limits import MAX_DATAGRAM, Limits
from rdpeer.server.presence import Presence
from rdpeer.server.proofs import Proof, Proofs
from rdpeer.server.reflector import reflect, reflect_port
from rdpeer.server.registry import MAX_UUID, PK_BYTES, Line, Registration, Sender, Source
from rdpeer.server.strangers import Strangers
from rdpeer.values import PeerId
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.messages import parse

KEEP_ALIVE = b"\x3a\x00"
REQUEST_PK = b"\x3a\x02\x10\x01"
"""RegisterPeerResponse, without and with request_pk."""

Result = wire.RegisterPkResponse

_SHORTEST_ID = 6

_REGISTER_PEER = 6 << 3 | 2
_ID = 1 << 3 | 2
_SERIAL = 2 << 3


@dataclass(frozen=True, slots=True)
class Save:
    """To be written; the answer goes to ``source`` through ``via`` when that is done."""

    registration: Registration
    source: Source
    via: int


Reply = bytes | Save | wire.PunchHoleSent | None


class Registrations:
    """The rules of registration over one registry. Who is blocked is not answered."""

    def __init__(
        self,
        registry: Presence,
        limits: Limits,
        blocks: Blocks | None = None,
        enrolment: Enrolment | None = None,
        journal: Journal | None = None,
        proofs: Proofs | None = None,
    ) -> None:
        self._registry = registry
        self._limits = limits
        self._blocks = blocks or Blocks()
        self._enrolment = enrolment or Enrolment(Mode.OPEN, (), limits.waiting)
        self._journal = journal or Journal()
        self._proofs = proofs or Proofs(Keys(IdentityKey.generate()), limits.sources)
        self._strangers = Strangers(registry, limits.sources)
        self._unsaved: set[str] = set()
        self._frequency = Frequency(limits.sources)

    def receive(self, datagram: bytes, source: Sender, via: int, now: float) -> Reply:
        """The answer to one datagram; a Save to be done before its answer; what the broker must decide on;
        None where there is no answer."""
        if self._blocks.any and self._blocks.has_ip(source[0]):
            self._journal.count("datagram", "dropped")
            return None
        peer_id = _usual_register_peer(datagram)
        if peer_id is not None:
            answer: Reply = self._register_peer(peer_id, source, via, now)
        else:
            answer = self._unusual(datagram, source, via, now)
        if answer is KEEP_ALIVE:
            self._journal.keep_alives += 1
            return answer
        if answer is None or (isinstance(answer, bytes) and not self._strangers.may_hear(source[0], now)):
            self._journal.count("datagram", "dropped")  # not logged: anybody can send any number of them
            return None
        if isinstance(answer, bytes):
            self._journal.count("datagram", "answered")
        return answer

    def receive_over(self, line: Line, message: wire.RendezvousMessage, now: float) -> bytes | Save | None:
        """The same for RegisterPeer or RegisterPk on a connection, whose source cannot be forged."""
        if self._blocks.any and self._blocks.has_ip(line.ip):
            return None
        if message.HasField("register_pk"):
            return self._register_pk(message.register_pk, line, 0, now)
        return self._register_peer(message.register_peer.id, line, 0, now)

    def _unusual(self, datagram: bytes, source: Sender, via: int, now: float) -> Reply:
        if len(datagram) > MAX_DATAGRAM:
            return None
        reflected = reflect(datagram, source)
        if reflected is not None:
            return reflected
        try:
            message = parse(wire.RendezvousMessage, datagram)
        except RemoteProtocolError:
            return None
        match message.WhichOneof("union"):
            case "register_peer":
                answer = self._register_peer(message.register_peer.id, source, via, now)
                return self._with_cookie(answer, message.register_peer, len(datagram), source, now)
            case "register_pk":
                return self._register_pk(message.register_pk, source, via, now)
            case "test_nat_request":
                return reflect_port(source)
            case "punch_hole_sent":
                return message.punch_hole_sent
            case _:
                return None

    def saved(self, save: Save, now: float) -> bytes:
        """The registration is on the disk: the peer is online from now, and this is its answer."""
        self._unsaved.discard(save.registration.id)
        self._registry.save(save.registration).heard(save.source, save.via, now)
        return self._accepted(save.registration, save.source, now)

    def save_failed(self, save: Save) -> bytes:
        """It could not be written: nothing has changed, and this is the answer."""
        self._unsaved.discard(save.registration.id)
        return self._decided(save.registration.id, save.source, Result.SERVER_ERROR)

    def _register_peer(self, peer_id: str, source: Source, via: int, now: float) -> bytes | None:
        if self._blocks.any and self._blocks.has_id(peer_id):
            return None
        peer = self._registry.get(peer_id)
        if peer is None or peer.registration.ip != source[0]:
            return REQUEST_PK
        if peer.source != source and (peer.registration.proven or isinstance(peer.source, Line)):
            return REQUEST_PK  # a line that is up gives way only to one that knows the uuid
        peer.heard(source, via, now)
        return KEEP_ALIVE

    def _with_cookie(
        self, answer: bytes | None, request: wire.RegisterPeer, size: int, source: Source, now: float
    ) -> bytes | None:
        """The answer to a question of ``size`` bytes that has room for a cookie, where a proof is wanted."""
        if answer is None or not request.padding:
            return answer
        peer = self._registry.get(request.id)
        if answer is KEEP_ALIVE and peer is not None and peer.registration.proven:
            return answer
        cookie = self._proofs.cookie(source, now)
        response = wire.RegisterPeerResponse(request_pk=answer is REQUEST_PK, cookie=cookie)
        longer = wire.RendezvousMessage(register_peer_response=response).SerializeToString()
        return longer if len(longer) <= size else answer

    def _register_pk(
        self, request: wire.RegisterPk, source: Source, via: int, now: float
    ) -> bytes | Save | None:
        if not request.uuid or not request.pk or self._blocks.has_id(request.id):
            return None
        refused = self._malformed(request)
        if refused:
            return self._decided(request.id, source, refused)
        proof = self._proofs.judge(request, source, now)
        if proof is Proof.UNHEARD:
            return None  # who hears us asks again, for a new cookie
        new = Registration(request.id, request.uuid, request.pk, source[0], proof is Proof.GOOD)
        peer = self._registry.get(new.id)
        known = peer.registration if peer is not None else None
        if not self._frequency.allows(known, new, proof, now):
            return self._decided(new.id, source, Result.TOO_FREQUENT)
        if proof is Proof.WRONG or (known is not None and known.proven and not new.proven):
            return self._unproven(new.id, source, proof, now)
        if new.id in self._unsaved or len(self._unsaved) >= self._limits.unsaved:
            return None
        refused = self._newcomer(new, now) if known is None else self._changed(known, new, request)
        if refused:
            return self._decided(new.id, source, refused)
        if peer is not None and known == new:
            peer.heard(source, via, now)
            return self._accepted(new, source, now)
        self._unsaved.add(new.id)
        return Save(new, source, via)

    def _accepted(self, registration: Registration, source: Source, now: float) -> bytes:
        response = wire.RegisterPkResponse()
        if isinstance(source, Line):
            response.keep_alive = self._limits.keep_alive
            if not registration.proven:
                response.cookie = self._proofs.cookie(source, now)
        return self._answered(registration.id, source, response)

    def _unproven(self, peer_id: str, source: Source, proof: Proof, now: float) -> bytes:
        """Refused for want of a proof that counts; on a line it may follow. Stock's peers read no more than
        that the ID is somebody else's."""
        response = wire.RegisterPkResponse(result=Result.UUID_MISMATCH, unproven=True)
        if isinstance(source, Line) and proof is Proof.NONE:
            response.cookie = self._proofs.cookie(source, now)
        return self._answered(peer_id, source, response)

    def _decided(self, peer_id: str, source: Source, result: Result.Result.ValueType) -> bytes:
        return self._answered(peer_id, source, wire.RegisterPkResponse(result=result))

    def _answered(self, peer_id: str, source: Source, response: wire.RegisterPkResponse) -> bytes:
        result = response.result
        decision = "accepted" if result == Result.OK else "refused"
        if result == Result.TOO_FREQUENT:
            self._journal.count("register", decision)
        else:
            path = source.path if isinstance(source, Line) else "udp"
            why = "UNPROVEN" if response.unproven else Result.Result.Name(result)
            self._journal.note("register", decision, source[0], peer_id, why, path=path)
        return wire.RendezvousMessage(register_pk_response=response).SerializeToString()

    def _malformed(self, request: wire.RegisterPk) -> Result.Result.ValueType | None:
        if len(request.id) < _SHORTEST_ID:
            return Result.UUID_MISMATCH  # what stock says to a short one
        try:
            PeerId(request.id)
        except ValueError:
            return Result.INVALID_ID_FORMAT
        if len(request.uuid) > MAX_UUID or len(request.pk) != PK_BYTES:
            return Result.NOT_SUPPORT
        return None

    def _newcomer(self, new: Registration, now: float) -> Result.Result.ValueType | None:
        """Why an ID that is not known is refused."""
        if not self._enrolment.admits(new):
            return Result.NOT_DEPLOYED
        if len(self._registry) + len(self._unsaved) >= self._limits.peers:
            return Result.SERVER_ERROR
        if not self._frequency.allows_new(new, now):
            return Result.TOO_FREQUENT
        return None

    def _changed(
        self, known: Registration, new: Registration, request: wire.RegisterPk
    ) -> Result.Result.ValueType | None:
        """Why what is new about a known ID is refused.

        It belongs to the uuid that registered it first. Its key or its IP may change, not both at once;
        where it is proven, its IP, and its key if the old one agrees.
        """
        if not hmac.compare_digest(known.uuid, new.uuid):
            return Result.UUID_MISMATCH
        is_free = self._proofs.passes_on(known.pk, request) if known.proven else known.ip == new.ip
        if known.pk != new.pk and not is_free:
            return Result.UUID_MISMATCH
        if known.pk != new.pk and not self._enrolment.admits(new):
            return Result.NOT_DEPLOYED
        return None


def _usual_register_peer(datagram: bytes) -> str | None:
    """The ID, where ``datagram`` is RegisterPeer{id, serial below 128} and nothing else; else None.

    A tag and a length for the message, a tag and a length for the ID, then
    nothing or two bytes of serial; below 130 bytes every length is one byte.
    """
    size = len(datagram)
    if not 5 <= size < 130 or datagram[0] != _REGISTER_PEER or datagram[1] != size - 2 or datagram[2] != _ID:
        return None
    end = 4 + datagram[3]
    if end != size and not (end == size - 2 and datagram[end] == _SERIAL and datagram[end + 1] < 128):
        return None
    try:
        return datagram[4:end].decode()
    except UnicodeDecodeError:
        return None
