"""``python -m benchmarks [--rounds N] [--megabytes N]``: measure, and print a table and a plot.

Contenders take turns, and each counts with its best round: a slow moment of the
machine hits all of them, or none. Ratios within one run are what means
something; the absolute numbers are this machine's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from benchmarks import first_byte, pipe
from benchmarks.lab import Missing

BAR = 40

Contender = tuple[str, Callable[[int], float]]

CONTENDERS: tuple[Contender, ...] = (
    ("rdpeer, direct", pipe.rdpeer("--direct")),
    ("rdpeer, relay", pipe.rdpeer("--relay")),
    ("ssh -W", pipe.ssh),
    ("magic-wormhole, relay", pipe.wormhole),
)

TARGETS = (
    ("rdpeer, direct", "ssh -W", 1.2),
    ("rdpeer, relay", "ssh -W", 0.9),
    ("rdpeer, direct", "magic-wormhole, relay", 2.0),
    ("rdpeer, relay", "magic-wormhole, relay", 2.0),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=2000)
    options = parser.parse_args()
    speeds = _bulk(options.rounds, options.megabytes)
    _plot(f"{options.megabytes} MB through the pipe, MB/s", speeds)
    _ratios(speeds)
    _first_byte()


def _bulk(rounds: int, megabytes: int) -> dict[str, float]:
    best: dict[str, float] = {}
    missing: dict[str, str] = {}
    for _ in range(rounds):
        for name, run in CONTENDERS:
            if name in missing:
                continue
            try:
                speed = megabytes / run(megabytes * 1_000_000)
            except Missing as error:
                missing[name] = str(error)
                print(f"left out: {name} ({error} is not installed)")
                continue
            best[name] = max(speed, best.get(name, 0.0))
    return best


def _plot(title: str, values: dict[str, float]) -> None:
    print(f"\n{title}\n")
    scale = BAR / max(values.values())
    for name, value in values.items():
        print(f"  {name:24}{value:7.0f}  {'█' * round(value * scale)}")


def _ratios(speeds: dict[str, float]) -> None:
    print("\n  ratio                                              measured   to reach\n")
    for ours, theirs, target in TARGETS:
        if ours in speeds and theirs in speeds:
            ratio = speeds[ours] / speeds[theirs]
            print(f"  {f'{ours} / {theirs}':50}{ratio:9.2f}{target:11.2f}")


def _first_byte() -> None:
    echo, imports = first_byte.rdpeer(), first_byte.imports()
    print("\nfirst byte echoed, from the start of the command\n")
    print(f"  rdpeer connect                {echo * 1000:7.0f} ms   to reach: under 400 ms")
    print(f"  python, click and nacl alone  {imports * 1000:7.0f} ms")
    print(f"  ratio                         {echo / imports:7.2f}      to reach: under 4")


if __name__ == "__main__":
    main()
