"""All that takes bytes from others, by name: how it is tried, and with what to begin."""

from __future__ import annotations

from . import conversations, decoders, machines, server, streams, texts
from .script import Target

TARGETS: dict[str, Target] = {
    name: target
    for module in (decoders, streams, texts, machines, conversations, server)
    for name, target in module.TARGETS.items()
}
