"""The journal: an entry for each request, and a flood of them does not fill the disk."""

from __future__ import annotations

import logging

import pytest

from rdpeer.server.journal import Entry, Journal
from rdpeer.values import Endpoint


def test_an_entry_says_what_is_known_and_no_more() -> None:
    entry = Entry("pair", "carried", "192.0.2.1:5", bytes=7, seconds=0.5)
    assert str(entry) == "192.0.2.1:5 pair carried bytes=7 seconds=0.5"
    assert entry.as_dict() == {
        "what": "pair",
        "decision": "carried",
        "source": "192.0.2.1:5",
        "bytes": 7,
        "seconds": 0.5,
    }


def test_a_pair_that_ended_at_once_has_all_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rdpeer.server")
    Journal().note("pair", "carried", "192.0.2.1:5", path="tcp+tcp", carried=0, seconds=0.0004)
    assert caplog.messages == ["192.0.2.1:5 pair carried path=tcp+tcp bytes=0 seconds=0.0"]


def test_what_came_from_the_network_is_one_line_of_printable_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rdpeer.server")
    Journal().note("connect", "refused", Endpoint("192.0.2.1", 5), "id\nfake entry", "be\x1bcause of it")
    assert caplog.messages == ['192.0.2.1:5 connect refused id="id?fake entry" why="be?cause of it"']


def test_a_flood_is_counted_and_not_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rdpeer.server")
    now = 7.0
    journal = Journal(lambda: now)
    for _ in range(1500):
        journal.note("register", "refused", "192.0.2.1")
    assert len(caplog.records) == 1000
    now = 8.0
    journal.note("register", "accepted", "192.0.2.1")
    assert caplog.messages[1000:] == [
        "500 entries of one second were left out of the log",
        "192.0.2.1 register accepted",
    ]
    assert journal.counts["register", "refused"] == 1500


def test_a_rate_is_what_came_since_the_last_sweep() -> None:
    journal = Journal()
    for rates in ((3, 2), (0, 0), (3, 2)):
        for _ in range(rates[0]):
            journal.count("datagram", "dropped")
        journal.keep_alives += rates[1]
        journal.sweep()
        assert (journal.rate, journal.keep_alive_rate) == rates


def test_without_a_log_everything_is_counted() -> None:
    journal = Journal()
    journal.note("register", "accepted", "192.0.2.1")
    journal.count("register", "accepted")
    assert journal.counts == {("register", "accepted"): 2}
