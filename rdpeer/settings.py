"""What is set, and where: flag over environment over profile over default, decided in this one place.

A setting is text until here, wherever it comes from, and is checked when it
wins; an error names the place where the bad value stands. Secrets are not
settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rdpeer.errors import UsageError
from rdpeer.net.outbound import Outbound, ProxyAddress
from rdpeer.values import (
    BASE_PORT,
    Family,
    PeerAddress,
    PinPolicy,
    ServerAddress,
    ServerKey,
    printable,
)

NAMES = ("server", "key", "relay-server", "proxy", "family", "ca-file", "stun", "pin", "timeout")
"""As in config.toml. The flag is ``--NAME``, the variable ``RDPEER_NAME`` with ``_`` for ``-``."""

STUN_PORT = 3478

_KNOWN = "settings are " + ", ".join(NAMES)
_SERVER_NAMES = ("server", "key", "relay-server")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force; ``origins`` has where each comes from, for those that are not the default."""

    server: ServerAddress | None = None
    key: ServerKey | None = field(default=None, repr=False)
    relay_servers: tuple[ServerAddress, ...] = ()
    proxy: ProxyAddress | None = None
    family: Family = Family.ANY
    ca_file: str | None = None
    stun: ServerAddress | None = None
    pin: PinPolicy = PinPolicy.ACCEPT_NEW
    timeout: float | None = None
    origins: Mapping[str, str] = field(default_factory=dict)

    def origin(self, name: str) -> str:
        """Where a setting was made, for people: a flag, a variable, a file, an address, or ``default``."""
        return self.origins.get(name, "default")

    def require_server(self) -> ServerAddress:
        """The server, or UsageError: rdpeer has no server of its own to fall back on."""
        if self.server is None:
            raise UsageError(
                "no server is set",
                hint="--server HOST or 'rdpeer config set server HOST'; 'rdpeer server' runs one",
            )
        return self.server

    @property
    def relay_server(self) -> ServerAddress | None:
        """The first of them, for where there is room for one."""
        return next(iter(self.relay_servers), None)

    @property
    def outbound(self) -> Outbound:
        """How connections leave this machine."""
        return Outbound(self.family, self.proxy, self.ca_file)

    def text(self, name: str) -> str | None:
        """A setting as it would be written in a command, None where it has no value; never a password."""
        if name == "server" and self.server:
            return self.server.short()
        if name == "relay-server" and self.relay_servers:
            return ",".join(map(str, self.relay_servers))
        value = getattr(self, name.replace("-", "_"))
        if value is None:
            return None
        return f"{value:g}" if isinstance(value, float) else str(value)

    def at(self, address: PeerAddress) -> Settings:
        """The settings for a peer whose address may bring its own server: ``ID@host?key=KEY``.

        The address wins over the environment and the profile. UsageError beside
        a flag for the same thing: two wishes, said at once. What the address
        leaves out is kept only if it names the server that is set anyway; the
        key and the relay of another server are of no use there.
        """
        if address.link is None:
            return self
        for name in _SERVER_NAMES:
            if self.origin(name) == f"--{name}":
                raise UsageError(f"--{name} and {address.peer}@{address.link.server} contradict each other")
        kept = self if self.server == address.link.server else Settings()
        where = f"{address.peer}@{address.link.server}"
        brought = {"server": address.link.server, "key": address.link.key, "relay-server": address.link.relay}
        origins = {name: origin for name, origin in self.origins.items() if name not in _SERVER_NAMES}
        origins |= {name: where if value else kept.origin(name) for name, value in brought.items()}
        return replace(
            self,
            server=address.link.server,
            key=address.link.key or kept.key,
            relay_servers=(address.link.relay,) if address.link.relay else kept.relay_servers,
            origins=origins,
        )


def load(
    flags: Mapping[str, str], environ: Mapping[str, str], profile: Mapping[str, object], profile_at: str
) -> Settings:
    """The settings in force.

    ``flags`` has those that were given, by name. ``profile`` is the profile's
    table in the file ``profile_at``. UsageError for a bad value, or for a name
    in the table that is no setting; an empty variable counts as not set.
    """
    if unknown := [name for name in profile if name not in NAMES]:
        raise UsageError(f"{profile_at}: no such setting: {printable(unknown[0])!r}", hint=_KNOWN)
    found: dict[str, tuple[str, str]] = {}
    for name in NAMES:
        if name in flags:
            found[name] = flags[name], f"--{name}"
        elif text := environ.get(_variable(name)):
            found[name] = text, _variable(name)
        elif name in profile:
            found[name] = _table_text(name, profile[name], profile_at), profile_at
    return _settings(found)


def check(name: str, text: str) -> None:
    """UsageError unless ``text`` is good as the value of the setting ``name``."""
    check_name(name)
    _settings({name: (text, name)})


def check_name(name: str) -> None:
    """UsageError unless there is a setting of that name."""
    if name not in NAMES:
        raise UsageError(f"no such setting: {printable(name)!r}", hint=_KNOWN)


def _variable(name: str) -> str:
    return "RDPEER_" + name.upper().replace("-", "_")


def _settings(found: Mapping[str, tuple[str, str]]) -> Settings:
    settings = Settings(origins={name: origin for name, (_, origin) in found.items()})
    for name, (text, origin) in found.items():
        try:
            settings = _with(settings, name, text.strip())
        except ValueError as error:
            where = origin if origin in (f"--{name}", _variable(name), name) else f"{origin}: {name}"
            raise UsageError(f"{where}: {error}") from error
    if settings.proxy and settings.proxy.password and settings.origin("proxy") in ("--proxy", "proxy"):
        raise UsageError(
            "everybody can read a password on the command line",
            hint="write the proxy's URL into RDPEER_PROXY, or into the file that 'rdpeer config path' names",
        )
    return settings


def _with(settings: Settings, name: str, text: str) -> Settings:
    """``found`` keeps the order of NAMES, so that the relay's default port can follow from the server's."""
    match name:
        case "server":
            return replace(settings, server=ServerAddress.parse(text))
        case "key":
            return replace(settings, key=_server_key(text))
        case "relay-server":
            base = settings.server.plain.port if settings.server else BASE_PORT
            relays = (ServerAddress.parse_relay(relay.strip(), base) for relay in text.split(","))
            return replace(settings, relay_servers=tuple(dict.fromkeys(relays)))
        case "proxy":
            return replace(settings, proxy=ProxyAddress.parse(text) if text else None)
        case "family":
            return replace(settings, family=_family(text))
        case "ca-file":
            return replace(settings, ca_file=text or None)
        case "stun":
            return replace(settings, stun=ServerAddress.parse(text, STUN_PORT))
        case "pin":
            return replace(settings, pin=_policy(text))
        case _:
            return replace(settings, timeout=_seconds(text))


def _server_key(text: str) -> ServerKey:
    if not text:
        raise ValueError("the key is empty")
    return ServerKey(text)


def _family(text: str) -> Family:
    try:
        return Family(text)
    except ValueError:
        raise ValueError(f"{printable(text)!r} is none of {', '.join(Family)}") from None


def _policy(text: str) -> PinPolicy:
    try:
        return PinPolicy(text)
    except ValueError:
        raise ValueError(f"{printable(text)!r} is none of {', '.join(PinPolicy)}") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f"not a number of seconds above 0: {printable(text)!r}")
    return seconds


def _table_text(name: str, value: object, where: str) -> str:
    if isinstance(value, str):
        return value
    if name == "timeout" and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise UsageError(f"{where}: {name}: write it as text, in quotes")
