"""``python fuzzer.py NAME FOLDER SECONDS``: one target, in a process of its own: libFuzzer ends its process.

It keeps in FOLDER what it found worth keeping (``corpus``), and whatever broke the target (``crash-...``,
``oom-...``, ``timeout-...``).
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["rdpeer", "websockets"]):
    from targets import TARGETS

SLOWEST = 2.0
"""Seconds of the processor that one input may take; measured, it is some ten times slower than otherwise."""

_MOST_MEMORY = 1024  # MiB
_PATIENCE = 300  # by the wall clock, on a machine that has other things to do


def main(name: str, folder: Path, seconds: str) -> None:
    target = TARGETS[name]
    corpus, seeds = folder / "corpus", folder / "seeds"
    for place in (corpus, seeds):
        place.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (seeds / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)

    def feed(data: bytes) -> None:
        begun = time.process_time()
        target.feed(data)
        assert time.process_time() - begun < SLOWEST, "it takes too long"

    options = (
        f"-max_total_time={seconds}",
        f"-max_len={target.longest}",
        f"-rss_limit_mb={_MOST_MEMORY}",
        f"-timeout={_PATIENCE}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
    )
    atheris.Setup([name, *options, str(corpus), str(seeds)], feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
