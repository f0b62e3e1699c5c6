"""What an operator decides."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext

from rdpeer.errors import UsageError
from rdpeer.net.ports import Service
from rdpeer.net.pump import PumpName
from rdpeer.net.tls import server_tls
from rdpeer.server.bandwidth import Bandwidth
from rdpeer.server.blocks import Blocks, read_list
from rdpeer.server.enrolment import Mode
from rdpeer.server.forwarded import TrustedProxies
from rdpeer.server.limits import Limits
from rdpeer.store import authorized_peers
from rdpeer.values import BASE_PORT, Endpoint, PublicKey, ServerAddress, ServerKey, printable

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - a server is there to be reached
BLOCKLIST, BLACKLIST = "blocklist.txt", "blacklist.txt"
"""In the data folder, as hbbr has it."""

LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("error", "warning", "info", "debug")

OWN_KEY = ("-", "_")
"""How hbbs spells the key pair in the data folder."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """UsageError for what cannot be meant."""

    data_dir: Path
    port: int = BASE_PORT
    """The base of the port set, 0 for a free one."""

    bind: tuple[str, ...] = EVERYWHERE
    """IP literals."""

    relay_servers: tuple[str, ...] = ()
    """``HOST[:PORT]`` each: what peers are told, in turn. None for the host that they reached us at."""

    address: str | None = None
    """The host under which peers reach us, for the link; None for the address of the default route."""

    key: str | None = field(default=None, repr=False)
    """The public key that is demanded. A rendezvous server's is that of its own pair, and nothing else.
    A relay alone takes several, with commas between."""

    only: Service | None = None
    """One of the two services alone."""

    always_use_relay: bool = False
    """Peers are told to relay, those of one network too."""

    tls_cert: Path | None = None
    tls_key: Path | None = None
    """The certificate, with its chain, that the WebSocket ports show; None: they speak without TLS."""

    trust_proxy: tuple[str, ...] = ()
    """Addresses and networks of reverse proxies: what they say in X-Forwarded-For counts."""

    enrol: Mode = Mode.OPEN
    """Who may register anew."""

    allow_keys: Path | None = None
    """A file of peers' keys that may in any case; its lines are those of authorized_peers."""

    blocklist: Path | None = None
    """Addresses, networks and IDs that are not served; None for ``blocklist.txt`` in the data folder."""

    single_bandwidth: float | None = None
    """Mb/s (of 1024 * 1024 bits, as hbbr counts) of one pair at the relay, both ways together."""

    total_bandwidth: float | None = None
    """Mb/s of all pairs together."""

    blacklist: Path | None = None
    """Addresses and networks whose pairs are slower; None for ``blacklist.txt`` in the data folder."""

    limit_speed: float = 32.0
    """Mb/s of such a pair."""

    relay_idle: float | None = None
    """Seconds after which a pair that carries nothing is ended."""

    drain: float = 30.0
    """Seconds that relayed pairs have to end when the server is asked to stop."""

    access_log: str | None = None
    """The file that gets an entry for each request; ``-`` for standard error."""

    log_format: str = "text"
    log_level: str = "warning"
    metrics: str | None = None
    """The loopback endpoint where Prometheus may ask."""

    limits: Limits = field(default_factory=Limits)
    pump: PumpName = "auto"

    def __post_init__(self) -> None:
        if self.port != 0 and not 1 < self.port < 65533:
            raise UsageError(f"not a base port: {self.port}", hint="the ports beside it are needed too")
        readers: dict[str, Callable[[], object]] = {
            "bind": lambda: [ipaddress.ip_address(address) for address in self.bind],
            "relay-servers": lambda: self.relays,
            "trust-proxy": lambda: TrustedProxies(self.trust_proxy),
            "address": lambda: self.address is None or ServerAddress(self.address),
            "metrics": lambda: self.metrics is None or Endpoint.parse(self.metrics),
        }
        for name, read in readers.items():
            try:
                read()
            except ValueError as error:
                raise UsageError(f"{name}: {error}") from None
        if self.only not in (None, "rendezvous", "relay"):
            raise UsageError(
                f"no such service: {quoted(self.only)}", hint="services are rendezvous and relay"
            )
        for name, value, known in (
            ("log-format", self.log_format, LOG_FORMATS),
            ("log-level", self.log_level, LOG_LEVELS),
        ):
            if value not in known:
                raise UsageError(f"{name}: {quoted(value)} is none of {', '.join(known)}")
        if len(self.demanded_keys) > 1 and self.is_rendezvous:
            raise UsageError(
                "a rendezvous server has one key", hint="several are for a relay alone: --only relay"
            )
        if not 0 <= self.drain < math.inf:
            raise UsageError(f"drain: not a number of seconds: {self.drain:g}")
        for name in ("single-bandwidth", "total-bandwidth", "limit-speed", "relay-idle"):
            number = getattr(self, name.replace("-", "_"))
            if number is not None and not 0 < number < math.inf:
                raise UsageError(f"{name}: not a limit above 0: {number:g}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError("--tls-cert and --tls-key go together")
        for path in (self.allow_keys, self.blocklist, self.blacklist):
            if path is not None and not path.is_file():
                raise UsageError(f"cannot read {path}: no such file")

    def read_allowed_keys(self) -> list[PublicKey]:
        """UsageError where the file cannot be read."""
        return list(authorized_peers.read(self.allow_keys)) if self.allow_keys else []

    def read_blocklist(self) -> list[str]:
        """UsageError where the file cannot be read."""
        return read_list(self.blocklist or self.data_dir / BLOCKLIST)

    def tls(self) -> SSLContext | None:
        """What the WebSocket ports show. UsageError where the files cannot be used."""
        return server_tls(self.tls_cert, self.tls_key) if self.tls_cert and self.tls_key else None

    def bandwidth(self) -> Bandwidth:
        """What the relay may carry. UsageError where the blacklist cannot be read."""
        return Bandwidth(
            total=_bytes(self.total_bandwidth) if self.total_bandwidth else None,
            pair=_bytes(self.single_bandwidth) if self.single_bandwidth else None,
            slowed=_bytes(self.limit_speed),
            slow=Blocks(read_list(self.blacklist or self.data_dir / BLACKLIST)),
            idle=self.relay_idle,
        )

    @property
    def is_rendezvous(self) -> bool:
        return self.only != "relay"

    @property
    def is_relay(self) -> bool:
        return self.only != "rendezvous"

    @property
    def relays(self) -> tuple[ServerAddress, ...]:
        """Where the relays are that peers are told to use; without a port at the usual one, as hbbs has it,
        whatever our own are."""
        return tuple(ServerAddress.parse(relay, BASE_PORT + 1) for relay in self.relay_servers)

    @property
    def demanded_keys(self) -> tuple[PublicKey, ...]:
        """Those that were named, none for whatever pair is in the data folder."""
        if self.key is None or self.key in OWN_KEY:
            return ()
        return tuple(_public(text.strip()) for text in self.key.split(","))


def _public(text: str) -> PublicKey:
    public = ServerKey(text).public
    if public is None:
        raise UsageError(
            "the key is neither '-' nor a public key (base64 of 32 bytes)",
            hint="a secret key belongs into id_ed25519; with any other text no key could be signed",
        )
    return public


def _bytes(megabits: float) -> int:
    return max(1, round(megabits * 1024 * 1024 / 8))


def private_host(host: str) -> bool:
    """True for an address that means something in its own network only."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def quoted(value: object) -> str:
    """``value`` of an operator's file as an error quotes it."""
    return repr(printable(str(value), 60))
