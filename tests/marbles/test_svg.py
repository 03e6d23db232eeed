"""The SVG file of a diagram."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from rxresponses.marbles.rows import diagram_of
from rxresponses.marbles.svg import svg_of
from rxresponses.recording.format import ConnectionRecord, EndRecord, EventRecord, Record, StoppedRecord
from rxresponses.recording.reader import read_recording
from tests.support.paths import ROOT, TRANSCRIPTS

from .builders import HOSTILE, PICTURE, TITLE, event, large, recording, request, session, stage, text

SVG = "{http://www.w3.org/2000/svg}"
RECORDED = sorted(TRANSCRIPTS.glob("*.jsonl"))


def picture(*records: Record, title: str = "") -> ElementTree.Element:
    return ElementTree.fromstring(svg_of(diagram_of(recording(*records), title=title)))


def count(root: ElementTree.Element) -> int:
    return sum(int(element.get("data-count", "0")) for element in root.iter())


def words(root: ElementTree.Element, tag: str = "text") -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}{tag}")]


def test_a_session() -> None:
    diagram = diagram_of(session(), title="A session")
    root = ElementTree.fromstring(svg_of(diagram))
    assert count(root) == diagram.count
    assert {"A session", "r1", "r2", "r3", "text_deltas", "map(str.upper)"} <= set(words(root))
    assert "ConnectionLostError: the connection was lost: no close frame received" in words(root)
    assert root.get("role") == "img"
    assert words(root, "title")[0] == "A session"
    assert words(root, "desc")[0].startswith("3 requests, ")
    assert "request r3 on lane draft: first text" in words(root, "desc")[0]


def test_marbles_have_tooltips() -> None:
    root = picture(request(0), event(1.25, "response.created"), text(3, "Hi"), EndRecord(4, "r1", "disposed"))
    tooltips = words(root, "title")
    assert "1.250 s response.created: created" in tooltips
    assert "3.000 s response.output_text.delta: Hi" in tooltips
    assert "first text after 3 s" in tooltips
    assert "disposed" in tooltips


def test_without_times_there_are_none_in_tooltips() -> None:
    records = [event(0, "response.created"), *[text(0) for _ in range(400)], EventRecord(0, "r1", None, raw="")]
    root = ElementTree.fromstring(svg_of(diagram_of(recording(*records, has_times=False))))
    assert "response.created: created" in words(root, "title")
    assert "(no JSON object)" in words(root, "title")
    assert "400 text deltas" in words(root, "title")


def test_a_badge_and_a_mixed_band() -> None:
    root = picture(request(0), *[event(1, "response.created")] * 9, request(2, "r2"))
    assert "+5" in words(root)
    assert "5 more: response.created" in words(root, "title")
    mixed = picture(
        *[event(n / 100, f"response.{kind}") for n in range(90) for kind in ("created", "output_item.done")]
    )
    assert "180 events in 890 ms" in words(mixed, "title")


@pytest.mark.parametrize("how", ["completed", "error", "disposed"])
def test_each_way_to_end_has_a_shape(how: str) -> None:
    root = picture(request(0), EndRecord(1, "r1", how))
    assert any(f"sign-{how}" in element.get("class", "") for element in root.iter())


def test_subscriptions_have_marks() -> None:
    root = picture(stage(0, "subscribed"), stage(1, "error", "no"), stage(2, "subscribed"), stage(3, "disposed"))
    signs = [element.get("class", "") for element in root.iter() if "sign-" in element.get("class", "")]
    assert signs[:4] == ["end sign-subscribed", "end bad sign-error", "end sign-subscribed", "end bang sign-disposed"]
    assert {"subscribed", "an error", "disposed"} <= set(words(root))  # the legend
    assert "an error: no" in words(root, "title")


@pytest.mark.parametrize(("kind", "sign"), [("response.failed", "failed"), ("response.incomplete", "incomplete")])
def test_a_response_that_did_not_complete_has_its_own_shape(kind: str, sign: str) -> None:
    root = picture(request(0), event(1, kind), EndRecord(1, "r1", "completed"))
    assert any(f"sign-{sign}" in element.get("class", "") for element in root.iter())


def test_a_recording_that_is_not_whole_says_so() -> None:
    assert any("stopped early" in text for text in words(picture(text(0), StoppedRecord(1, "max_bytes"))))


def test_events_of_no_request() -> None:
    root = picture(text(0, name=None))
    assert "no request" in words(root)
    assert count(root) == 1


def test_nothing_to_draw() -> None:
    assert words(picture(), "title")[0] == "Marble diagram"
    assert count(picture()) == 0


def test_lines_that_are_left_out_are_counted() -> None:
    root = picture(*[text(number, name=f"r{number}") for number in range(250)])
    assert count(root) == 250
    assert "And 230 more lines." in words(root, "desc")[0]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_can_break_the_file(hostile: str) -> None:
    name = hostile or "r"
    root = picture(
        request(0, name, hostile, model=hostile, input=hostile),
        event(1, hostile, name, hostile, delta=hostile),
        text(2, hostile, name, hostile),
        EndRecord(3, name, "error", {"type": hostile, "message": hostile}),
        stage(1, "next", hostile, operator=hostile, pipeline=hostile, request=name),
        ConnectionRecord(0, hostile, "closed", 4000, hostile),
        title=hostile,
    )
    assert count(root) == 3
    allowed = {"svg", "title", "desc", "style", "defs", "g", "rect", "circle", "path", "text", "use"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= allowed


def test_idle_times_are_told() -> None:
    root = picture(text(0), text(1), text(3600, name="r2"), text(3601, name="r2"))
    assert "nothing runs for 59 min 59 s, which is not drawn" in words(root, "title")
    assert "(59 min 59 s)" in words(root)
    assert count(root) == 4


def test_lanes_of_clients_have_short_names() -> None:
    root = picture(text(0, lane="lane-1"), text(1, name="r2", lane="b"))
    assert {"lane-1", "lane b"} <= set(words(root))


def test_many_events_are_a_small_file() -> None:
    text = svg_of(diagram_of(large(2000)))
    assert len(text) < 50_000
    assert count(ElementTree.fromstring(text)) == 2000


def test_the_size_is_bounded() -> None:
    records = [event(place * 2, "response.created", f"r{row}") for row in range(250) for place in range(16)]
    text = svg_of(diagram_of(recording(*records)))
    assert len(text) < 2_000_000
    assert count(ElementTree.fromstring(text)) == 4000


@pytest.mark.skipif(not RECORDED, reason="the recorded streams in ../shared/transcripts are not here")
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_transcript(path: Path) -> None:
    with path.open(encoding="utf-8") as lines:
        found = read_recording(lines)
    assert count(ElementTree.fromstring(svg_of(diagram_of(found)))) == len(found.events())


def test_the_picture_of_the_docs_is_up_to_date() -> None:
    """`python -m tests.marbles.builders` draws it anew."""
    assert (ROOT / PICTURE).read_text(encoding="utf-8") == svg_of(diagram_of(session(), title=TITLE))
