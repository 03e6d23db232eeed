"""Where lines, marbles and texts are, for a width in pixels."""

from __future__ import annotations

import itertools

import pytest

from rxresponses.marbles.clusters import Band
from rxresponses.marbles.layout import CELL, LEVEL, MARGIN, Label, Layout, layout_of, left_out_text
from rxresponses.marbles.rows import diagram_of
from rxresponses.marbles.texts import cells
from rxresponses.recording.format import ConnectionRecord, EndRecord, Record

from .builders import event, large, recording, request, session, stage, text


def layout(*records: Record, width: float = 960, has_times: bool = True) -> Layout:
    return layout_of(diagram_of(recording(*records, has_times=has_times)), width)


def texts(found: Layout, row: int = 0, style: str = "t") -> list[str]:
    return [label.text for label in found.rows[row].labels if label.style == style]


def extent(label: Label) -> tuple[float, float]:
    width = cells(label.text) * CELL
    begin = label.x - {"start": 0.0, "middle": width / 2, "end": width}[label.anchor]
    return begin, begin + width


def test_the_time_is_the_place() -> None:
    found = layout(
        *(request(0), text(1), text(2), text(4), EndRecord(4.5, "r1", "completed")),
        *(request(4, "r2"), EndRecord(8, "r2", "completed")),
        width=848,
    )
    row = found.rows[0]
    assert (row.begin, row.first_text, row.end) == (MARGIN, MARGIN + 100, MARGIN + 450)
    assert found.ticks == [MARGIN + 100 * number for number in range(9)]
    assert [label.text for label in found.axis_texts] == [f"{number} s" for number in range(9)]


def test_texts_are_below_their_marbles() -> None:
    found = layout(request(0), text(1, "Hello"), text(2, "big"), text(3, "world"), request(4, "r2"))
    assert texts(found) == ["Hello", "big", "world"]
    for label, place in zip([one for one in found.rows[0].labels if one.style == "t"], (252, 480, 708), strict=True):
        begin, end = extent(label)
        assert begin <= place <= end
        assert label.y > found.rows[0].y


def test_texts_are_cut_or_left_out_where_they_do_not_fit() -> None:
    close = [text(1 + number * 0.3, "wonderful") for number in range(3)]
    found = layout(request(0), *close, text(9, "far"), request(12, "r2"), width=500)
    assert texts(found)[-1] == "far"
    assert len(texts(found)) < 4


@pytest.mark.parametrize("width", [300, 400, 960, 1600])
@pytest.mark.parametrize("which", [session, lambda: large(500)])
def test_no_texts_overlap_and_none_is_outside(width: int, which: object) -> None:
    assert callable(which)
    found = layout_of(diagram_of(which()), width)
    for row in found.rows:
        lines: dict[float, list[tuple[float, float]]] = {}
        for label in row.labels:
            if row.row.kind == "stage" and label.style in "of":
                continue  # the name is in the middle of the box, and is cut
            lines.setdefault(label.y, []).append(extent(label))
        for line in lines.values():
            line.sort()
            assert all(one[1] <= other[0] for one, other in itertools.pairwise(line)), (row.row.name, line)
            assert line[0][0] >= 0
            assert line[-1][1] <= width + CELL


def test_a_pile_needs_height() -> None:
    one = layout(request(0), event(1, "response.created"), request(2, "r2"))
    three = layout(request(0), *[event(1, "response.created")] * 3, request(2, "r2"))
    assert three.rows[0].y - one.rows[0].y == 2 * LEVEL
    assert texts(three) == ["created +2"]


def test_many_at_once_have_a_number() -> None:
    found = layout(request(0), *[event(1, "response.created")] * 9, request(2, "r2"))
    assert texts(found) == ["created +8"]


def test_a_band_has_its_text_and_its_number() -> None:
    found = layout(request(0), *[text(1 + number / 100, "word ") for number in range(100)], request(2, "r2"))
    assert texts(found)[0].startswith("word word word")
    assert texts(found, style="c") == ["100 text deltas in 990 ms"]
    assert found.rows[0].peak == 1


def test_the_number_of_a_band_is_short_where_the_room_is() -> None:
    deltas = [text(1 + number / 1000, "w") for number in range(9)]
    reasoning = [event(1.09 + n / 1000, "response.reasoning_text.delta", delta="x") for n in range(9)]
    long = [event(1.4 + n / 1000, "response.reasoning_text.delta", delta="x") for n in range(9)]
    found = layout(request(0), *deltas, *reasoning, *long, request(1.9, "r2"))
    assert texts(found, style="c") == ["9x", "9 reasoning deltas", "9 reasoning deltas in 8 ms"]
    assert texts(layout(request(0), *deltas, request(1.01, "r2"), width=300), style="c") == ["9x"]


def test_a_number_of_a_band_is_left_out_without_room() -> None:
    error = {"type": "E" * 90, "message": ""}
    found = layout(request(0), *[text(1 + n / 1000) for n in range(9)], EndRecord(2, "r1", "error", error), width=400)
    assert texts(found, style="c") == []


def test_numbers_without_times() -> None:
    records = [text(0) for _ in range(300)]
    mixed = [event(0, f"response.{kind}") for _ in range(150) for kind in ("created", "output_item.added")]
    assert texts(layout(*records, has_times=False), style="c") == ["300 text deltas"]
    assert texts(layout(*mixed, has_times=False), style="c") == ["300 events"]
    assert texts(layout(*mixed, has_times=False))[0].startswith("created item added created")
    same = [event(0, "response.created") for _ in range(300)]
    assert texts(layout(*same, has_times=False), style="c") == ["300 lifecycle"]


