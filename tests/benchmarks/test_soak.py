from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .soak import CANCELLED, LANES, REQUESTS, SOCKETS

ROOT = Path(__file__).parents[2]
STATM = Path("/proc/self/statm")


@pytest.mark.skipif(not STATM.exists(), reason="this system does not show the resident memory")
def test_20_000_requests_without_a_wrong_event_in_flat_memory(figure: Callable[[str], None]) -> None:
    # In a process of its own, where the memory is that of the client alone.
    command = [sys.executable, "-m", "tests.benchmarks.soak"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    got = json.loads(done.stdout)
    outcomes, server = got["outcomes"], got["server"]
    lost = sum(count for outcome, count in outcomes.items() if outcome.startswith("ConnectionLostError"))
    met = server["disturbed"] + lost
    (first, last), (first_objects, last_objects) = got["memory"], got["objects"]
    figure(
        f"soak: {REQUESTS} requests on {LANES} lanes of {SOCKETS} sockets in {got['seconds']:.0f} s "
        f"({got['busy']:.0f} s of CPU), {got['wrong']} wrong; {outcomes['cancelled']} cancelled, {met} met a fault, "
        f"{lost} of them a lost connection; resident memory {first:.1f} MiB in the first quarter, {last:.1f} MiB "
        f"in the last ({last / first - 1:+.2%}), objects {last_objects / first_objects - 1:+.2%}"
    )
    assert got["wrong"] == 0, got["examples"]
    assert sum(outcomes.values()) == REQUESTS
    assert set(outcomes) <= {
        *("response.completed", "error", "cancelled"),
        *(f"ConnectionLostError, {delivery}" for delivery in ("not_sent", "unknown", "started")),
    }
    assert outcomes["cancelled"] >= 0.8 * CANCELLED * REQUESTS
    assert met >= 0.05 * REQUESTS
    # The server has received each sent request once.
    assert server.get("repeated", 0) == 0
    unsure = outcomes["cancelled"] + outcomes.get("ConnectionLostError, unknown", 0)
    sent = REQUESTS - outcomes.get("ConnectionLostError, not_sent", 0)
    assert sent - unsure <= server["received"] <= sent
    assert abs(last / first - 1) < 0.05
    assert abs(last_objects / first_objects - 1) < 0.05
