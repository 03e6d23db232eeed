"""The arguments of the suite."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PARTS = ("throughput", "latency", "scaling", "memory", "transports", "startup")


@dataclass(frozen=True)
class Sizes:
    """How much is measured in one round."""

    deltas: int = 50_000
    """Of a response whose rate is measured."""
    paced: tuple[int, float, float] = (100, 50.0, 2.0)
    """Streams, deltas a second on each of them, and seconds."""
    streams: tuple[int, ...] = (1, 10, 100, 500, 2_000)
    total: int = 100_000
    """Deltas of all streams together, in responses of 200; each stream has one response at least."""
    held: int = 2_000
    """Responses in flight whose memory is measured."""
    starts: int = 2
    """Starts of a program, of which the median is taken."""


QUICK = Sizes(deltas=2_000, paced=(10, 50.0, 0.4), streams=(1, 20), total=2_000, held=64, starts=1)


@dataclass(frozen=True)
class Settings:
    rounds: int
    only: tuple[str, ...]
    node_dir: Path | None
    peer_python: str
    output: Path | None
    compare: Path | None
    sizes: Sizes


def parse(words: Sequence[str] | None = None) -> Settings:
    """Return the settings in the words of a command line; wrong ones end the program."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure this library against other clients of the same server, in rounds that alternate, and "
        "print a table.  Programs that run beside it, and energy saving, make the figures worthless.",
        epilog="Exit codes: 0, or 1 if a client has failed.",
    )
    parser.add_argument("--rounds", type=_positive, metavar="N", help="rounds of each part (default: 9, quick 2)")
    parser.add_argument(
        "--only", type=_parts, default=PARTS, metavar="PARTS", help=f"parts with commas between, of {', '.join(PARTS)}"
    )
    parser.add_argument(
        "--node-dir", type=Path, metavar="DIR", help="a folder in which `npm install openai ws zod` was run"
    )
    parser.add_argument(
        "--peer-python",
        default=sys.executable,
        metavar="PYTHON",
        help="the Python that has `openai[realtime]` (default: this one)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write speed.json, .png, .svg and .md into this folder"
    )
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="print the changes since an earlier run")
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that everything runs")
    given = parser.parse_args(words)
    rounds = given.rounds or (2 if given.quick else 9)
    sizes = QUICK if given.quick else Sizes()
    return Settings(rounds, given.only, given.node_dir, given.peer_python, given.output, given.compare, sizes)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _parts(text: str) -> tuple[str, ...]:
    """Return the parts in the order in which they run."""
    given = {word.strip() for word in text.split(",")}
    if unknown := given - set(PARTS):
        raise argparse.ArgumentTypeError(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in given)
