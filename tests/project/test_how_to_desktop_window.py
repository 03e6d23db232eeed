"""The page about windows: the hand-over between the threads, and the window itself where a display can be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rxresponses import ResponsesClient
from rxresponses.testing import Hold, Incomplete, Refusal, ResponsesServer, Text
from tests.support.pages import blocks_of
from tests.support.paths import ROOT

tkinter = pytest.importorskip("tkinter", reason="needs Python with Tk")

pytestmark = pytest.mark.full

PAGE = blocks_of((ROOT / "docs/how-to/desktop-window.md").read_text(encoding="utf-8"))
PATIENCE = 20.0  # seconds


@pytest.fixture
def names() -> dict[str, Any]:
    """The names of the program, which is not started."""
    names: dict[str, Any] = {"__name__": "window"}
    exec(PAGE[0].code, names)
    return names


@pytest.fixture
def server() -> Iterator[ResponsesServer]:
    with ResponsesServer() as server:
        gate = server.gate()
        server.on("old", [Text(deltas=["an ", "old ", "answer"]), Hold(gate, after=5)])
        server.on("new", "a new answer")
        yield server


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A display of Xvfb."""
    if (xvfb := shutil.which("Xvfb")) is None:
        pytest.skip("needs Xvfb")
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [xvfb, "-displayfd", str(writer), "-nolisten", "tcp"], pass_fds=[writer], stderr=subprocess.DEVNULL
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as number:
            name = f":{number.readline().strip()}"
        if name == ":":
            pytest.skip("Xvfb does not start here")
        monkeypatch.setenv("DISPLAY", name)
        yield name
    finally:
        process.terminate()
        process.wait(PATIENCE)


def taken(answers: Any, is_enough: Callable[[str], bool]) -> str:
    """Take text, as the window does, until it is enough."""
    text = ""
    end = time.monotonic() + PATIENCE
    while not is_enough(text):
        assert time.monotonic() < end, text
        time.sleep(0.001)
        text += answers.take()
    return text


def test_a_new_question_shows_nothing_of_the_old_answer(names: dict[str, Any], server: ResponsesServer) -> None:
    with ResponsesClient(server.url, api_key="sk-test") as client:
        answers = names["Answers"](client)
        assert answers.take() == ""
        answers.ask("an old question")
        assert "an old answer".startswith(taken(answers, bool))
        answers.ask("a new question")
        assert taken(answers, lambda text: "[done]" in text) == "a new answer\n[done]"
        answers.stop()


def test_an_error_is_shown(names: dict[str, Any], server: ResponsesServer) -> None:
    client = ResponsesClient(server.url, api_key="sk-test")
    client.close()
    answers = names["Answers"](client)
    answers.ask("a question")
    assert "closed" in taken(answers, lambda text: "]" in text)


def test_a_refused_or_cut_answer_is_told(names: dict[str, Any], server: ResponsesServer) -> None:
    server.on("refuse", Refusal("I cannot."))
    server.on("cut", ["Once upon", Incomplete()])
    with ResponsesClient(server.url, api_key="sk-test") as client:
        answers = names["Answers"](client)
        answers.ask("refuse")
        assert taken(answers, lambda text: "]" in text) == "\n[the model refused to answer: I cannot.]"
        answers.ask("cut")
        assert taken(answers, lambda text: "]" in text).startswith("Once upon\n[the response is incomplete")


def test_the_window(names: dict[str, Any], server: ResponsesServer, display: str) -> None:
    root = tkinter.Tk()
    with ResponsesClient(server.url, api_key="sk-test") as client:
        window = names["Window"](root, names["Answers"](client))
        text = ""

        def look() -> None:
            nonlocal text
            text = window.text.get("1.0", "end-1c")
            root.quit() if "[done]" in text else root.after(5, look)

        window.prompt.insert(0, "an old question")
        window.ask(None)
        window.prompt.delete(0, "end")
        window.prompt.insert(0, "a new question")
        root.after(50, window.ask, None)
        root.after(int(PATIENCE * 1000), root.quit)
        root.after(60, look)
        root.mainloop()
        root.destroy()
    assert text == "a new answer\n[done]"
