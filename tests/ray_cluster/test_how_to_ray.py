from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rxresponses.testing import ResponsesServer
from tests.support.pages import blocks_of, environment
from tests.support.paths import ROOT


def test_the_program_of_the_page(tmp_path: Path) -> None:
    [program] = [
        block
        for block in blocks_of((ROOT / "docs/how-to/ray.md").read_text(encoding="utf-8"))
        if block.language == "python"
    ]
    script = tmp_path / "program.py"
    script.write_text(program.code, encoding="utf-8")
    with ResponsesServer(api_key="sk-test") as server:
        settings = environment(OPENAI_BASE_URL=server.url, OPENAI_API_KEY="sk-test")
        command = [sys.executable, str(script)]
        done = subprocess.run(command, capture_output=True, text=True, env=settings, timeout=120)
    assert done.returncode == 0, done.stderr
    *answers, count = [line for line in done.stdout.splitlines() if line.startswith("What") or line.isdigit()]
    assert len(answers) == 3
    assert all("You asked: What is " in answer for answer in answers)
    assert 3 <= int(count) <= 20
