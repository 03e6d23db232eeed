from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .anything import PLACES
from .steady import KILL_EVERY, LIMIT, SECONDS, WORKERS

ROOT = Path(__file__).parents[2]


def steady(kind: str, *times: str) -> Any:
    command = [sys.executable, "-m", "tests.benchmarks.steady", kind, *times]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def test_a_day_in_a_minute(figure: Callable[[str], None]) -> None:
    got = steady("rotation")
    figure(
        f"a day in a minute: {got['requests']} requests of {WORKERS} workers in {SECONDS:g} s on connections that live "
        f"{LIMIT:g} s at most; {got['connections']} connections, outcomes {got['outcomes']}"
    )
    assert got["wrong"] == got["contradictions"] == []
    assert got["outcomes"] == {"completed": got["requests"]}
    assert got["connections"] >= SECONDS / LIMIT


def test_connections_killed_under_load(figure: Callable[[str], None]) -> None:
    got = steady("chaos")
    figure(
        f"chaos: {got['requests']} requests of {WORKERS} workers in {SECONDS:g} s, a connection killed each "
        f"{KILL_EVERY:g} s ({got['kills']} in all), {got['refused']} refused for now and sent again; outcomes "
        f"{got['outcomes']}, {len(got['contradictions'])} contradicted by the server"
    )
    assert got["wrong"] == got["contradictions"] == []
    assert set(got["outcomes"]) <= {"completed", "started", "unknown", "not_sent"}
    assert got["kills"] >= 0.5 * SECONDS / KILL_EVERY
    assert got["outcomes"]["completed"] > 0.5 * got["requests"]


def test_anything_that_may_be_raised(figure: Callable[[str], None]) -> None:
    got = steady("anything", "6")
    figure(
        f"anything: {got['requests']} requests in {got['seconds']:g} s, {got['raised']} exceptions of "
        f"{got['kinds_raised']} kinds {got['by_place']}; {got['hangs']} hang, ended {got['ended']}"
    )
    assert (got["hangs"], got["hanging"]) == (0, [])
    assert got["answers_at_the_end"] == ["abc"] * 4
    assert set(got["by_place"]) == set(PLACES) - {"nothing"}
    assert got["unraisable"] == {}
