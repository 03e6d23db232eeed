"""Pages and pictures of marble diagrams in Chromium: they open, and have all events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rxresponses.marbles.clusters import LEVELS, Band, Single, clusters
from rxresponses.marbles.layout import MARGIN
from rxresponses.marbles.rows import diagram_of
from rxresponses.recording.format import EndRecord, Record, Recording
from rxresponses.recording.reader import read_recording
from tests.marbles.builders import HOSTILE, event, large, recording, request, session, stage, text
from tests.support.paths import TRANSCRIPTS

from .chromium import Page
from .conftest import Open

RECORDED = sorted(TRANSCRIPTS.glob("*.jsonl"))
COUNT = "[...document.querySelectorAll('[data-count]')].reduce((sum, one) => sum + Number(one.dataset.count), 0)"
ITEMS = """[...document.querySelectorAll('section')].map((section) => [...section.querySelectorAll('.item')].map(
  (item) => [item.classList[1], Number(item.dataset.first), Number(item.dataset.count)]))"""


def status(page: Page) -> str:
    return str(page.value("document.querySelector('#status').textContent"))


def read(path: Path) -> Recording:
    with path.open(encoding="utf-8") as lines:
        return read_recording(lines)


@pytest.mark.skipif(not RECORDED, reason="the recorded streams in ../shared/transcripts are not here")
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_transcript(path: Path, show: Open, picture: Open) -> None:
    found = read(path)
    page = show(found, width=1000, height=2000)
    assert page.value(COUNT) == len(found.events()) > 0
    assert picture(found).value(COUNT) == len(found.events())


def test_a_session_of_10_000_events(show: Open, picture: Open) -> None:
    page = show(large(), width=1600, height=900)
    assert page.value(COUNT) == 10_000
    assert status(page) == "10,000 events on 4 lines"
    assert page.value("document.querySelectorAll('.item').length") < 500
    assert picture(large()).value(COUNT) == 10_000


def test_a_session_with_all(show: Open, picture: Open) -> None:
    found = session()
    count = diagram_of(found).count
    assert show(found, height=2000).value(COUNT) == count
    assert picture(found).value(COUNT) == count


def test_the_page_has_the_items_of_the_picture(show: Open) -> None:
    """The rules of `clusters.py` and `drawing.js` are the same."""
    piles = [event(0.5, f"response.{kind}") for kind in ["created", "in_progress", "output_item.added"] * 3]
    mixed = [event(1 + n / 100, f"response.{kind}") for n in range(40) for kind in ("created", "output_item.done")]
    found = recording(
        request(0), *piles, *[text(0.6 + n / 70) for n in range(99)], *mixed, EndRecord(9, "r1", "completed")
    )
    for width in (400, 1600):
        for one in (session(), large(1000), found, with_pauses()):
            page = show(one, width=width, height=3000)
            diagram = diagram_of(one)
            scale = page.value("Number(document.querySelector('#rows').dataset.scale)")
            place = diagram.breaks.place
            assert scale == pytest.approx((width - 2 * MARGIN) / (place(diagram.end) - place(diagram.begin)))
            xs = [[(place(marble.at) - place(diagram.begin)) * scale for marble in row.marbles] for row in diagram.rows]
            assert page.value(ITEMS) == [items(row.marbles, some) for row, some in zip(diagram.rows, xs, strict=True)]


def with_pauses() -> Recording:
    """A recording of three requests with an hour between them."""
    records: list[Record] = []
    for hour in range(3):
        records += [request(3600 * hour, f"r{hour}"), text(3600 * hour + 1, name=f"r{hour}")]
    return recording(*records)


def test_marks_of_subscriptions(show: Open, picture: Open) -> None:
    whats = ("subscribed", "next", "error", "subscribed", "next", "disposed")
    found = recording(*[stage(at, what) for at, what in enumerate(whats)])
    signs = "[...document.querySelectorAll('.row [class*=sign-]')].map((one) => one.classList.value)"
    wanted = ["end sign-subscribed", "end bad sign-error", "end sign-subscribed", "end bang sign-disposed"]
    page = show(found)
    assert sorted(page.value(signs)) == sorted(wanted)
    page.click("#in")
    page.click("#right")
    assert page.value("document.querySelectorAll('.sign-subscribed').length") == 1
    assert picture(found).value(signs) == wanted


def test_pauses_are_not_drawn(show: Open, picture: Open) -> None:
    page = show(with_pauses())
    assert page.value(COUNT) == 3
    axis = page.value("document.querySelector('#axis').textContent")
    assert axis.count("(1 h 0 min)") == 2
    assert page.value("document.querySelectorAll('.row.request:last-child .cut').length") == 2
    page.key("+")
    page.click("#right")
    page.click("#fit")
    assert page.value("document.querySelector('#axis').textContent") == axis
    page.click(".row.request:last-child .item")
    assert page.value("document.querySelector('#panel-facts').textContent").startswith("7201.000 s")
    assert picture(with_pauses()).value(COUNT) == 3


def items(marbles: Any, xs: list[float]) -> list[list[Any]]:
    found = []
    for item in clusters(marbles, xs):
        indices = [item.index] if isinstance(item, Single) else item.indices
        kind = "single" if isinstance(item, Single) else "band" if isinstance(item, Band) else "badge"
        found.append([kind, indices[0], len(indices)])
    assert all(not isinstance(item, Single) or item.level < LEVELS for item in found)
    return sorted(found, key=lambda item: item[1])


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_can_break_the_page(hostile: str, show: Open, picture: Open) -> None:
    name = hostile or "r"
    found = recording(
        request(0, name, hostile, model=hostile, input=hostile),
        text(1, hostile, name, hostile),
        event(2, hostile, name, hostile, **{hostile: hostile}),
        EndRecord(3, name, "error", {"type": hostile, "message": hostile}),
    )
    page = show(found)
    assert page.value(COUNT) == 2
    page.click(".item")
    assert page.value("JSON.parse(document.querySelector('#json').textContent).type") == "response.output_text.delta"
    assert page.value("document.querySelectorAll('script').length") == 2
    assert picture(found).value(COUNT) == 2


@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_wider_than_the_page(width: int, show: Open) -> None:
    page = show(session(), width=width, height=900)
    assert page.value("document.documentElement.scrollWidth") <= width


def test_light_and_dark(show: Open) -> None:
    page = show(session())
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.value(colour) == "rgb(255, 255, 255)"
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page.value(colour) == "rgb(13, 17, 23)"


def test_an_empty_time(show: Open) -> None:
    page = show(recording(text(5), text(5), text(5)))
    assert page.value(COUNT) == 3
