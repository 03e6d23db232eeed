"""Places the lines of a diagram on a picture of a given width: what is where, in pixels, with the texts that fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .axis import step_of, ticks
from .clusters import LEVELS, MIXED, PITCH, Badge, Band, Item, Single, clusters
from .diagram import SIGNS, Diagram, Marble, Row
from .families import FAMILIES
from .texts import cells, fitted, number, piece, seconds

MARGIN = 24.0
"""Pixels at the left and at the right of the lines."""

LEVEL = 17.0
"""Pixels from one level of a pile to the next."""

CELL = 6.6
"""Pixels: the width of a character of the monospaced font, at its size of 11 pixels."""

_HEADER = 76.0  # pixels, with the axis
_HEADING = 20.0  # the texts above a line
_OPERATOR = 26.0  # the box with the name of an operator
_ABOVE = 12.0  # half a marble and a little more
_TEXT = 20.0  # the text below a line
_COUNT = 14.0  # the second one, of a band
_BELOW = 12.0
_CONNECTION = 22.0
_LEGEND_LINE = 20.0
_TICK = 90.0
_BEHIND = 13.0  # from the last marble to the sign of the end, where both have the same time
_GAP = 8.0  # between two texts
_SHORTEST_NAME = 12  # cells
_LONGEST = 40  # cells of the text of a marble
_SHORTEST = 4  # cells: a text that is cut to fewer says nothing
_MOST_ROWS = 200
_MOST_SINGLES = 3000


@dataclass(frozen=True, slots=True)
class Label:
    """A text; `anchor` is where its `x` is: `start`, `middle` or `end`."""

    x: float
    y: float
    text: str
    anchor: str = "middle"
    style: str = "t"


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """A line with its place: `top` is the upper edge, `y` the line itself."""

    row: Row
    top: float
    y: float
    begin: float
    end: float
    first_text: float | None
    marks: list[float]
    items: list[Item]
    labels: list[Label]
    peak: int
    """The number of marbles in the highest bar."""


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """What a shape, a sign or a colour means."""

    x: float
    y: float
    kind: str
    """`family`, `sign` or `wait`."""
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Cut:
    """An idle time that is not drawn: where it would be, and how long it is."""

    begin: float
    end: float
    text: str

    @property
    def middle(self) -> float:
        return (self.begin + self.end) / 2


@dataclass(frozen=True, slots=True)
class Layout:
    """The whole picture."""

    diagram: Diagram
    width: float
    height: float
    rows: list[PlacedRow]
    ticks: list[float]
    axis_texts: list[Label]
    cuts: list[Cut]
    axis: float
    legend: list[LegendEntry]
    left_out: tuple[int, int]
    """The numbers of lines, and of their marbles, for which the picture has no room."""


def layout_of(diagram: Diagram, width: float) -> Layout:
    """Place a diagram on a picture of this width."""
    room = width - 2 * MARGIN
    place, origin = diagram.breaks.place, diagram.breaks.place(diagram.begin)
    span = place(diagram.end) - origin
    scale = room / span if span > 0 else 0.0

    def x_of(at: float) -> float:
        return MARGIN + (place(min(max(at, diagram.begin), diagram.end)) - origin) * scale

    top = _HEADER
    rows: list[PlacedRow] = []
    left = _MOST_SINGLES
    has_lanes = any(row.lane is not None for row in diagram.rows)
    for row in diagram.rows[:_MOST_ROWS]:
        xs = [(place(marble.at) - origin) * scale for marble in row.marbles]
        items = clusters(row.marbles, xs, singles=left > 0)
        left -= sum(not isinstance(item, Band) for item in items)
        placed, top = _place(row, items, top, x_of, width, has_lanes, diagram.has_times)
        rows.append(placed)
    rest = diagram.rows[_MOST_ROWS:]
    left_out = len(rest), sum(len(row.marbles) for row in rest)
    axis = top + 4
    legend, height = _legend(diagram, rows, axis + (26 if rest else 10), width)
    step = step_of(span, int(room // _TICK), has_times=diagram.has_times)
    cuts = [Cut(x_of(begin), x_of(end), seconds(end - begin)) for begin, end in diagram.breaks.spans]
    parts = diagram.breaks.parts(diagram.begin, diagram.end)
    marks = [tick for part in parts for tick in ticks(*part, step, has_times=diagram.has_times)]
    texts = _axis_texts(cuts, [(x_of(tick.at), tick.text) for tick in marks], width)
    return Layout(diagram, width, height, rows, [x_of(tick.at) for tick in marks], texts, cuts, axis, legend, left_out)


def _axis_texts(cuts: Sequence[Cut], marks: Sequence[tuple[float, str]], width: float) -> list[Label]:
    """Return the texts of the axis: of the cuts, and of those ticks that do not touch another text."""
    taken: list[tuple[float, float]] = []
    labels: list[Label] = []
    for middle, text in [*((cut.middle, f"({cut.text})") for cut in cuts), *marks]:
        half = cells(text) * CELL / 2
        x = min(max(middle, half + 4), width - half - 4)
        if all(abs(x - other) >= half + others + _GAP for other, others in taken):
            taken.append((x, half))
            labels.append(Label(x, _HEADER - 13, text, "middle", "k"))
    return labels


def _place(
    row: Row,
    items: list[Item],
    top: float,
    x_of: Callable[[float], float],
    width: float,
    has_lanes: bool,
    has_times: bool,
) -> tuple[PlacedRow, float]:
    is_small = row.kind == "connection"
    heading = _OPERATOR if row.kind == "stage" else _HEADING
    y = top + heading + (0 if is_small else _ABOVE + LEVEL * _highest(items))
    end = max(x_of(row.ending.at), x_of(row.begin))
    if any(MARGIN + (item.end if isinstance(item, Band) else item.x) > end - PITCH / 2 for item in items):
        end += _BEHIND
    labels = _headings(row, top, width, has_lanes)
    has_second_line = False
    if not is_small:
        below, has_second_line = _texts_below(row, items, y, end, width, has_times)
        labels += below
    bottom = y + (_CONNECTION - _HEADING + 8 if is_small else _TEXT + _COUNT * has_second_line + _BELOW)
    peak = max((count for item in items if isinstance(item, Band) for count in item.bars.values()), default=1)
    first_text = None if row.first_text is None else x_of(row.first_text)
    marks = [x_of(mark.at) for mark in row.marks]
    return PlacedRow(row, top, y, x_of(row.begin), end, first_text, marks, items, labels, peak), bottom


def _highest(items: Sequence[Item]) -> int:
    levels = [item.level if isinstance(item, Single) else LEVELS if isinstance(item, Badge) else 0 for item in items]
    return max(levels, default=0)


def _headings(row: Row, top: float, width: float, has_lanes: bool) -> list[Label]:
    """Return the texts above a line: what it is at the left, its figures at the right; the former is cut to fit."""
    y = top + 12
    if row.kind == "stage":
        y = top + 15
        room = int((width - 2 * MARGIN) / CELL) - 2 * len(row.facts) - 6
        name = Label(width / 2, y, fitted(row.name, max(room, 12)), "middle", "o")
        return [name, Label(width - MARGIN - 8, y, row.facts, "end", "f")]
    words = [row.name]
    if row.kind == "connection":
        words[0] = f"connection {row.name}"
    elif row.lane is not None:
        words.append(row.lane_name)
    elif has_lanes:
        words.append("default lane")
    whole = int((width - 2 * MARGIN) / CELL)
    facts = fitted(row.facts, whole - min(cells(words[0]), _SHORTEST_NAME) - 2)
    room = whole - cells(facts) - 2
    shown = fitted(words[0], room)
    labels = [Label(MARGIN, y, shown, "start", "n")]
    rest = " · ".join(filter(None, (*words[1:], row.note if row.kind != "connection" else "")))
    taken = cells(shown) + 2
    if rest and room - taken >= _SHORTEST:
        labels.append(Label(MARGIN + taken * CELL, y, fitted(rest, room - taken), "start", "f"))
    return [*labels, Label(width - MARGIN, y, facts, "end", "f")]


def _texts_below(
    row: Row, items: Sequence[Item], y: float, end: float, width: float, has_times: bool
) -> tuple[list[Label], bool]:
    """Return the texts below a line, and whether there is a second line of them: numbers of bands, and an error."""
    labels: list[Label] = []
    limit = width - 4
    if row.ending.text:
        shown = fitted(row.ending.text, int((width - 2 * MARGIN) / CELL))
        taken = cells(shown) * CELL
        right = min(max(end + 6, MARGIN + taken), width - MARGIN + 6)
        labels.append(Label(right, y + _TEXT + _COUNT, shown, "end", "x"))
        limit = right - taken - _GAP
    labels += _counts(row, items, y, limit, has_times)
    has_second_line = bool(labels)
    columns = list(_columns(row.marbles, items))
    free = 4.0
    for number_, (begin, last, words, is_band) in enumerate(columns):
        following = columns[number_ + 1][0] if number_ + 1 < len(columns) else width
        if is_band:
            begin = max(begin, free)
            shown = _enough(
                words.lstrip(), int((min(max(last, begin + 2 * CELL), following - PITCH / 2) - begin) / CELL)
            )
            if shown:
                labels.append(Label(begin, y + _TEXT, shown, "start"))
                free = begin + cells(shown) * CELL + _GAP
            continue
        right = (following + begin) / 2 if number_ + 1 < len(columns) else width - 4
        shown = _enough(words, min(int((right - free) / CELL), _LONGEST))
        if shown:
            taken = cells(shown) * CELL
            left = min(max(begin - taken / 2, free), right - taken)
            labels.append(Label(left, y + _TEXT, shown, "start"))
            free = left + taken + _GAP
    return labels, has_second_line


def _enough(text: str, room: int) -> str:
    """Return a text that fits, an empty text where only a meaningless part of it would fit."""
    if cells(text) <= room:
        return text
    return fitted(text, room) if room > _SHORTEST else ""


def _columns(marbles: Sequence[Marble], items: Sequence[Item]) -> Iterator[tuple[float, float, str, bool]]:
    """Yield the places of texts from left to right: first and last x, the text, and whether it is a band."""
    bands = [item for item in items if isinstance(item, Band)]
    found: list[tuple[float, float, str, bool]] = [
        (MARGIN + band.begin, MARGIN + band.end, _words(marbles, band), True) for band in bands
    ]
    piles: list[list[tuple[float, int, int]]] = []
    for item in items:
        if isinstance(item, Band):
            continue
        x = MARGIN + item.x
        index, count = (item.index, 1) if isinstance(item, Single) else (item.indices[0], len(item.indices))
        if piles and x - piles[-1][0][0] < PITCH:
            piles[-1].append((x, index, count))
        else:
            piles.append([(x, index, count)])
    for pile in piles:
        more = sum(count for _, _, count in pile) - 1
        text = marbles[pile[0][1]].text
        words = piece(text.strip() or text) if text else ""
        found.append((pile[0][0], pile[0][0], f"{fitted(words, 18)} +{more}".strip() if more else words, False))
    found.sort(key=lambda column: column[0])
    yield from found


def _words(marbles: Sequence[Marble], band: Band) -> str:
    """Return the text of which a band has the pieces, as much of it as can be shown."""
    room = int((band.end - band.begin) / CELL) + 2
    parts: list[str] = []
    for index in band.indices:
        parts.append(marbles[index].text)
        room -= len(parts[-1]) + 1
        if room < 0:
            break
    return ("" if marbles[band.indices[0]].is_piece else " ").join(parts)


def _counts(row: Row, items: Sequence[Item], y: float, limit: float, has_times: bool) -> list[Label]:
    labels = []
    bands = [item for item in items if isinstance(item, Band)]
    free = 0.0
    for number_, band in enumerate(bands):
        x = max(MARGIN + band.begin, free)
        following = MARGIN + bands[number_ + 1].begin - _GAP if number_ + 1 < len(bands) else limit
        took = row.marbles[band.indices[-1]].at - row.marbles[band.indices[0]].at
        count = len(band.indices)
        full = f"{count:,} {noun_of(row, band)}"
        rated = f"{full} in {seconds(took)}" if has_times else full
        shown = next(
            (text for text in (rated, full, f"{count:,}x") if x + cells(text) * CELL <= min(following, limit)), ""
        )
        if shown:
            labels.append(Label(x, y + _TEXT + _COUNT, shown, "start", "c"))
            free = x + cells(shown) * CELL + _GAP
    return labels


def noun_of(row: Row, band: Band) -> str:
    """Return what a band has many of."""
    if row.kind == "stage":
        return "values"
    if band.family == MIXED:
        return "events"
    return f"{band.family.removesuffix('s')} deltas" if row.marbles[band.indices[0]].is_piece else band.family


def _legend(diagram: Diagram, rows: Sequence[PlacedRow], top: float, width: float) -> tuple[list[LegendEntry], float]:
    """Return the entries for what is in the picture, and the height of the whole picture."""
    counts: dict[str, int] = {}
    signs: set[str] = set()
    for row in diagram.rows:
        signs.update(end.sign for end in (row.ending, *row.marks))
        for marble in row.marbles:
            counts[marble.family] = counts.get(marble.family, 0) + 1
    wanted = [("family", name, f"{name} {counts[name]:,}") for name in FAMILIES if name in counts]
    if any(row.first_text is not None for row in rows):
        wanted.append(("wait", "wait", "time to first text"))
    wanted += [("sign", name, text) for name, text in SIGNS.items() if name in signs]
    entries: list[LegendEntry] = []
    x, y = MARGIN, top + _LEGEND_LINE / 2 + 8
    for kind, name, text in wanted:
        taken = 20 + cells(text) * CELL + 14
        if x + taken > width - MARGIN + 14 and x > MARGIN:
            x, y = MARGIN, y + _LEGEND_LINE
        entries.append(LegendEntry(x, y, kind, name, text))
        x += taken
    return entries, y + _LEGEND_LINE


def left_out_text(layout: Layout) -> str:
    """Return what is said of the lines for which the picture has no room."""
    rows, marbles = layout.left_out
    return f"{number(rows, 'more line')} with {number(marbles, 'event')}: select lanes or a time to see them"