def test_a_band_may_have_less_text_than_room() -> None:
    found = layout(request(0), *[text(1 + n / 50, "") for n in range(9)], text(1.9, "end"), request(3, "r2"))
    assert texts(found) == ["end"]


def test_values_of_operators() -> None:
    found = layout(request(0), *[stage(1 + number / 100, "next", "v") for number in range(50)], request(3, "r2"))
    assert texts(found, 1, "c") == ["50 values in 490 ms"]
    assert texts(found, 1, "o") == ["text_deltas"]


def test_headings() -> None:
    long = "a question that is so long that it does not fit into the picture " * 9
    found = layout(
        request(0, "r1", "a", model="gpt-5", input=long), request(1, "r2"), ConnectionRecord(1, "c1", "open")
    )
    assert texts(found, 0, "n") == ["connection c1"]
    assert texts(found, 1, "n") == ["r1"]
    assert texts(found, 1, "f")[0].startswith("lane a · gpt-5 “a question")
    assert texts(found, 1, "f")[0].endswith("…”")
    assert texts(found, 2, "f")[0] == "default lane"
    narrow = layout(request(0, "r" * 90, "a"), text(1, name="r" * 90), width=200)
    assert cells(texts(narrow, 0, "n")[0]) <= 12
    assert texts(narrow, 0, "f") == ["first te…"]


def test_an_error_has_a_line_of_its_own() -> None:
    found = layout(request(0), text(1, "Hi"), EndRecord(2, "r1", "error", {"type": "E", "message": "lost"}))
    (error,) = [label for label in found.rows[0].labels if label.style == "x"]
    assert error.text == "E: lost"
    assert error.y > max(label.y for label in found.rows[0].labels if label.style == "t")


def test_the_end_is_behind_the_last_marble() -> None:
    found = layout(request(0), event(2, "response.completed"), EndRecord(2, "r1", "completed"))
    assert found.rows[0].end > 960 - MARGIN + 8
    bands = layout(request(0), *[text(2) for _ in range(9)], EndRecord(2, "r1", "completed"))
    assert bands.rows[0].end > 960 - MARGIN + 8
    apart = layout(request(0), event(1, "response.created"), EndRecord(2, "r1", "completed"))
    assert apart.rows[0].end == 960 - MARGIN


def test_all_at_one_time() -> None:
    found = layout(*[text(5) for _ in range(3)])
    assert [round(item.x) for item in found.rows[0].items if not isinstance(item, Band)] == [0, 0, 0]


def test_idle_times_are_cut() -> None:
    first: list[Record] = [request(0), text(0.5), EndRecord(1, "r1", "completed")]
    second: list[Record] = [request(1001, "r2"), text(1001.5, name="r2"), EndRecord(1002, "r2", "completed")]
    found = layout(*first, *second, width=1048)
    (cut,) = found.cuts
    assert cut.text == "16 min 40 s"
    assert 20 < cut.end - cut.begin < 40
    begin, end = found.rows[1].begin, found.rows[1].end
    assert end - begin == pytest.approx(found.rows[0].end - found.rows[0].begin)
    assert cut.begin < begin == cut.end
    assert "(16 min 40 s)" in [label.text for label in found.axis_texts]


def test_texts_of_the_axis_do_not_overlap() -> None:
    records: list[Record] = []
    for number in range(9):
        records += [request(9 * number, f"r{number}"), text(9 * number + 0.1, name=f"r{number}")]
    for width in (300, 960):
        found = layout(*records, width=width)
        assert len(found.cuts) == 8
        extents = sorted(map(extent, found.axis_texts))
        assert all(one[1] < other[0] for one, other in itertools.pairwise(extents))
        assert extents[0][0] >= 0
        assert extents[-1][1] <= width


def test_the_text_of_a_marble_is_not_too_long() -> None:
    assert cells(texts(layout(request(0), text(1, "x" * 200), request(2, "r2")))[0]) == 40


def test_the_legend_has_what_is_there() -> None:
    found = layout(request(0), event(1, "response.created"), text(2), EndRecord(3, "r1", "disposed"))
    assert [(entry.kind, entry.name, entry.text) for entry in found.legend] == [
        ("family", "lifecycle", "lifecycle 1"),
        ("family", "text", "text 1"),
        ("wait", "wait", "time to first text"),
        ("sign", "disposed", "disposed"),
    ]
    narrow = layout_of(diagram_of(session()), 300)
    assert len({entry.y for entry in narrow.legend}) > 2
    assert max(entry.y for entry in narrow.legend) < narrow.height


def test_a_picture_has_a_bounded_number_of_lines() -> None:
    records = [text(number, name=f"r{number}") for number in range(250)]
    found = layout(*records)
    assert len(found.rows) == 200
    assert found.left_out == (50, 50)
    assert left_out_text(found) == "50 more lines with 50 events: select lanes or a time to see them"


def test_a_picture_has_a_bounded_number_of_marbles() -> None:
    records = [event(place * 2, "response.created", f"r{row}") for row in range(105) for place in range(30)]
    found = layout(*records)
    singles = sum(not isinstance(item, Band) for row in found.rows for item in row.items)
    assert 3000 <= singles < 3100
    counted = sum(len(item.indices) if isinstance(item, Band) else 1 for row in found.rows for item in row.items)
    assert counted == 3150
