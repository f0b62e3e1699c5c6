"""The main job, shown: `make demo` runs this.

A server, a listener and a connection, each a process as a person would start it, on
this machine and on free ports. A file of real data goes through the relay, then over
the direct path. Everything lies in .demo/ and is removed at the end.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".demo"
SIZE = 64 << 20
PATIENCE = 30.0
"""Seconds for any step; each takes a fraction of one."""


class DemoFailed(Exception):
    """What did not work, in one line."""


def main() -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    try:
        show()
    except DemoFailed as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(FOLDER)
    return 0


def show() -> None:
    file = FOLDER / "file"
    write_real_data(file)
    serve = ["server", "--data-dir", "data", "--port", "0", "--bind", "127.0.0.1", "--ready-file", "ready"]
    with running("vps", *serve) as server:
        link = when_ready(server, "vps")
        run("home", "config", "import", link)
        run("away", "config", "import", link)
        peer = run("home", "id").strip()
        print(f"\n  the server is {link.partition('?')[0]}, its key {link.partition('key=')[2]}")
        print(f"  the peer is {peer}; the file has {SIZE:,} bytes\n")
        for way in ("--relay", "--direct"):
            send(way, peer, file)
    print("Both files arrived whole.")


def send(way: str, peer: str, file: Path) -> None:
    """Sends the file to the peer, compares what arrived, and tells path, bytes and seconds."""
    received = FOLDER / "received"
    with (
        received.open("wb") as sink,
        running("home", "listen", "--open", "--ready-file", "ready", stdout=sink) as listener,
    ):
        when_ready(listener, "home")
        begun = time.perf_counter()
        with file.open("rb") as source:
            run("away", "connect", "-v", way, peer, stdin=source)
        finished(listener, "home", "listen")
        seconds = time.perf_counter() - begun
    sent_sum, received_sum = sha256(file), sha256(received)
    if sent_sum != received_sum:
        raise DemoFailed(f"the checksums differ: {sent_sum} was sent, {received_sum} arrived")
    path = re.search(r"path: (.+)", said("away"))
    if path is None:
        raise DemoFailed(f"rdpeer connect -v names no path: {said('away')}")
    print(f"\n  {path[1]}: {SIZE:,} bytes in {seconds:.2f} s, start and end included")
    print(f"  sha256 {sent_sum} at both ends\n")


def write_real_data(file: Path) -> None:
    """Files of the environment that runs this, one behind the other, and again from the start if need be."""
    with file.open("wb") as out:
        while out.tell() < SIZE:
            for path in sorted(Path(sys.prefix).rglob("*")):
                if path.is_file() and out.tell() < SIZE:
                    out.write(path.read_bytes())
        out.truncate(SIZE)


@contextmanager
def running(
    home: str,
    *arguments: str,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    stdout: IO[bytes] | int = subprocess.PIPE,
) -> Iterator[subprocess.Popen[bytes]]:
    """`rdpeer` with these arguments, as on a machine of that name; stopped if it still runs at the end."""
    place = FOLDER / home
    place.mkdir(exist_ok=True)
    print(f"  {home}$ rdpeer {shlex.join(arguments)}", flush=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RDPEER_")}
    with (place / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "rdpeer", *arguments],
            cwd=place,
            env=environment | {"RDPEER_HOME": str(place)},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def run(home: str, *arguments: str, stdin: IO[bytes] | int = subprocess.DEVNULL) -> str:
    """Runs the command to its end; its answer."""
    with running(home, *arguments, stdin=stdin) as process:
        return finished(process, home, arguments[0])


def finished(process: subprocess.Popen[bytes], home: str, command: str) -> str:
    try:
        answer, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise DemoFailed(f"rdpeer {command} does not end: {said(home)}") from None
    if process.returncode:
        raise DemoFailed(f"rdpeer {command} ended with {process.returncode}: {said(home)}")
    return (answer or b"").decode()


def when_ready(process: subprocess.Popen[bytes], home: str) -> str:
    """What the ready file says, once it is there."""
    ready = FOLDER / home / "ready"
    give_up = time.monotonic() + PATIENCE
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > give_up:
            raise DemoFailed(f"{home}'s rdpeer did not get ready: {said(home)}")
        time.sleep(0.02)
    return ready.read_text().strip()


def said(home: str) -> str:
    """The standard error of that machine's last command."""
    return (FOLDER / home / "stderr").read_text().strip()


def sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
