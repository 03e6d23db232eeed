from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

RUNS = 7
PROGRAM = """
import time
import reactivex, websockets.asyncio.client, dataclasses_json
start = time.process_time()  # the time of this process, whatever else the machine does
import rxresponses
print((time.process_time() - start) * 1000)
"""


def milliseconds(bytecode: Path) -> float:
    """Return the time of an import in milliseconds, with bytecode in the folder as in the cache of a user's Python.

    A machine that runs tests often forbids bytecode; each import would then compile all modules again.
    """
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(bytecode)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


def test_importing_costs_under_150_milliseconds_on_top_of_its_dependencies(tmp_path: Path) -> None:
    first = milliseconds(tmp_path)
    runs = [milliseconds(tmp_path) for _ in range(RUNS)]
    print(
        f"\nimport rxresponses: best {min(runs):.0f} ms, median {statistics.median(runs):.0f} ms;"
        f" {first:.0f} ms with compiling"
    )
    assert any(tmp_path.rglob("rxresponses/__init__.*.pyc"))
    assert statistics.median(runs) < 150
