from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rxresponses.batch.lines import digest
from rxresponses.testing import ResponsesServer

LINES = 1_000_000
STATUS = Path("/proc/self/status")
# The peak that `getrusage` returns would include that of the parent process.
PROGRAM = f"""
import pathlib, sys
from rxresponses.cli.main import main
code = main(sys.argv[1:])
print(pathlib.Path("{STATUS}").read_text())
raise SystemExit(code)
"""


def resume(folder: Path, lines: int, url: str, *options: str) -> tuple[float, float]:
    """Run a batch of which one line is missing; return its peak memory in MB, and seconds."""
    requests, results = folder / f"{lines}.jsonl", folder / f"{lines}.out"
    with requests.open("wb") as asked, results.open("wb") as answered:
        for number in range(1, lines + 1):
            line = b'{"model":"m","input":"question %d"}' % number
            asked.write(line + b"\n")
            if number != lines // 2:
                answered.write(b'{"line":%d,"digest":"%s","response":{"id":"r"}}\n' % (number, digest(line).encode()))
    start = time.monotonic()
    command = [sys.executable, "-c", PROGRAM, "batch", str(requests), "-o", str(results), "--url", url, *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.monotonic() - start
    peak = re.search(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert peak is not None
    with results.open("rb") as answered:
        assert sum(1 for _ in answered) == lines
    return int(peak[1]) * 1024 / 1e6, seconds


@pytest.mark.skipif(not STATUS.exists(), reason="this system does not show the peak of memory")
def test_a_file_of_a_million_lines_takes_two_bytes_a_line(tmp_path: Path, figure: Callable[[str], None]) -> None:
    with ResponsesServer() as server:
        few, _ = resume(tmp_path, 10, server.url)
        many, seconds = resume(tmp_path, LINES, server.url)
        assert len(server.requests) == 2
    figure(
        f"batch: {LINES:,} lines, all but one answered before: done in {seconds:.1f} s, peak memory {many:.1f} MB, "
        f"{(many - few) * 1e6 / LINES:.1f} bytes a line over a file of 10"
    )
    assert (many - few) * 1e6 / LINES < 8


@pytest.mark.skipif(not STATUS.exists(), reason="this system does not show the peak of memory")
def test_equal_lines_are_found_in_little_memory(tmp_path: Path, figure: Callable[[str], None]) -> None:
    count = LINES // 10
    with ResponsesServer() as server:
        few, _ = resume(tmp_path, 10, server.url, "--dedupe", "--in-order")
        many, seconds = resume(tmp_path, count, server.url, "--dedupe", "--in-order")
    figure(
        f"batch --dedupe --in-order: {count:,} different lines, all but one answered before: done in {seconds:.1f} s, "
        f"{(many - few) * 1e6 / count:.1f} bytes a line over a file of 10"
    )
    assert (many - few) * 1e6 / count < 80
