"""The page of a diagram, as text; `tests/browser` opens it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from rxresponses.marbles.page import embedded_json, page_of
from rxresponses.marbles.rows import diagram_of
from rxresponses.recording.format import EndRecord, Record, StoppedRecord

from .builders import HOSTILE, event, large, recording, request, session, stage, text


class Elements(HTMLParser):
    """The elements of a page, and the texts of its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is not None:  # inside of a script or a style
            tag, attributes = self.tags[-1]
            name = attributes.get("id") or tag
            self.texts[name] = self.texts.get(name, "") + data


def page(*records: Record, title: str = "", has_times: bool = True) -> Elements:
    return Elements(page_of(diagram_of(recording(*records, has_times=has_times), title=title)))


def data(elements: Elements) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(elements.texts["data"])
    return found


def test_the_data_of_the_page() -> None:
    found = data(
        page(
            request(0, "r1", "a", input="Hi"),
            event(1, "response.created", lane="a"),
            text(2, "Hel", lane="a"),
            stage(0.5, "subscribed"),
            stage(2.5, "next", "HEL"),
            EndRecord(3, "r1", "disposed"),
        )
    )
    assert found["types"] == ["response.created", "response.output_text.delta", "next"]
    assert found["families"] == ["lifecycle", "text", "value"]
    assert found["pieces"] == [False, True, True]
    assert (found["begin"], found["end"], found["hasTimes"], found["digits"]) == (0, 3, True, 3)
    row, stage_row = found["rows"]
    assert row["at"] == [1, 2]
    assert row["type"] == [0, 1]
    assert row["text"] == ["created", "Hel"]
    assert (row["name"], row["lane"], row["sign"], row["firstText"], row["request"]) == ("r1", "a", "disposed", 2, 0)
    assert found["frames"]["2"] == {"type": "response.output_text.delta", "delta": "Hel"}
    assert found["frames"][str(row["request"])]["input"] == "Hi"
    assert found["frames"][str(stage_row["record"][0])] == "HEL"
    assert (row["marks"], stage_row["marks"]) == ([], [[0.5, "subscribed"]])


def test_the_page_may_ask_nobody_and_run_no_other_script() -> None:
    elements = page(text(0))
    (policy,) = [
        attributes["content"] or ""
        for tag, attributes in elements.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for name in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(elements.texts[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    for tag, attributes in elements.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        assert all((attributes.get(name) or "data:").startswith(("data:", "#")) for name in ("src", "href"))
    assert not re.search(r"https?://(?!www\.w3\.org/)", elements.texts["script"] + elements.texts["style"])


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_can_break_the_page(hostile: str) -> None:
    name = hostile or "r"
    elements = page(
        request(0, name, hostile, input=hostile),
        text(1, hostile, name, hostile),
        event(1, hostile, name, hostile, **{hostile: {hostile: [hostile]}}),
        EndRecord(2, name, "error", {"type": hostile, "message": hostile}),
        title=hostile,
    )
    assert [tag for tag, _ in elements.tags].count("script") == 2
    assert "alert" not in elements.texts["script"]
    frames = data(elements)["frames"]
    assert frames["0"]["input"] == hostile
    assert frames["1"]["delta"] == hostile
    assert frames["2"][hostile] == {hostile: [hostile]} or hostile in ("type",)


def test_embedded_json() -> None:
    text = embedded_json({"a": "</script><!--\u2028&"})
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {"a": "</script><!--\u2028&"}


def test_idle_times_are_cut() -> None:
    first: list[Record] = [request(0), text(0.5), EndRecord(1, "r1", "completed")]
    found = data(page(*first, request(101, "r2"), text(101.5, name="r2"), EndRecord(102, "r2", "completed")))
    assert found["breaks"] == [[1, 101]]
    first_row, row = found["rows"]
    assert (row["sentAt"], row["at"]) == (101, [101.5])
    assert row["begin"] == pytest.approx(1 + found["drawn"])
    assert row["place"] == [pytest.approx(1.5 + found["drawn"])]
    assert row["firstText"] == row["place"][0]
    assert found["end"] == row["end"] == pytest.approx(2 + found["drawn"])
    assert first_row["place"] == [0.5]


def test_long_strings_are_shortened() -> None:
    found = data(page(event(0, "response.image_generation_call.partial_image", image=["x" * 3_000_000, 1, None])))
    image, one, none = found["frames"]["0"]["image"]
    assert len(image) < 21_000
    assert "characters left out" in image
    assert (one, none) == (1, None)


def test_close_events_have_six_digits() -> None:
    assert data(page(*[text(number / 10_000) for number in range(100)]))["digits"] == 6
    assert data(page())["digits"] == 3


def test_without_times() -> None:
    found = data(page(text(0), text(0), has_times=False))
    assert (found["hasTimes"], found["rows"][0]["at"]) == (False, [0, 1])


def test_the_title_and_what_is_missing() -> None:
    torn = page_of(diagram_of(recording(text(0), StoppedRecord(1, "max_bytes"), torn="{"), title="Über <b>"))
    assert "<title>Über &lt;b&gt;</title>" in torn
    assert "stopped early" in torn
    assert "<title>Marble diagram</title>" in page_of(diagram_of(recording()))


def test_the_page_has_all_events() -> None:
    for found in (session(), large(1000)):
        diagram = diagram_of(found)
        elements = Elements(page_of(diagram))
        assert sum(len(row["at"]) for row in data(elements)["rows"]) == diagram.count
