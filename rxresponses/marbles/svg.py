"""Draws a layout as SVG text: one file without scripts, for light and dark, with texts for those who cannot see it."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from .clusters import BIN, LEVELS, Badge, Item, Single
from .diagram import SIGNS, Diagram, Ending, Marble
from .families import FAMILIES
from .layout import LEVEL, MARGIN, Label, Layout, PlacedRow, layout_of, left_out_text, noun_of
from .shapes import STYLE, palette, shape_of
from .texts import cells, fitted, number, seconds

WIDTH = 960
"""Pixels: the width of a picture if nothing else is asked for."""

_HALF_BAND = 9.0  # pixels
_TOP = 68.0  # pixels: where the lines of the axis begin


def svg_of(diagram: Diagram, *, width: int = WIDTH) -> str:
    """Return a diagram as an SVG file of this width in pixels.

    A band has the number of its marbles in `data-count`, as a single marble has it, so the sum is the number of events.
    """
    return "".join(_svg(layout_of(diagram, float(width))))


def _svg(layout: Layout) -> Iterator[str]:
    diagram, width, height = layout.diagram, _n(layout.width), _n(layout.height)
    title = diagram.title or "Marble diagram"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="rxm" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-labelledby="rxm-title rxm-desc">\n'
        f'<title id="rxm-title">{escape(title)}</title>\n<desc id="rxm-desc">{escape(_description(diagram))}</desc>\n'
    )
    yield f"<style>\n{palette('svg.rxm')}svg.rxm{{background:var(--bg)}}\n{STYLE}</style>\n<defs>\n"
    for family in _families(diagram):
        yield f'<g id="rxm-{family}">{shape_of(family)}</g>\n'
    yield "</defs>\n"
    yield f'<rect class="bg" x=".5" y=".5" width="{_n(layout.width - 1)}" height="{_n(layout.height - 1)}" rx="8"/>\n'
    yield _text(Label(MARGIN, 28, fitted(title, int((layout.width - 2 * MARGIN) / 8.5)), "start", "h"))
    about = f"{diagram.summary}. {diagram.remark}" if diagram.remark else diagram.summary
    yield _text(Label(MARGIN, 45, fitted(about, int((layout.width - 2 * MARGIN) / 6.6)), "start", "f"))
    yield from _axis(layout)
    for row in layout.rows:
        yield from _row(row, layout)
    if layout.left_out[0]:
        yield f'<g data-count="{layout.left_out[1]}">'
        yield f"{_text(Label(MARGIN, layout.axis + 14, left_out_text(layout), 'start', 'f')).strip()}</g>\n"
    for entry in layout.legend:
        y = entry.y
        yield '<g class="legend">'
        if entry.kind == "family":
            yield f'<use href="#rxm-{entry.name}" x="{_n(entry.x + 8)}" y="{_n(y)}" class="{entry.name}"/>'
        elif entry.kind == "wait":
            yield f'<path class="wait" d="M{_n(entry.x)} {_n(y)}h16"/>'
        else:
            yield _sign(Ending(0, entry.name), entry.x + 8, y, 8)
        yield f"{_text(Label(entry.x + 20, y + 4, entry.text, 'start', 'k')).strip()}</g>\n"
    yield "</svg>\n"


def _description(diagram: Diagram) -> str:
    words = [f"{diagram.summary}."]
    for row in diagram.rows[:20]:
        lane = f" on {row.lane_name}" if row.lane else ""
        ending = f"{SIGNS[row.ending.sign]}{f' ({row.ending.text})' if row.ending.text else ''}"
        words.append(f"{row.kind} {row.name}{lane}: {row.facts}; {ending}.")
    if len(diagram.rows) > 20:
        words.append(f"And {number(len(diagram.rows) - 20, 'more line')}.")
    return " ".join(words)


def _families(diagram: Diagram) -> list[str]:
    present = {marble.family for row in diagram.rows for marble in row.marbles}
    return [name for name in FAMILIES if name in present]


def _axis(layout: Layout) -> Iterator[str]:
    height = layout.axis - _TOP
    for cut in layout.cuts:
        wide = max(cut.end - cut.begin, 2.0)
        yield (
            f'<g class="cut"><title>{escape(f"nothing runs for {cut.text}, which is not drawn")}</title>'
            f'<rect x="{_n(cut.middle - wide / 2)}" y="{_n(_TOP)}" width="{_n(wide)}" height="{_n(height)}"/></g>\n'
        )
    for x in layout.ticks:
        yield f'<path class="grid" d="M{_n(x)} {_n(_TOP)}v{_n(height)}"/>\n'
    yield from map(_text, layout.axis_texts)


def _row(placed: PlacedRow, layout: Layout) -> Iterator[str]:
    row, y = placed.row, placed.y
    yield f'<g class="row {row.kind}" data-row={_attribute(row.name)}>\n'
    if row.kind == "stage":
        box = layout.width - 2 * MARGIN
        yield f'<rect class="box" x="{_n(MARGIN)}" y="{_n(placed.top)}" width="{_n(box)}" height="22" rx="5"/>'
    yield f'<path class="line" d="M{_n(placed.begin)} {_n(y)}H{_n(placed.end)}"/>'
    if row.kind != "other" and not row.marks:
        yield f'<path class="end" d="M{_n(placed.begin)} {_n(y - 4)}v8"/>'
    for mark, x in zip(row.marks, placed.marks, strict=True):
        yield _sign(mark, x, y, 11 if mark.sign == "subscribed" else 6)
    if placed.first_text is not None and row.first_text is not None:
        yield (
            f'<path class="wait" d="M{_n(placed.begin)} {_n(y)}H{_n(placed.first_text)}">'
            f"<title>first text after {seconds(row.first_text - row.begin)}</title></path>"
        )
    yield _sign(row.ending, placed.end, y, 5 if row.kind == "connection" else 11)
    yield "\n"
    for item in placed.items:
        yield _item(item, placed, layout.diagram)
    for label in placed.labels:
        yield _text(label)
    yield "</g>\n"


def _item(item: Item, placed: PlacedRow, diagram: Diagram) -> str:
    marbles = placed.row.marbles
    if isinstance(item, Single):
        marble = marbles[item.index]
        x, y = _n(MARGIN + item.x), _n(placed.y - item.level * LEVEL)
        return (
            f'<g class="marble" data-count="1"><title>{escape(_tooltip(marble, diagram))}</title>'
            f'<use href="#rxm-{marble.family}" x="{x}" y="{y}" class="{marble.family}"/></g>\n'
        )
    count = len(item.indices)
    if isinstance(item, Badge):
        center, middle = MARGIN + item.x, placed.y - LEVELS * LEVEL
        kinds = ", ".join(list(dict.fromkeys(marbles[index].kind for index in item.indices))[:5])
        text = f"+{count:,}"
        wide = max(16.0, cells(text) * 6 + 8)
        return (
            f'<g class="badge" data-count="{count}"><title>{escape(f"{count:,} more: {kinds}")}</title>'
            f'<rect x="{_n(center - wide / 2)}" y="{_n(middle - 7)}" width="{_n(wide)}" height="14" rx="7"/>'
            f'<text class="b m" x="{_n(center)}" y="{_n(middle + 3.5)}">{text}</text></g>\n'
        )
    first, last = marbles[item.indices[0]], marbles[item.indices[-1]]
    took = f" in {seconds(last.at - first.at)}" if diagram.has_times else ""
    bars: dict[str, list[str]] = {}
    for at, number_ in sorted(item.bars.items()):
        bars.setdefault(item.tints[at], []).append(_bar(at, number_, placed))
    paths = "".join(f'<path class="band {family}" d="{"".join(paths)}"/>' for family, paths in bars.items())
    return (
        f'<g data-count="{count}"><title>{escape(f"{count:,} {noun_of(placed.row, item)}{took}")}</title>{paths}</g>\n'
    )


def _bar(at: int, count: int, placed: PlacedRow) -> str:
    half = max(2.0, _HALF_BAND * count / placed.peak)
    return f"M{_n(MARGIN + (at + 0.5) * BIN)} {_n(placed.y - half)}v{_n(2 * half)}"


def _tooltip(marble: Marble, diagram: Diagram) -> str:
    when = f"{marble.at:.3f} s " if diagram.has_times else ""
    return f"{when}{marble.kind}{f': {marble.text}' if marble.text else ''}"


def _sign(ending: Ending, x: float, y: float, half: float) -> str:
    """Draw how a line ends, or a mark on it; each sign differs in its shape.

    `^` and `!` are what the marble diagrams of Rx have for subscribing and disposing.
    """
    left, up = _n(x), _n(y - half)
    cross, tip = half * 0.8, half * 0.5
    crossed = (
        f"M{_n(x - cross)} {_n(y - cross)}l{_n(2 * cross)} {_n(2 * cross)}"
        f"m0 {_n(-2 * cross)}l{_n(-2 * cross)} {_n(2 * cross)}"
    )
    shapes = {
        "completed": ("end", f"M{left} {up}v{_n(2 * half)}"),
        "incomplete": ("end", f"M{left} {up}v{_n(half * 0.75)}m0 {_n(half * 0.5)}v{_n(half * 0.75)}m-4 {_n(-half)}h8"),
        "failed": ("end bad", f"{crossed}M{left} {_n(y - half - 2)}v{_n(2 * half + 4)}"),
        "error": ("end bad", crossed),
        "disposed": ("end bang", f"M{left} {up}v{_n(half * 1.2)}m0 {_n(half * 0.5)}v{_n(half * 0.3)}"),
        "subscribed": ("end", f"M{_n(x - 4)} {_n(y + half)}l4 {_n(-half * 0.6)}l4 {_n(half * 0.6)}"),
        "open": (
            "end",
            f"M{_n(x - tip)} {_n(y - tip)}l{_n(tip)} {_n(tip)}l{_n(-tip)} {_n(tip)}",
        ),
    }
    style, path = shapes[ending.sign]
    text = f"{SIGNS[ending.sign]}{f': {ending.text}' if ending.text else ''}"
    return f'<path class="{style} sign-{ending.sign}" d="{path}"><title>{escape(text)}</title></path>'


def _text(label: Label) -> str:
    anchor = "" if label.anchor == "start" else f" {label.anchor[0]}"
    return f'<text class="{label.style}{anchor}" x="{_n(label.x)}" y="{_n(label.y)}">{escape(label.text)}</text>\n'


def _attribute(text: str) -> str:
    return quoteattr(text)


def _n(value: float) -> str:
    """Return a number of pixels in few characters."""
    return f"{value:.1f}".removesuffix(".0")
