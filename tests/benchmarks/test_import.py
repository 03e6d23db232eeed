"""What the import of all public names costs; `tests/project/test_imports.py` says what is imported when."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

RUNS = 7
PROGRAM = """
import time
start = time.process_time()  # the time of this process, whatever else the machine does
import reactivex, reactivex.operators, websockets.asyncio.client, msgspec
middle = time.process_time()
from rxresponses import *
print((middle - start) * 1000, (time.process_time() - middle) * 1000)
"""


def milliseconds(bytecode: Path) -> tuple[float, float]:
    """Return the times of the imports of the dependencies and of this library, with bytecode in a folder.

    A machine that runs tests often forbids bytecode; each import would then compile all modules again.
    """
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(bytecode)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, env=environment)
    others, own = map(float, done.stdout.split())
    return others, own


def test_all_names_cost_less_than_one_and_a_half_times_the_dependencies(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    first = milliseconds(tmp_path)
    runs = [milliseconds(tmp_path) for _ in range(RUNS)]
    others, own = (statistics.median(times) for times in zip(*runs, strict=True))
    ratio = statistics.median(own / others for others, own in runs)
    figure(
        f"from rxresponses import *: {own:.0f} ms, {ratio:.2f} of the {others:.0f} ms of its dependencies;"
        f" {first[1]:.0f} ms with compiling"
    )
    assert any(tmp_path.rglob("rxresponses/__init__.*.pyc"))
    assert ratio < 1.5
