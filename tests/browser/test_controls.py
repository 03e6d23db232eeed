"""The page of a diagram is used: with the mouse and with the keyboard."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses.marbles.rows import diagram_of
from rxresponses.recording.format import EndRecord, Recording
from tests.marbles.builders import event, large, recording, request, session, stage, text

from .chromium import Page
from .conftest import Open
from .test_pages import COUNT, status

FOCUSED = "document.activeElement.getAttribute('aria-label')"
LIVE = "document.querySelector('#live').textContent"


def few() -> Recording:
    return recording(
        request(0, "r1", "a", input="Hi"),
        event(1, "response.created", "r1", "a"),
        text(2, "Hel", "r1", "a"),
        text(3, "lo", "r1", "a"),
        event(4, "response.completed", "r1", "a"),
        EndRecord(4, "r1", "completed"),
        request(2.5, "r2", "b", input="Ho"),
        event(3.1, "response.created", "r2", "b"),
        text(6, "Ha", "r2", "b"),
        stage(6.1, "next", "HA", request="r2", operator="upper"),
    )


def shown(page: Page) -> Any:
    return json.loads(page.value("document.querySelector('#json').textContent"))


def scale(page: Page) -> float:
    return float(page.value("document.querySelector('#rows').dataset.scale"))


def title(page: Page) -> str:
    return str(page.value("document.querySelector('#panel-title').textContent"))


def tab_to_diagram(page: Page) -> None:
    for _ in range(40):
        if page.value("document.activeElement.classList.contains('item')"):
            return
        page.key("Tab")
    raise AssertionError("Tab does not reach the diagram")


class TestMouse:
    def test_a_click_shows_the_event(self, show: Open) -> None:
        page = show(few())
        assert page.value("document.querySelector('#panel').hidden")
        page.click(".item[aria-label*='Hel']")
        assert shown(page) == {"type": "response.output_text.delta", "delta": "Hel"}
        assert title(page) == "r1 · response.output_text.delta"
        assert page.value("document.querySelector('#panel-facts').textContent") == "2.000 s · 2 of 4 on this line"
        page.click("#next")
        assert shown(page)["delta"] == "lo"
        page.click("#previous")
        page.click("#previous")
        assert shown(page)["type"] == "response.created"
        assert page.value("document.querySelector('#previous').disabled")
        assert page.value("document.activeElement.id") == "close"
        page.click("#close")
        assert page.value("document.querySelector('#panel').hidden")

    def test_a_click_on_a_request_shows_what_was_sent(self, show: Open) -> None:
        page = show(few())
        page.click("section button.name")
        assert shown(page) == {"type": "response.create", "input": "Hi"}
        assert title(page) == "r1 · request"

    def test_a_click_on_a_value_of_an_operator(self, show: Open) -> None:
        page = show(few())
        page.click(".row.stage .item")
        assert page.value("document.querySelector('#json').textContent") == "HA"

    def test_a_click_on_a_band_zooms_until_there_are_single_marbles(self, show: Open) -> None:
        page = show(large())
        before = scale(page)
        for _ in range(8):
            if page.value("document.querySelector('.item.single') !== null"):
                break
            page.click(".item.band")
        assert scale(page) > before
        page.click(".item.single")
        assert shown(page) == {"type": "response.output_text.delta", "delta": "word "}

    def test_events_of_one_time_are_listed(self, show: Open) -> None:
        page = show(recording(request(0), *[text(1, str(number)) for number in range(600)], text(2, "end")))
        page.click(".item.band")
        assert page.value("document.querySelectorAll('#panel li').length") == 500
        assert "and 100 more" in page.value("document.querySelector('#panel-content').textContent")
        page.click("#panel li:nth-child(3) button")
        assert shown(page)["delta"] == "2"

    def test_a_badge_is_a_list_too(self, show: Open) -> None:
        page = show(recording(request(0), *[event(1, "response.created")] * 9, text(2)))
        page.click(".item.badge")
        assert page.value("document.querySelectorAll('#panel li').length") == 5

    def test_the_buttons(self, show: Open) -> None:
        page = show(large(2000))
        fit = scale(page)
        assert page.value("document.querySelector('#out').disabled")
        page.click("#in")
        page.click("#in")
        assert scale(page) == pytest.approx(fit * 4)
        tick = "document.querySelector('#axis text').textContent"
        at = page.value(tick)
        page.click("#right")
        assert page.value(tick) != at
        page.click("#left")
        page.click("#out")
        assert scale(page) == pytest.approx(fit * 2)
        page.click("#fit")
        assert scale(page) == pytest.approx(fit)

    def test_the_wheel(self, show: Open) -> None:
        page = show(few(), height=900)
        fit = scale(page)
        x, y = page.middle_of(".row.request svg")
        page.wheel(x, y, down=-400)
        page.wait(f"Number(document.querySelector('#rows').dataset.scale) > {fit * 1.5}")
        page.wheel(x, y, down=1000)
        page.wait(f"Number(document.querySelector('#rows').dataset.scale) < {fit * 1.01}")

    def test_the_wheel_scrolls_a_long_page(self, show: Open) -> None:
        page = show(session(), height=300)
        fit = scale(page)
        x, y = page.middle_of(".row.request svg")
        page.wheel(x, y, down=100)
        page.wait("window.scrollY > 0")
        assert scale(page) == pytest.approx(fit)
        page.wheel(x, y, down=-400, control=True)
        page.wait(f"Number(document.querySelector('#rows').dataset.scale) > {fit * 1.5}")

    def test_two_fingers_zoom(self, show: Open) -> None:
        page = show(few(), height=300)
        page.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
        fit = scale(page)
        x, y = page.middle_of(".row.request .item[aria-label*='Hel']")
        left, right = (x - 20, y), (x + 20, y + 2)
        wide = [[(x - far, y), (x + far, y + 2)] for far in (40, 60, 80)]
        page.touch([left, right], *wide)
        assert scale(page) == pytest.approx(fit * 4, rel=0.02)
        assert page.middle_of(".row.request .item[aria-label*='Hel']")[0] == pytest.approx(x, abs=3)
        assert page.value("document.querySelector('#panel').hidden")
        assert page.value("window.visualViewport.scale") == 1  # the browser itself does not zoom
        page.touch([(x, y)], [(x + 30, y)], [(x + 60, y)])  # one finger moves
        assert scale(page) == pytest.approx(fit * 4, rel=0.02)
        assert page.middle_of(".row.request .item[aria-label*='Hel']")[0] == pytest.approx(x + 60, abs=3)
        page.touch(wide[-1], [left, right])
        assert scale(page) == pytest.approx(fit, rel=0.02)
        page.touch([left, right], [(x - 5, y), (x + 5, y)])  # not smaller than all of it
        assert scale(page) == pytest.approx(fit)

    def test_a_tap_shows_the_event(self, show: Open) -> None:
        page = show(few())
        page.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
        page.touch([page.middle_of(".row.request .item[aria-label*='Hel']")])
        page.wait("!document.querySelector('#panel').hidden")
        assert shown(page)["delta"] == "Hel"

    def test_a_drag_moves_and_opens_nothing(self, show: Open) -> None:
        page = show(few())
        page.click("#in")
        page.click("#in")
        x, y = page.middle_of(".row.request svg .item")
        tick = "document.querySelector('#axis text').textContent"
        at = page.value(tick)
        page.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", buttons=1, clickCount=1)
        for step in (20, 100, 400):
            page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x - step, y=y, button="left", buttons=1)
        page.call("Input.dispatchMouseEvent", type="mouseReleased", x=x - 400, y=y, button="left", clickCount=1)
        page.settle()
        assert page.value(tick) != at
        assert page.value("document.querySelector('#panel').hidden")


class TestKeyboard:
    def test_marbles_are_reached_and_opened(self, show: Open) -> None:
        page = show(few())
        tab_to_diagram(page)
        assert page.value(FOCUSED) == "1.000 s response.created: created"
        page.key("ArrowRight")
        assert page.value(FOCUSED) == "2.000 s response.output_text.delta: Hel"
        assert page.value(LIVE) == page.value(FOCUSED)
        page.key("End")
        assert page.value(FOCUSED) == "4.000 s response.completed: completed"
        page.key("ArrowRight")
        assert page.value(FOCUSED) == "4.000 s response.completed: completed"
        page.key("ArrowDown")
        assert page.value(FOCUSED) == "3.100 s response.created: created"
        page.key("ArrowDown")
        assert page.value(FOCUSED) == "6.100 s next: HA"
        page.key("ArrowUp")
        assert page.value(FOCUSED) == "6.000 s response.output_text.delta: Ha"
        page.key("ArrowLeft")
        page.key("ArrowUp")
        page.key("Home")
        page.key("ArrowLeft")
        assert page.value(FOCUSED) == "1.000 s response.created: created"
        page.key("Enter")
        assert shown(page)["type"] == "response.created"
        assert page.value("document.querySelector('.item.shown') === document.activeElement")
        page.key("Escape")
        assert page.value("document.querySelector('#panel').hidden")
        assert page.value(FOCUSED) == "1.000 s response.created: created"
        page.key(" ")
        assert shown(page)["type"] == "response.created"

    def test_one_item_is_in_the_order_of_tab(self, show: Open) -> None:
        page = show(session())
        assert page.value("document.querySelectorAll('.item[tabindex=\"0\"]').length") == 1
        tab_to_diagram(page)
        page.key("ArrowDown")
        assert page.value("document.querySelectorAll('.item[tabindex=\"0\"]').length") == 1

    def test_the_focus_can_be_seen(self, show: Open) -> None:
        page = show(few())
        tab_to_diagram(page)
        assert page.value("getComputedStyle(document.activeElement.querySelector('.halo')).strokeWidth") == "2px"

    def test_the_focus_stays_while_zooming(self, show: Open) -> None:
        page = show(few())
        tab_to_diagram(page)
        page.key("ArrowRight")
        fit = scale(page)
        for _ in range(4):
            page.key("+")
        assert scale(page) == pytest.approx(fit * 16)
        assert page.value(FOCUSED) == "2.000 s response.output_text.delta: Hel"
        page.key("ArrowRight")  # which was out of sight
        assert page.value(FOCUSED) == "3.000 s response.output_text.delta: lo"
        page.key("-")
        assert scale(page) == pytest.approx(fit * 8)
        page.key("0")
        assert scale(page) == pytest.approx(fit)
        assert page.value(FOCUSED) == "3.000 s response.output_text.delta: lo"

    def test_the_view_moves(self, show: Open) -> None:
        page = show(few())
        tab_to_diagram(page)
        page.key("+")
        page.key("+")
        tick = "document.querySelector('#axis text').textContent"
        at = page.value(tick)
        page.key("ArrowRight", shift=True)
        moved = page.value(tick)
        assert moved != at
        page.key("ArrowLeft", shift=True)
        assert page.value(tick) == at

    def test_an_item_out_of_sight_leaves_the_focus_to_another(self, show: Open) -> None:
        page = show(few())
        tab_to_diagram(page)
        for _ in range(3):
            page.key("+")
        counts = []
        for _ in range(11):
            page.key("ArrowRight", shift=True)
            counts.append(page.value("document.querySelectorAll('.item').length"))
        assert counts[0] == 0
        assert counts[-1] > 0
        assert page.value("document.querySelectorAll('.item[tabindex=\"0\"]').length") == 1
        assert page.value("document.activeElement.classList.contains('item')")

    def test_a_band_is_opened_with_enter(self, show: Open) -> None:
        page = show(large(3000))
        tab_to_diagram(page)
        before = scale(page)
        for _ in range(12):
            page.key("Enter")
            if not page.value("document.querySelector('#panel').hidden"):
                break
        assert scale(page) > before * 4
        assert shown(page)["delta"] == "word "


class TestFilters:
    def test_a_family(self, show: Open) -> None:
        page = show(few())
        page.click("[data-family=text]")
        assert status(page) == "4 of 7 events on 3 lines"
        assert page.value(COUNT) == 4
        assert page.value("document.querySelector('[data-family=text]').getAttribute('aria-pressed')") == "false"
        page.click("[data-family=text]")
        assert page.value(COUNT) == 7

    def test_a_type(self, show: Open) -> None:
        page = show(few())
        assert page.value("[...document.querySelector('#type').options].map((one) => one.textContent)") == [
            "all types",
            "response.output_text.delta (3)",
            "response.created (2)",
            "response.completed (1)",
            "next (1)",
        ]
        choose(page, "#type", "response.created")
        assert status(page) == "2 of 7 events on 3 lines"
        assert page.value(COUNT) == 2

    def test_a_lane(self, show: Open) -> None:
        page = show(few())
        choose(page, "#lane", "=a")
        assert status(page) == "4 of 7 events on 1 line"
        assert page.value(COUNT) == 4
        assert page.value("[...document.querySelectorAll('section')].map((one) => one.hidden)") == [False, True, True]
        choose(page, "#lane", "*")
        assert page.value(COUNT) == 7

    def test_one_lane_needs_no_filter(self, show: Open) -> None:
        page = show(recording(text(0), text(1)))
        assert page.value("document.querySelector('#lanes').hidden")

    def test_nothing_is_left(self, show: Open) -> None:
        page = show(few())
        for family in ("text", "lifecycle", "value"):
            page.click(f"[data-family={family}]")
        assert page.value(COUNT) == 0
        page.key("+")
        page.click("[data-family=text]")
        assert page.value(COUNT) > 0


def choose(page: Page, selector: str, value: str) -> None:
    page.value(
        f"(() => {{ const element = document.querySelector({json.dumps(selector)});"
        f" element.value = {json.dumps(value)}; element.dispatchEvent(new Event('change')); }})()"
    )
    page.settle()


def test_a_page_that_becomes_narrow_keeps_its_view(show: Open) -> None:
    page = show(few(), width=1600)
    fit = scale(page)
    page.resize(400, 800)
    page.wait("document.querySelector('#rows').dataset.width === '400'")
    assert scale(page) < fit
    assert page.value(COUNT) == diagram_of(few()).count


def test_10_000_events_are_fluid(show: Open) -> None:
    """A step of the zoom draws a few hundred elements, however many events there are."""
    page = show(large())
    program = """(async () => {
      let most = 0;
      for (let step = 0; step < 12; step++) {
        document.querySelector(step < 6 ? '#in' : '#out').click();
        await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
        most = Math.max(most, document.querySelectorAll('#rows *').length);
      }
      return most;
    })()"""
    assert 10 < page.value(program) < 2500
