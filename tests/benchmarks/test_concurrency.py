from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .concurrency import CONCURRENT, DELTAS

ROOT = Path(__file__).parents[2]


def measured() -> dict[int, dict[str, Any]]:
    command = [sys.executable, "-m", "tests.benchmarks.concurrency"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {row["concurrent"]: row for row in json.loads(done.stdout)}


def test_2000_responses_at_once(figure: Callable[[str], None]) -> None:
    rows = measured()
    for _ in range(2):
        # The server and other programs share the machine: a slow run may be due to them.
        if rows[CONCURRENT[-1]]["rate"] > 0.8 * rows[1]["rate"]:
            break
        rows = measured()
    one = rows[1]
    figure(f"responses of {DELTAS} deltas at once on one client:")
    for row in rows.values():
        figure(
            f"{row['concurrent']:>6} at once: {row['rate']:>7,.0f} events/s ({row['rate'] / one['rate']:.2f} of one "
            f"at a time), {row['events'] / row['busy']:>7,.0f} for each second of the client's processor time "
            f"({row['events'] * one['busy'] / row['busy'] / one['events']:.2f})"
        )
    for row in rows.values():
        assert row["wrong"] == 0, row["examples"]
    most = rows[CONCURRENT[-1]]
    assert most["rate"] > 0.8 * one["rate"]
    assert most["events"] / most["busy"] > 0.8 * one["events"] / one["busy"]
