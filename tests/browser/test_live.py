"""The live page in Chromium: it draws what a running program receives, and goes on for as long as that takes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rxresponses.operators as rops
from rxresponses import ResponsesClient, serve_inspector
from rxresponses.inspector.inspector import Inspector
from rxresponses.marbles.texts import piece
from rxresponses.testing import Hold, ResponsesServer, Text

from .chromium import PATIENCE, Chromium, Page

COUNT = "[...document.querySelectorAll('[data-count]')].reduce((sum, one) => sum + Number(one.dataset.count), 0)"
STATE = "document.body.dataset.connection"
NAMES = "[...document.querySelectorAll('#rows h2 .name')].map((one) => one.textContent)"
REQUEST: dict[str, Any] = {"model": "m", "input": "Hi"}


@pytest.fixture
def server() -> Iterator[ResponsesServer]:
    with ResponsesServer() as server:
        yield server


@pytest.fixture
def client(server: ResponsesServer) -> Iterator[ResponsesClient]:
    with ResponsesClient(server.url) as client:
        yield client


class Live(Page):
    """A tab with the page of an inspector."""

    def __init__(self, browser: Chromium, inspector: Inspector, **size: Any) -> None:
        self._own = inspector.url
        super().__init__(browser, Url(inspector.url), **size)  # type: ignore[arg-type]
        self.wait(f"{STATE} === 'open'")

    @property
    def problems(self) -> list[str]:
        """The problems, but for requests to the inspector itself."""
        return [problem for problem in super().problems if not problem.startswith(f"a request to {self._own}")]

    @property
    def messages(self) -> int:
        """How many messages of the inspector the page has received."""
        return sum(name == "Network.webSocketFrameReceived" for name, _ in self._browser.notes.get(self._session, ()))


class Url(str):
    def as_uri(self) -> str:
        return self


def test_the_page_draws_streams_as_they_come(
    browser: Chromium, server: ResponsesServer, client: ResponsesClient, tmp_path: Path
) -> None:
    gate = server.gate()
    server.reply(Hold(gate, after=6), Text("Hello, how are you?"))
    with serve_inspector(client) as inspector:
        page = Live(browser, inspector)
        chain = rops.observe_pipeline(inspector.recorder, rops.text_deltas())
        client.send_request(REQUEST).pipe(chain).subscribe()
        page.wait("document.querySelector('.request .sign-open')")
        gate.open()
        page.wait("document.querySelector('.request .sign-completed')")
        assert page.value(NAMES) == ["connection c1", "r1", "text_deltas"]
        # The second request is above the first, and its events are added to the count.
        before = page.value(COUNT)
        client.send_request({**REQUEST, "input": "<b>again</b>"}).run()
        page.wait("document.querySelectorAll('.request .sign-completed').length === 2")
        assert page.value(NAMES) == ["connection c1", "r2", "r1", "text_deltas"]
        assert "“<b>again</b>”" in page.value("document.querySelector('.request .note').textContent")
        assert page.value(COUNT) > before
        # An event and the request as JSON.
        page.click(".request .item")
        if page.value("document.querySelector('#panel').hidden"):
            page.key("Enter")
        page.click(".request h2 button")
        assert json.loads(page.value("document.querySelector('#json').textContent"))["input"] == "<b>again</b>"
        assert page.problems == []
        page.close()


def test_the_page_follows_until_the_user_looks_back(
    browser: Chromium, server: ResponsesServer, client: ResponsesClient
) -> None:
    following = "document.querySelector('#follow').getAttribute('aria-pressed') === 'true'"
    with serve_inspector(client) as inspector:
        page = Live(browser, inspector)
        client.send_request(REQUEST).run()
        page.wait("document.querySelector('.request .sign-completed')")
        assert page.value(following)
        page.click("#in")
        page.click("#in")
        assert page.value(following)
        page.click("#left")
        assert not page.value(following)
        client.send_request(REQUEST).run()
        page.wait("document.querySelectorAll('#rows .request').length === 2")
        assert not page.value(following)
        page.click("#follow")
        assert page.value(following)
        page.click("#fit")
        assert page.problems == []
        page.close()


def test_the_page_connects_again(browser: Chromium, server: ResponsesServer, client: ResponsesClient) -> None:
    with serve_inspector(client) as inspector:
        page = Live(browser, inspector)
        client.send_request(REQUEST).run()
        page.wait("document.querySelector('.request .sign-completed')")
        count = page.value(COUNT)
        assert inspector._server is not None
        (connection,) = inspector._server.connections
        inspector._loop.call_soon_threadsafe(connection.transport.abort)
        page.wait(f"{STATE} === 'lost'")
        page.wait(f"{STATE} === 'open' && document.querySelector('.request .sign-completed')")
        assert page.value(COUNT) == count
        page.close()
    deadline = time.monotonic() + PATIENCE
    while inspector._feed.pages:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_program_has_ended(browser: Chromium, server: ResponsesServer, client: ResponsesClient) -> None:
    with serve_inspector(client) as inspector:
        page = Live(browser, inspector)
        client.send_request(REQUEST).run()
        page.wait("document.querySelector('.request .sign-completed')")
    page.wait(f"{STATE} === 'lost'")
    assert page.value(COUNT) > 5  # what was drawn stays
    page.close()


def test_old_events_leave_the_page(browser: Chromium, client: ResponsesClient) -> None:
    with serve_inspector(client, keep_bytes=60_000) as inspector:
        page = Live(browser, inspector)
        for number in range(1, 13):
            client.send_request(REQUEST).run()
            page.wait(f"document.querySelector('.request h2 .name')?.textContent === 'r{number}' && "
                      "document.querySelector('.request .sign-completed')")  # fmt: skip
        page.wait(f"!{NAMES}.includes('r1') && {NAMES}.includes('r12')")
        assert page.problems == []
        page.close()


MEASURED = """new Promise((resolve) => {
  const begin = performance.now(), observer = new MutationObserver((changes) => drawn += changes.length);
  let drawn = 0, frames = 0;
  for (const svg of document.querySelectorAll("#rows svg")) observer.observe(svg, { childList: true });
  requestAnimationFrame(function frame() {
    frames++;
    if (performance.now() - begin < 1500) requestAnimationFrame(frame);
    else resolve([drawn, frames]);
  });
})"""


def busy(page: Page) -> float:
    """Return the processor seconds that the page has taken so far."""
    found = page.call("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in found if metric["name"] == "TaskDuration"))


def test_100_streams_are_fluid(browser: Chromium) -> None:
    """With 50 events a second each: an update draws the lines in sight, and most of the time the page is idle.

    On a machine of two cores that has nothing else to do, the page draws more than 50 frames a second, and takes
    7% of a core.
    """
    with (
        ResponsesServer(event_interval=0.02) as server,
        ResponsesClient(server.url) as client,
        serve_inspector(client) as inspector,
    ):
        server.on("", Text(deltas=[f" word{number}" for number in range(1000)]))
        streams = [client.send_request(REQUEST).subscribe() for _ in range(100)]
        page = Live(browser, inspector)
        page.call("Performance.enable", timeDomain="threadTicks")
        page.wait("document.querySelectorAll('#rows .request').length === 100")
        page.wait("document.querySelectorAll('.request .item.band').length > 3")
        in_sight = page.value("[...document.querySelectorAll('#rows svg')].filter((one) => one.firstChild).length")
        messages, spent, begin = page.messages, busy(page), time.monotonic()
        drawn, frames = page.value(MEASURED)
        spent, elapsed = busy(page) - spent, time.monotonic() - begin
        print(json.dumps({"frames per second": frames / elapsed, "processor": spent / elapsed}))
        messages = page.messages - messages
        assert messages > 0
        assert 0 < drawn <= (messages + 1) * in_sight
        assert in_sight < 40
        assert spent / elapsed < 0.4
        for stream in streams:
            stream.dispose()
        assert page.problems == []
        page.close()


TEXTS = [
    "Hello",
    " ",
    "",
    "\n",
    "a\r\nb\tc",
    "\u202eabc\u0007",
    "\ud83d",
    "x" * 300,
    "😀" * 150,
    "日本\u2028",
    "\x85\x1c",
    "\ufeff",
]


def test_the_texts_are_those_of_python(browser: Chromium, server: ResponsesServer, client: ResponsesClient) -> None:
    """The rules of `piece` in `texts.py` and in `live.js` are the same."""
    texts = [text for text in TEXTS if text]
    with serve_inspector(client) as inspector:
        page = Live(browser, inspector, width=1600, height=3000)
        for text in texts:
            server.reply(Text(deltas=[text]))
            client.send_request(REQUEST).run()
        page.wait(f"document.querySelectorAll('.request .sign-completed').length === {len(texts)}")
        page.wait("document.querySelector('.chip[data-family=items]')")
        page.click(".chip[data-family=lifecycle]")
        page.click(".chip[data-family=items]")
        labels = "[...document.querySelectorAll('.request .item')].map((one) => one.getAttribute('aria-label'))"
        shown = [label.partition("delta: ")[2] for label in page.value(labels) if "text.delta: " in label]
        assert shown == [piece(text) for text in reversed(texts)]
        assert page.problems == []
        page.close()
