from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .hostile import EVENTS, PAUSED, RESPONSES

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")


def hostile(kind: str) -> Any:
    command = [sys.executable, "-m", "tests.benchmarks.hostile", kind]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize(
    ("kind", "error", "most"),
    [
        ("pings", "PongTimeoutError", 40),
        ("empty fragments", "MessageTooBigError", 60),
        ("small fragments", "MessageTooBigError", 60),
        ("handshake", "ConnectFailedError", 10),
        ("bomb", "MessageTooBigError", 256),
    ],
)
def test_a_server_that_sends_without_end(figure: Callable[[str], None], kind: str, error: str, most: int) -> None:
    got = hostile(kind)
    figure(f"hostile server, {kind}: {got['got']} after {got['seconds']:.1f} s, {got['memory']:.0f} MiB more")
    assert got["got"] == error
    assert got["memory"] < most


def test_long_ids(figure: Callable[[str], None]) -> None:
    got = hostile("long ids")
    figure(f"{RESPONSES} responses with ids of 1 MiB: {got['memory']:.0f} MiB more after {got['seconds']:.1f} s")
    assert got["got"] == RESPONSES
    assert got["memory"] < 60


def test_new_ids(figure: Callable[[str], None]) -> None:
    got = hostile("new ids")
    figure(f"{EVENTS} events with a new id each: {got['seconds']:.1f} s")
    assert got["got"] == ""
    assert got["seconds"] < 8


@pytest.mark.parametrize("kind", ["paused text", "paused events"])
def test_ask_into_a_paused_reader(figure: Callable[[str], None], kind: str) -> None:
    got = hostile(kind)["got"]
    figure(f"ask, {kind}, for {PAUSED:g} s: {got['program']:.0f} MiB, of {got['sent']:.0f} MiB that the server sent")
    assert got["program"] < 300
