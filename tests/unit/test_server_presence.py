"""Two nodes over one store: nothing of the rules reaches beside Presence and Pending."""

from __future__ import annotations

from collections.abc import Callable

from rdpeer.crypto.keys import IdentityKey
from rdpeer.server.broker import Broker
from rdpeer.server.commands import Caller, Close, Notify, Send
from rdpeer.server.keys import Keys
from rdpeer.server.limits import OFFLINE_AFTER, Limits
from rdpeer.server.lines import Lines
from rdpeer.server.presence import Known, Presence
from rdpeer.server.questions import Pending, Question
from rdpeer.server.registration import KEEP_ALIVE, Registrations, Save
from rdpeer.server.registry import Line, Registration, Source, neighbourhood
from rdpeer.server.relays import Relays
from rdpeer.values import Endpoint
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.endpoints import mangle

KEY = IdentityKey.from_seed(bytes(32))
PEER = "612345678"
HOME = ("10.77.0.9", 40000)
ASKER = Caller(1, Endpoint("10.99.0.8", 50000))
ANSWERING = Caller(2, Endpoint(HOME[0], 41000))


class Store:
    """What the nodes share: rows, no objects."""

    def __init__(self) -> None:
        self.registrations: dict[str, Registration] = {}
        self.places: dict[str, tuple[Source, int, float]] = {}
        self.questions: dict[bytes, Question] = {}


class StoredPeer:
    """One row, read each time."""

    def __init__(self, store: Store, peer_id: str) -> None:
        self._store = store
        self._id = peer_id

    @property
    def registration(self) -> Registration:
        return self._store.registrations[self._id]

    @property
    def source(self) -> Source | None:
        return self._store.places[self._id][0] if self._id in self._store.places else None

    @property
    def via(self) -> int:
        return self._store.places[self._id][1]

    @property
    def seen(self) -> float:
        return self._store.places[self._id][2]

    def is_online(self, now: float) -> bool:
        return self.source is not None and now - self.seen < OFFLINE_AFTER

    def heard(self, source: Source, via: int, now: float) -> None:
        self._store.places[self._id] = source, via, now

    def forget(self) -> None:
        self._store.places.pop(self._id, None)


class StoredPresence:
    def __init__(self, store: Store) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self._store.registrations)

    def get(self, peer_id: str) -> Known | None:
        return StoredPeer(self._store, peer_id) if peer_id in self._store.registrations else None

    def online(self, peer_id: str, now: float) -> Known | None:
        peer = self.get(peer_id)
        return peer if peer is not None and peer.is_online(now) else None

    def all(self) -> list[Known]:
        return [StoredPeer(self._store, peer_id) for peer_id in self._store.registrations]

    def is_inhabited(self, place: str) -> bool:
        return any(neighbourhood(known.ip) == place for known in self._store.registrations.values())

    def save(self, registration: Registration) -> Known:
        self._store.registrations[registration.id] = registration
        return StoredPeer(self._store, registration.id)

    def remove(self, peer_id: str) -> bool:
        self._store.places.pop(peer_id, None)
        return self._store.registrations.pop(peer_id, None) is not None


class StoredQuestions:
    def __init__(self, store: Store) -> None:
        self._store = store

    def ask(
        self,
        connection: int,
        initiator: Endpoint,
        peer_id: str,
        key: IdentityKey,
        choose_relay: Callable[[], str],
        now: float,
    ) -> Question:
        mark = mangle(initiator, len(self._store.questions))
        question = Question(connection, initiator, peer_id, mark, now, key, choose_relay())
        self._store.questions[mark] = question
        return question

    def find(self, mark: bytes, now: float) -> Question | None:
        return self._store.questions.get(mark)

    def close(self, question: Question) -> None:
        del self._store.questions[question.mark]

    def forget(self, connection: int) -> None:
        for question in [one for one in self._store.questions.values() if one.connection == connection]:
            self.close(question)


class Node:
    """The rules of one server."""

    def __init__(self, store: Store) -> None:
        limits = Limits()
        presence: Presence = StoredPresence(store)
        pending: Pending = StoredQuestions(store)
        self.registrations = Registrations(presence, limits)
        self.lines = Lines(presence, limits.keep_alive)
        self.broker = Broker(presence, pending, Keys(KEY), Relays(()), limits, lambda: 0)

    def datagram(self, **member: object) -> bytes | None:
        message = wire.RendezvousMessage(**member)  # type: ignore[arg-type]
        answer = self.registrations.receive(message.SerializeToString(), HOME, 0, 1.0)
        if isinstance(answer, Save):
            return self.registrations.saved(answer, 1.0)
        assert not isinstance(answer, wire.PunchHoleSent)
        return answer

    def say(self, caller: Caller, **member: object) -> list[object]:
        message = wire.RendezvousMessage(**member)  # type: ignore[arg-type]
        return list(self.broker.receive(caller, message.SerializeToString(), 1.0))


def test_a_peer_of_one_node_is_found_and_answers_at_another() -> None:
    store = Store()
    here, there = Node(store), Node(store)
    here.datagram(register_pk=wire.RegisterPk(id=PEER, uuid=b"uuid", pk=bytes(32)))
    assert there.datagram(register_peer=wire.RegisterPeer(id=PEER)) == KEEP_ALIVE
    request = wire.PunchHoleRequest(id=PEER, licence_key=KEY.public.text)
    (notify,) = here.say(ASKER, punch_hole_request=request)
    assert isinstance(notify, Notify)
    assert notify.source == HOME
    mark = wire.RendezvousMessage.FromString(notify.payload).punch_hole.socket_addr
    sent = wire.PunchHoleSent(id=PEER, socket_addr=mark, version="1.4")
    passed_on, close = there.say(ANSWERING, punch_hole_sent=sent)
    assert isinstance(passed_on, Send)
    assert passed_on.connection == ASKER.connection
    assert close == Close()
    assert here.say(ANSWERING, punch_hole_sent=sent) == [Close()]  # it is answered


def test_a_peer_on_a_line_of_one_node_leaves_all_of_them() -> None:
    store = Store()
    here, there = Node(store), Node(store)
    line = Line(*HOME, 7)
    message = wire.RendezvousMessage(register_pk=wire.RegisterPk(id=PEER, uuid=b"uuid", pk=bytes(32)))
    save = here.registrations.receive_over(line, message, 1.0)
    assert isinstance(save, Save)
    here.registrations.saved(save, 1.0)
    here.lines.registered(line, PEER, 1.0)
    request = wire.PunchHoleRequest(id=PEER, licence_key=KEY.public.text)
    (notify,) = there.say(ASKER, punch_hole_request=request)
    assert isinstance(notify, Notify)
    here.lines.closed(line)
    (answer,) = there.say(ASKER, punch_hole_request=request)
    assert isinstance(answer, Send)
    failure = wire.RendezvousMessage.FromString(answer.payload).punch_hole_response.failure
    assert failure == wire.PunchHoleResponse.OFFLINE
