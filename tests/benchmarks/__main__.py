"""`python -m tests.benchmarks`: this library against other clients, with a table and a plot."""

from __future__ import annotations

import datetime
import functools
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from .suite import machine, plot
from .suite.arguments import Settings, parse
from .suite.clients import find, plans
from .suite.page import page
from .suite.results import Report
from .suite.rounds import environment, measure, run_client, serving
from .suite.table import about, changes, part_lines


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print each part as soon as it is known, and write the files that were asked for."""
    settings = parse(words)
    old = Report.from_json(json.loads(settings.compare.read_text(encoding="utf-8"))) if settings.compare else None
    if settings.output is not None and find_spec("matplotlib") is None:
        sys.exit("`--output` draws a picture: install matplotlib, or the extra `dev`")
    report = run(settings)
    print("\n".join(about(report)))
    if old is not None:
        print(f"\n{changes(old, report)}")
    if settings.output is not None:
        write(report, settings.output)
    return 1 if report.has_failed else 0


def run(settings: Settings) -> Report:
    """Measure the parts, and print their tables."""
    report = Report(
        date=datetime.date.today().isoformat(),
        machine=machine.machine(),
        versions=machine.versions(settings.peer_python, settings.node_dir),
        settings={"rounds": settings.rounds},
        parts=[],
    )
    environ = environment()
    with serving(environ) as urls:
        for plan in plans(settings, find(settings), urls):
            part = measure(plan, settings.rounds, functools.partial(run_client, environ=environ))
            print("\n".join(part_lines(part)), flush=True)
            report.parts.append(part)
    return report


def write(report: Report, folder: Path) -> None:
    """Write the figures, the picture and the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "speed.json").write_text(json.dumps(report.to_json(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "speed.md").write_text(page(report), "utf-8")
    plot.save(report, folder)


if __name__ == "__main__":
    sys.exit(main())
