"""`python -m tests.benchmarks` with tiny numbers: each part runs, and no client fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .__main__ import main
from .suite import plot
from .suite.arguments import PARTS, parse
from .suite.clients import Found, own, plans
from .suite.page import page
from .suite.results import Report, Row
from .suite.rounds import environment, run_client, serving


@pytest.mark.parametrize("key", PARTS)
def test_a_part_of_the_suite(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], figure: Callable[[str], None]
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `dev`")
    words = ["--quick", "--rounds", "1", "--only", key, "--output", str(tmp_path)]
    assert main(words) == 0, capsys.readouterr().out
    report = Report.from_json(json.loads((tmp_path / "speed.json").read_text(encoding="utf-8")))
    [part] = report.parts
    assert part.key == key
    assert all(row.missing or row.values for row in part.rows)
    assert any(part.spread_of(ratio) for ratio in part.ratios)
    assert (tmp_path / "speed.md").read_text(encoding="utf-8") == page(report)
    pictures = {path.name for path in tmp_path.iterdir()} & {"speed.png", "speed.svg"}
    assert len(pictures) == (2 if key in plot.PANELS else 0)
    figure("\n".join(capsys.readouterr().out.splitlines()[: 2 + len(part.rows) + len(part.ratios)]))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not show the resident memory")
def test_2000_responses_in_flight_take_under_12_kilobytes_each(figure: Callable[[str], None]) -> None:
    environ = environment()
    with serving(environ) as urls:
        figures = run_client(own("streams_rxresponses", {}, "memory", urls["plain"], "2000"), environ)
    figure(
        f"2,000 responses in flight: {figures['response']:,.0f} bytes each, {figures['connection']:,.0f} a connection"
    )
    assert figures["response"] < 12_000


def test_a_picture_of_all_panels(tmp_path: Path) -> None:
    """Also where peers were missing, a client has failed, and a round was disturbed."""
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `dev`")
    report = Report("2026-01-02", {"cores": "2 cores"}, {"Python": "3.12.1"}, {"rounds": 3}, [])
    nothing = dict.fromkeys(("openai", "ws", "zod"), "no --node-dir")
    found = Found("python", None, "not here", nothing, "not here")
    for plan in plans(parse([]), found, dict.fromkeys(("plain", "TLS", "compressed"), "ws://127.0.0.1:1/v1")):
        part = plan.empty()
        for place, row in enumerate(part.rows):
            row.values = [] if row.missing else [place + 2.0, place + 3.0, 1_000.0]
        report.parts.append(part)
    failed = report.parts[1].rows[-1]
    report.parts[1].rows[-1] = Row(failed.name, [None] * 3, ["ClientError: gone"] * 3)

    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        assert plot.save(report, folder) == [folder / "speed.png", folder / "speed.svg"]

    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
        assert 10_000 < path.stat().st_size < 150_000
    assert first.joinpath("speed.png").read_bytes().startswith(b"\x89PNG")
