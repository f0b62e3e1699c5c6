"""Against stock hbbs and hbbr: collected only where RDPEER_STOCK names the folder with the two programs.

They tell peers apart by IP address, and take whoever comes over loopback for an administrator. So the
servers and each of two machines have a network namespace of their own.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL

import pytest
from internet import Host, Internet
from network import INVITATION, ONLINE
from program import Rdpeer, Running
from stand_ins import DesktopProcess, UpperCase, tunnelled
from stock import Stock

from rdpeer.crypto.keys import IdentityKey

SERVER, RELAY = "10.77.0.1", "10.77.0.4"
MACHINES = {"server": SERVER, "near": "10.77.0.2", "far": "10.77.0.3", "relay": RELAY}
SERVER_V6 = "fd77::1"

KEY_PAIR = IdentityKey.from_seed(b"explicit" * 4)
SECRET = base64.b64encode(KEY_PAIR.seed + KEY_PAIR.public.raw).decode()
"""As hbbs and hbbr take it: seed and public key."""


@dataclass(frozen=True)
class Setup:
    """How the two are started. ``key`` is what peers are set up with; None: what hbbs made for itself."""

    name: str
    hbbs: tuple[str, ...] = ()
    hbbr: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    relay_machine: str = "server"
    server: str = SERVER
    key: str | None = None
    always_relay: bool = False
    signs: bool = True

    @property
    def path(self) -> str:
        """That of a connection from another address, as far as it is told."""
        if self.always_relay:
            return f"relay {MACHINES[self.relay_machine]}:21117"
        return rf"direct ({MACHINES['far']}|\[fd77::3\]):[0-9]+"

    @property
    def relay(self) -> str:
        host = f"[{self.server}]" if ":" in self.server else MACHINES[self.relay_machine]
        return f"relay {host}:21117"


PLAIN = Setup("no relay key")
SETUPS = [
    PLAIN,
    Setup("-k _", hbbs=("-k", "_"), hbbr=("-k", "_")),
    Setup("explicit key", hbbs=("-k", SECRET), hbbr=("-k", SECRET), key=KEY_PAIR.public.text),
    Setup(
        "text as key", hbbs=("-k", "open sesame"), hbbr=("-k", "open sesame"), key="open sesame", signs=False
    ),
    Setup("ALWAYS_USE_RELAY", environ={"ALWAYS_USE_RELAY": "Y"}, always_relay=True),
    Setup("relay elsewhere", hbbs=("-r", RELAY), relay_machine="relay"),
    Setup("IPv6", server=SERVER_V6),
]


@pytest.fixture(scope="module")
def machines(internet: Internet) -> dict[str, Host]:
    """Beside each other on one network."""
    hosts = {name: internet.host(address) for name, address in MACHINES.items()}
    for number, host in enumerate(hosts.values(), start=1):
        host.space.ip("address", "add", f"fd77::{number}/64", "dev", "wan", "nodad")
    return hosts


@dataclass
class Network:
    """``far`` listens, ``near`` connects, and so does ``beside``, on far's machine. ``peer`` is far's ID."""

    hbbs: Stock
    hbbr: Stock
    near: Rdpeer
    far: Rdpeer
    beside: Rdpeer
    peer: str
    key: str

    def listen(self, *args: str) -> Running:
        listener = self.far.follow("listen", *args, stdin=DEVNULL)
        listener.said(INVITATION)
        return listener

    @property
    def far_key(self) -> str:
        return self.far("id", "--authorized").split()[0]


Serve = Callable[[Setup], Network]


@pytest.fixture
def serve(machines: dict[str, Host], tmp_path: Path) -> Iterator[Serve]:
    """Starts the servers and sets up the peers."""
    with ExitStack() as cleanup:

        def start(setup: Setup) -> Network:
            return cleanup.enter_context(_network(setup, machines, tmp_path))

        yield start


@contextmanager
def _network(setup: Setup, machines: dict[str, Host], folder: Path) -> Iterator[Network]:
    with ExitStack() as cleanup:
        programs = []
        for name, machine in (("near", "near"), ("far", "far"), ("beside", "far")):
            (folder / name).mkdir()
            programs.append(Rdpeer(folder / name, machines[machine].within))
            cleanup.callback(programs[-1].end)
        hbbs = Stock("hbbs", machines["server"], folder, *setup.hbbs, **setup.environ)
        cleanup.callback(hbbs.kill)
        hbbr = Stock("hbbr", machines[setup.relay_machine], folder, *setup.hbbr, **setup.environ)
        cleanup.callback(hbbr.kill)
        key = setup.key or (folder / "id_ed25519.pub").read_text()
        for program in programs:
            program("config", "set", "server", setup.server)
            program("config", "set", "key", key)
        near, far, beside = programs
        yield Network(hbbs, hbbr, near, far, beside, far("id").strip(), key)


@pytest.fixture
def stock(serve: Serve) -> Network:
    """With their defaults."""
    return serve(PLAIN)


def path(text: str) -> re.Pattern[str]:
    """What ``connect -v`` over this path says, and nothing else."""
    return re.compile(
        f"(?:rdpeer: .*\n)*rdpeer: path: {text}\n(rdpeer: .* only the server vouches for it\n)?"
    )


OVER_HBBR = path(f"relay {SERVER}:21117")
DIRECT = path(f"direct {MACHINES['far']}:[0-9]+")


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.name)
def test_the_main_job(serve: Serve, setup: Setup) -> None:
    """Registered, online, connected to by the path that there is and by the relay, pinged, examined."""
    stock = serve(setup)
    assert stock.near("online", stock.peer, code=4) == f"{stock.peer} offline\n"
    stock.far("register", "--once")
    assert stock.near("online", stock.peer) == f"{stock.peer} online\n"
    stock.listen("--exec", "wc -c", "--open")
    text = "x" * 1_000_000
    proof = () if setup.signs else ("--peer-key", stock.far_key)
    for option, expected in (((), setup.path), (("--relay",), re.escape(setup.relay))):
        told = stock.near("connect", "-v", stock.peer, *option, *proof, stdin=text, stderr=path(expected))
        assert told.strip() == str(len(text))
    assert f"{stock.peer}: " in stock.near("ping", stock.peer, "-c", "1")
    findings = [json.loads(line) for line in stock.near("doctor", "--quick", "--json").splitlines()]
    doubts = {finding["check"] for finding in findings if finding["level"] != "OK"}
    assert doubts == (set() if setup.signs else {"settings", "signature"})
    assert any("a stock server" in finding["text"] for finding in findings)


def test_a_key_confirmed_before(stock: Network) -> None:
    stock.far("register", "--once")
    stock.far("register", "--once")
    assert stock.near("online", stock.peer) == f"{stock.peer} online\n"


@pytest.mark.parametrize(
    ("option", "said"),
    [([], DIRECT), (["--relay"], OVER_HBBR)],
    ids=["same address", "relay asked for at the same address"],
)
def test_a_pipe_at_one_address(stock: Network, option: list[str], said: re.Pattern[str]) -> None:
    stock.listen("--exec", "wc -c", "--open")
    text = "x" * 3_000_000
    told = stock.beside("connect", "-v", stock.peer, *option, stdin=text, stderr=said)
    assert told.strip() == str(len(text))


def test_an_initiator_by_websocket(stock: Network) -> None:
    """The responder's leg is TCP: hbbr carries frames between the two."""
    stock.listen("--exec", "wc -c", "--open")
    text = "x" * 3_000_000
    web = ("--server", f"ws://{SERVER}:21118")
    told = stock.near(
        "connect", "-v", stock.peer, *web, stdin=text, stderr=path(f"relay ws://{SERVER}:21119")
    )
    assert told.strip() == str(len(text))
    refused = re.compile("rdpeer: error: .* without an answer\nrdpeer: hint: stock servers say it .*\n")
    stock.near("online", stock.peer, *web, code=3, stderr=refused)


