"""The server's state as Prometheus reads it: the text exposition format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterator

from rdpeer.server.operator import Row

PATH = "/metrics"

_PLAIN = (
    ("peers", "gauge", "peers", "Registered peers."),
    ("online", "gauge", "peers_online", "Peers heard of in the last 30 seconds."),
    ("waiting", "gauge", "peers_waiting", "Newcomers that wait for approval."),
    ("connections", "gauge", "connections", "Open TCP connections."),
    ("pairs", "gauge", "relay_pairs", "Pairs that are relayed."),
    ("parked", "gauge", "relay_parked_legs", "Legs that wait for their other one."),
    ("relayed_bytes", "counter", "relay_bytes_total", "Bytes relayed."),
    ("keep_alives", "counter", "keep_alives_total", "Keep-alives of registered peers that were answered."),
    ("started", "gauge", "start_time_seconds", "When the server started, in seconds since 1970."),
)


def render(status: Row) -> str:
    """``status`` is the operator's."""
    return "".join(_lines(status))


def _lines(status: Row) -> Iterator[str]:
    for field, kind, name, text in _PLAIN:
        yield _head(name, kind, text)
        yield f"rdpeer_{name} {status[field]}\n"
    yield _head("requests_total", "counter", "Requests, by what was asked and decided.")
    for decision, count in sorted(status["requests"].items()):
        what, _, decided = decision.partition(" ")
        yield f'rdpeer_requests_total{{what="{what}",decision="{decided}"}} {count}\n'
    yield _head("limit", "gauge", "Bounds in force, entries of tables or seconds.")
    for name, value in status["limits"].items():
        yield f'rdpeer_limit{{name="{name}"}} {value}\n'
    yield _head("relay_server_up", "gauge", "Whether a relay that is handed out answers.")
    for relay, up in status["relay_servers"].items():
        yield f'rdpeer_relay_server_up{{relay="{relay}"}} {int(up)}\n'


def _head(name: str, kind: str, text: str) -> str:
    return f"# HELP rdpeer_{name} {text}\n# TYPE rdpeer_{name} {kind}\n"
