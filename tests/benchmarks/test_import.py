from __future__ import annotations

import statistics
import subprocess
import sys

RUNS = 7
PROGRAM = """
import time
import reactivex, websockets.asyncio.client, dataclasses_json
start = time.process_time()  # what it costs, not what else the machine does
import rxresponses
print((time.process_time() - start) * 1000)
"""


def milliseconds() -> float:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    return float(done.stdout)


def test_importing_costs_under_150_milliseconds_on_top_of_its_dependencies() -> None:
    milliseconds()  # the first run may have to compile
    runs = [milliseconds() for _ in range(RUNS)]
    print(f"\nimport rxresponses: best {min(runs):.0f} ms, median {statistics.median(runs):.0f} ms")
    assert statistics.median(runs) < 150
