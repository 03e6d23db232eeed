"""The page of measured scale is what its script writes."""

from __future__ import annotations

import json

from tests.ray_cluster.scale import page, rules, simulate
from tests.support.paths import ROOT


def test_the_page_has_the_figures() -> None:
    report = json.loads((ROOT / "docs/scale.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs/scale.md").read_text(encoding="utf-8") == page(report)


def test_the_parts_that_need_no_cluster() -> None:
    simulated = simulate(600, workers=3, seconds=12)
    assert 0.8 < simulated["used"] <= 1
    assert simulated["most"] <= 1.02
    assert all(microseconds > 0 for microseconds in rules(permits=100, rounds=1).values())
