"""How connections leave this machine: over which family of addresses, through which proxy, trusting whom.

It is the same for everything that one command does towards its servers, and
whatever does not ask would leak past a proxy. So it is not handed from call to
call: the command line says it once (:func:`use`), and all that dial a server
obey. Targets of ``listen --to`` are not reached through here.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from dataclasses import dataclass

from rdpeer.values import Family, ProxyAddress


@dataclass(frozen=True, slots=True)
class Outbound:
    """``proxy`` carries every connection; no datagram leaves beside it. ``ca_file``: certificates to trust
    in place of the system's."""

    family: Family = Family.ANY
    proxy: ProxyAddress | None = None
    ca_file: str | None = None


_DIRECT = Outbound()
_CURRENT = ContextVar("outbound", default=_DIRECT)


def use(outbound: Outbound) -> Token[Outbound]:
    """From here on, in this context and the tasks that it starts."""
    return _CURRENT.set(outbound)


def restore(token: Token[Outbound]) -> None:
    """Takes a :func:`use` back."""
    _CURRENT.reset(token)


def outbound() -> Outbound:
    """What is in force."""
    return _CURRENT.get()