def test_a_listener_that_stock_does_not_register(stock: Network) -> None:
    """Said at once, and why."""
    told = re.compile(
        "rdpeer: error: .*: it takes registrations by UDP only\nrdpeer: hint: no UDP passes .*\n"
    )
    for way in (("--server", f"ws://{SERVER}:21118"), ("--server", f"ws://{SERVER}:21118/")):
        stock.far("listen", "--open", *way, code=3, stderr=told)


@pytest.mark.parametrize(("option", "came"), [("--direct", "direct"), ("--relay", "relayed")])
def test_a_stock_desktop_behind_stock_servers(
    stock: Network, machines: dict[str, Host], option: str, came: str
) -> None:
    far = machines["far"].within
    with ExitStack() as cleanup:
        service = UpperCase(9000, far)
        cleanup.callback(service.end)
        desktop = DesktopProcess(SERVER, 21116, stock.key, far)
        cleanup.callback(desktop.end)
        stderr = re.compile("rdpeer: .* vouches for it\nrdpeer: warning: it is a stock desktop.*\n")
        password = {"RDPEER_PASSWORD": "Lab-pass-1"}
        arguments = ("connect", option, "--stock", desktop.id, "localhost:9000")
        assert stock.near(*arguments, stdin="bye\n", stderr=stderr, env=password) == "BYE\n"
        desktop.said(came)


@pytest.mark.parametrize(("relay", "path"), [(False, "direct"), (True, "relay")])
def test_a_stock_desktops_tunnel_through_stock_servers(
    stock: Network, machines: dict[str, Host], relay: bool, path: str
) -> None:
    service = UpperCase(9000, machines["far"].within)
    try:
        secret = stock.far.folder / "password"
        secret.write_text("Lab-pass-1\n")
        secret.chmod(0o600)
        stock.listen("--allow-stock", "--stock-password-file", str(secret), "--to", "localhost:9000")
        near, target = machines["near"].within, "localhost:9000"
        told = tunnelled(SERVER, stock.key, stock.peer, target, "bye\n", near, relay=relay)
        assert told == ("BYE\n", path)
    finally:
        service.end()


