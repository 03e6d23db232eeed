"""The picture of a report.

    python -m tests.benchmarks.suite.plot docs/speed.json

draws it again beside its figures, without measuring.
"""

from __future__ import annotations

import io
import json
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .clients import BARE, NODE_OPENAI, OPENAI, OWN, ZOD, streams
from .results import Part, Ratio, Report, Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Of the palette of Okabe and Ito, which colour-blind readers can tell apart.  The background is opaque and light, so
# that the picture is the same on a dark page.
COLOURS = {OWN: "#0072B2", BARE: "#E69F00"}
OTHER, INK, FAINT = "#999999", "#222222", "#DDDDDD"
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that the picture is the same everywhere
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "rxresponses",  # the same figures give the same file
}
LABEL: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}  # over lines
PANELS = ("throughput", "latency", "scaling")
PEERS = (ZOD, NODE_OPENAI, BARE, OPENAI)


def save(report: Report, folder: Path) -> list[Path]:
    """Write the picture as PNG and as SVG; without any of its panels, write nothing."""
    if not any(report.part(key) for key in PANELS):
        return []
    from matplotlib import rc_context  # slow, and not needed to measure
    from PIL import Image

    picture, drawing = folder / "speed.png", folder / "speed.svg"
    with rc_context(STYLE), io.BytesIO() as data:
        figure = draw(report)
        figure.savefig(drawing, metadata={"Date": None, "Creator": None})
        figure.savefig(data, dpi=200)
        Image.open(data).convert("RGB").quantize(64).save(picture, optimize=True)  # a third of the bytes
    return [picture, drawing]


