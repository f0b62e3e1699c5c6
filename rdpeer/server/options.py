"""What an operator decides."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from rdpeer.errors import UsageError
from rdpeer.net.pump import PumpName
from rdpeer.server.limits import Limits
from rdpeer.values import BASE_PORT, ServerAddress

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - a server is there to be reached


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """``port`` is the base of the port set, 0 for a free one; ``bind`` are IP literals; ``relay_address``
    (``HOST[:PORT]``) is what peers are told, None for this host. UsageError for what cannot be meant."""

    data_dir: Path
    port: int = BASE_PORT
    bind: tuple[str, ...] = EVERYWHERE
    relay_address: str | None = None
    limits: Limits = field(default_factory=Limits)
    pump: PumpName = "auto"

    def __post_init__(self) -> None:
        if self.port != 0 and not 1 < self.port < 65535:
            raise UsageError(f"not a base port: {self.port}", hint="the ports beside it are needed too")
        try:
            for address in self.bind:
                ipaddress.ip_address(address)
            self.relay(BASE_PORT)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def relay(self, base: int) -> ServerAddress | None:
        """Where the relay is, for a server whose base port is ``base``."""
        return ServerAddress.parse(self.relay_address, base + 1) if self.relay_address else None
