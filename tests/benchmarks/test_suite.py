"""`python -m tests.benchmarks` with tiny numbers: each part runs, and no client fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .__main__ import main
from .suite.arguments import PARTS
from .suite.results import Report


@pytest.mark.parametrize("key", PARTS)
def test_a_part_of_the_suite(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], figure: Callable[[str], None]
) -> None:
    words = ["--quick", "--rounds", "1", "--only", key, "--output", str(tmp_path)]
    assert main(words) == 0, capsys.readouterr().out
    report = Report.from_json(json.loads((tmp_path / "speed.json").read_text(encoding="utf-8")))
    [part] = report.parts
    assert part.key == key
    assert all(row.missing or row.values for row in part.rows)
    assert any(part.spread_of(ratio) for ratio in part.ratios)
    figure("\n".join(capsys.readouterr().out.splitlines()[: 2 + len(part.rows) + len(part.ratios)]))