def test_another_key_than_the_servers(stock: Network) -> None:
    stock.listen("--exec", "cat", "--open")
    told = re.compile(f"rdpeer: error: {SERVER}:21116 has another key than .*\nrdpeer: hint: .*\n")
    stock.near("connect", "--key", "A" * 43 + "=", stock.peer, code=7, stderr=told)


def test_a_text_as_key_and_nothing_that_proves_the_peer(serve: Serve) -> None:
    (setup,) = (setup for setup in SETUPS if not setup.signs)
    stock = serve(setup)
    stock.listen("--exec", "cat", "--open")
    told = re.compile("rdpeer: error: nothing proves who the peer is: .*\nrdpeer: hint: .*\n")
    stock.near("connect", stock.peer, code=7, stderr=told)


def test_a_relay_with_another_key(serve: Serve) -> None:
    """The mistake that stock's defaults invite: the doctor names it, and connect hints at it."""
    stock = serve(Setup("relay key", hbbr=("-k", "another"), relay_machine="server"))
    stock.listen("--exec", "cat", "--open")
    told = stock.near("doctor", "--quick", code=3, stderr="")
    assert re.search("FAIL  relay: .* does not join a pair: .*\n      it may want another key", told)
    stderr = re.compile("rdpeer: error: .*\nrdpeer: hint: a relay that wants another key closes .*\n")
    stock.near("connect", "--relay", stock.peer, code=5, stderr=stderr)


def test_a_loopback_relay_address(serve: Serve) -> None:
    """hbbs names what it was told: to us it means hbbs' own host, and the doctor tells who else is misled."""
    stock = serve(Setup("loopback", hbbs=("-r", "127.0.0.1")))
    stock.listen("--exec", "cat", "--open")
    assert stock.near("connect", "-v", "--relay", stock.peer, stdin="hello", stderr=OVER_HBBR) == "hello"
    assert "WARN  server: it names 127.0.0.1" in stock.near("doctor", "--quick")


def test_online_again_after_a_restart(stock: Network) -> None:
    listener = stock.listen("--exec", "cat", "--open")
    stock.hbbs.kill()
    listener.said(r"rdpeer: \d+ is offline at .*")
    stock.hbbs.start()
    listener.said(ONLINE)
    assert stock.near("connect", "-v", stock.peer, stdin="hello", stderr=DIRECT) == "hello"


def test_a_relay_that_was_restarted(stock: Network) -> None:
    """What it carried is lost, and said to be; the next connection is as ever."""
    stock.listen("--exec", "cat", "--open")
    connection = stock.near.follow("connect", "--relay", stock.peer)
    assert connection.process.stdin
    connection.process.stdin.write(b"hello")
    assert connection.process.stdout
    assert connection.process.stdout.read(5) == b"hello"
    stock.hbbr.kill()
    connection.end("rdpeer: .* only the server vouches for it", "rdpeer: error: .*", code=9)
    stock.hbbr.start()
    assert stock.near("connect", "--relay", stock.peer, stdin="again") == "again"


ELSEWHERE = "10.77.0.5"
"""Another address of near's machine."""


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="at one address"),
        pytest.param(("--from", MACHINES["near"], "--from", ELSEWHERE), id="at two addresses"),
        pytest.param(("--slow",), id="slow", marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(400)
def test_our_server_differs_as_documented(
    stock: Network, machines: dict[str, Host], tmp_path: Path, options: tuple[str, ...]
) -> None:
    if ELSEWHERE in options:
        machines["near"].add_address(ELSEWHERE)
    (tmp_path / "ours").mkdir()
    ours = Rdpeer(tmp_path / "ours", machines["server"].within)
    running = ours.follow("server", "--bind", SERVER, "--port", "22116", "--data-dir", "d", stdin=DEVNULL)
    try:
        link = running.said("rdpeer config import '(.*)'")[1]
        stocks = f"rdpeer://{SERVER}?key={(tmp_path / 'id_ed25519.pub').read_text()}"
        comparing = stock.near.start("server", "compare", stocks, link, *options, "--json")
        told, _ = comparing.communicate()
        assert comparing.returncode == 1
    finally:
        ours.end()
    found = [json.loads(line) for line in told.splitlines()]
    asked = {case["case"] for case in found}
    documented = [case for case in documented_differences() if case in asked]
    assert [case["case"] for case in found if not case["same"]] == documented


def documented_differences() -> list[str]:
    text = (Path(__file__).parents[2] / "docs/DIFFERENCES.md").read_text()
    return re.findall(r"^\| ([a-z-]+) \|", text.partition("What such a run")[0], re.MULTILINE)[1:]
