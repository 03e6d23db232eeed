"""A report as text."""

from __future__ import annotations

from collections.abc import Iterator

from .clients import BARE
from .results import Part, Report, Spread

NAME = 58  # characters


def table(report: Report) -> str:
    """Return all figures, then where and with what they were measured."""
    return "\n".join([*(line for part in report.parts for line in part_lines(part)), *about(report)])


def part_lines(part: Part) -> Iterator[str]:
    """Return the lines of one part: the figures, and below them the ratios."""
    better = "more" if part.more_is_better else "less"
    yield f"{part.title} ({part.unit}; {better} is better)"
    yield f"  {'':{NAME}} {'median':>10} {'min':>10} {'max':>10}"
    for row in part.rows:
        yield _line(row.name, row.spread, row.trouble)
    for ratio in part.ratios:
        yield _line(ratio.name, part.spread_of(ratio), part.trouble_of(ratio), ratio=True)
    yield ""


def about(report: Report) -> list[str]:
    """Return where, when and with what the figures were measured."""
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items())
    return [
        f"{BARE}: the receive loop of the package websockets with json.loads.  Ratios: of figures of the same round.",
        settings,
        ", ".join(report.machine.values()),
        ", ".join(f"{name} {version}" for name, version in report.versions.items()),
        report.date,
    ]


def changes(old: Report, new: Report) -> str:
    """Return how the ratios have changed from one report to another: only ratios survive a change of the machine."""
    lines = [f"Changes of the ratios since {old.date}", f"  {'':{NAME}} {'old':>10} {'new':>10} {'new/old':>10}"]
    for part in new.parts:
        before = old.part(part.key)
        for ratio in part.ratios:
            if before is None or ratio not in before.ratios:
                continue
            was, now = before.spread_of(ratio), part.spread_of(ratio)
            if was is not None and now is not None:
                change = now.median / was.median
                lines.append(f"  {ratio.name:{NAME}} {was.median:>10.2f} {now.median:>10.2f} {change:>10.2f}")
    return "\n".join(lines)


def _line(name: str, spread: Spread | None, trouble: str, *, ratio: bool = False) -> str:
    numbers = [] if spread is None else [spread.median, spread.low, spread.high]
    columns = "".join(f" {number(value, ratio=ratio):>10}" for value in numbers)
    return f"  {name:{NAME}}{columns}{'  ' if trouble else ''}{trouble}"


def number(value: float, *, ratio: bool = False) -> str:
    """Return a number with as many digits as mean something."""
    if ratio:
        return f"{value:.2f}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