def draw(report: Report) -> Figure:
    """Draw the parts that were measured: throughput above, latency and scaling below it side by side."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    upper = [key for key in PANELS[:1] if report.part(key)]
    lower = [key for key in PANELS[1:] if report.part(key)]
    mosaic: list[Any] = [row * (2 // len(row)) for row in (upper, lower) if row]
    figure = Figure(figsize=(8, 0.9 + 2.8 * len(mosaic)), facecolor="white", layout="constrained")
    layout: Any = figure.get_layout_engine()
    below = (
        (0.14 if len(mosaic) > 1 else 0.24) if lower else 0.17
    )  # of the height: for the footer, and the key above it
    layout.set(h_pad=0.08, w_pad=0.08, hspace=0.06, rect=(0, below, 1, 1 - below))
    painters: dict[str, Callable[[Axes, Part], None]] = {
        "throughput": throughput,
        "latency": latency,
        "scaling": scaling,
    }
    for key, axes in figure.subplot_mosaic(mosaic).items():
        part = report.part(str(key))
        assert part is not None
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        painters[str(key)](axes, part)
    if lower:
        bars = [Patch(color=colour, label=f"{name} loop" if name == BARE else name) for name, colour in COLOURS.items()]
        figure.legend(
            handles=bars,
            loc="lower center",
            bbox_to_anchor=(0.5, 0.085 if len(mosaic) > 1 else 0.13),
            ncols=2,
            frameon=False,
        )
    figure.text(0.015, 0.015, footer(report), fontsize=8.5, color="#555555", linespacing=1.3)
    return figure


def throughput(axes: Axes, part: Part) -> None:
    """Bars of the rate of each client, as a ratio to ours in the same round."""
    axes.set_title("Throughput: one response, as fast as the client reads", loc="left", fontweight="bold", fontsize=12)
    ours = part.row(OWN).spread
    names = [OWN, *(peer for peer in PEERS if peer in {row.name for row in part.rows})]
    relative = {name: part.spread_of(Ratio("", name, OWN)) for name in names}
    longest = max([1.0, *(spread.median for spread in relative.values() if spread)])
    for place, (name, spread) in enumerate(relative.items()):
        if spread is None:
            axes.text(0.01, place, "not measured", va="center", color="#555555")
            continue
        bar(axes, place, spread if name != OWN else Spread(1, 1, 1), COLOURS.get(name, OTHER))
        said = (
            faster(part.spread_of(Ratio("", OWN, name)))
            if name != OWN
            else f"{ours.median:,.0f} deltas/s"
            if ours
            else ""
        )
        axes.text(min(spread.high, 1.5 * longest) + 0.02, place, said, va="center", bbox=LABEL)
    axes.set_yticks(range(len(names)), [f"{name} loop" if name == BARE else name for name in names])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    highest = max([1.0, *(spread.high for spread in relative.values() if spread)])
    axes.set_xlim(0, min(1.32 * highest, 2 * longest))  # a round that was disturbed must not squeeze the bars
    axes.set_xlabel(f"rate as a ratio to that of {OWN} in the same round")
    axes.grid(axis="x", color=FAINT)


def latency(axes: Axes, part: Part) -> None:
    """Bars of the median and the 99th percentile."""
    axes.set_title("Latency of paced streams", loc="left", fontweight="bold", fontsize=12)
    spreads = [row.spread for row in part.rows if row.spread is not None]
    highest = max([spread.high for spread in spreads], default=1.0)
    limit = min(1.3 * highest, 3 * max([spread.median for spread in spreads], default=1.0))
    for group, kind in enumerate(("p50", "p99")):
        ratio = part.spread_of(Ratio("", f"{OWN}, {kind}", f"{BARE}, {kind}"))
        for place, client in enumerate((OWN, BARE)):
            spread = part.row(f"{client}, {kind}").spread
            if spread is None:
                continue
            bar(axes, group + 0.4 * place, spread, COLOURS[client], height=0.36)
            if client == OWN and ratio is not None:
                axes.annotate(
                    times(ratio.median),
                    (min(spread.high, 0.75 * limit), group),
                    (6, 0),
                    textcoords="offset points",
                    va="center",
                    bbox=LABEL,
                )
    axes.set_yticks([0.2, 1.2], ["p50", "p99"])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, limit)
    axes.set_xlabel("µs from the server's write to on_next")
    axes.grid(axis="x", color=FAINT)


def scaling(axes: Axes, part: Part) -> None:
    """Lines of the rate of many streams, as a ratio to the rate of one stream."""
    axes.set_title("Rate of all streams together", loc="left", fontweight="bold", fontsize=12)
    axes.set_xscale("log")
    found = [re.fullmatch(rf"{OWN}, ([\d,]+) streams?", row.name) for row in part.rows]
    counts = [int(match[1].replace(",", "")) for match in found if match is not None]
    highest = 1.0
    for client, marker in ((OWN, "o"), (BARE, "s")):
        one = f"{client}, {streams(counts[0])}"
        spreads = {count: part.spread_of(Ratio("", f"{client}, {streams(count)}", one)) for count in counts}
        known = {count: spread for count, spread in spreads.items() if spread is not None}
        highest = max([highest, *(min(spread.high, 1.5 * spread.median) for spread in known.values())])
        medians = [spread.median for spread in known.values()]
        beside = 1.0 if client == OWN else 1.1  # so that no whisker hides another
        axes.errorbar(
            [count * beside for count in known],
            medians,
            whiskers(list(known.values())),
            marker=marker,
            color=COLOURS[client],
            linewidth=2,
            capsize=3,
        )
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, 1.1 * highest)
    axes.set_xlabel("streams")
    axes.set_ylabel("rate, one stream = 1")
    axes.grid(axis="y", color=FAINT)


def bar(axes: Axes, place: float, spread: Spread, colour: str, height: float = 0.62) -> None:
    """Draw a horizontal bar, with a whisker from the minimum to the maximum."""
    axes.barh(place, spread.median, height, color=colour)
    if spread.low != spread.high:
        axes.errorbar(spread.median, place, xerr=whiskers([spread]), fmt="none", ecolor=INK, elinewidth=1.2, capsize=3)


def whiskers(spreads: Sequence[Spread]) -> list[list[float]]:
    """Return how far the whiskers reach below and above the medians."""
    below = [spread.median - spread.low for spread in spreads]
    return [below, [spread.high - spread.median for spread in spreads]]


def faster(spread: Spread | None) -> str:
    """Return in words how a peer compares, from our rate as a ratio to its rate."""
    if spread is None:
        return ""
    return f"{times(spread.median)} slower" if spread.median >= 1 else f"{times(1 / spread.median)} faster"


def times(ratio: float) -> str:
    return f"{ratio:.2f} ×" if ratio < 10 else f"{ratio:.0f} ×"  # noqa: RUF001 - the sign is meant


def footer(report: Report) -> str:
    """Return what the figures are, where they were measured, and with what."""
    kept = ("Python", "rxresponses", "websockets", "reactivex", "msgspec", "Node", "ws", "zod")
    versions = [f"{name}\N{NO-BREAK SPACE}{report.versions[name]}" for name in kept if name in report.versions]
    openai = [report.versions[name] for name in ("openai (Python)", "openai (Node)") if name in report.versions]
    versions += [f"openai {' and '.join(openai)}".replace(" ", "\N{NO-BREAK SPACE}")] if openai else []
    where = [report.machine[name] for name in ("processor", "cores", "system") if name in report.machine]
    what = f"Medians of {report.settings['rounds']} rounds, with minimum and maximum.  {report.date}"
    return "\n".join([f"{what}, {', '.join(where)}", *textwrap.wrap(", ".join(versions), 115)])


def main(path: Path) -> None:
    report = Report.from_json(json.loads(path.read_text(encoding="utf-8")))
    print(*save(report, path.parent), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
