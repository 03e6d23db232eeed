"""What the command line writes, as `rxresponses ask` shows it."""

from __future__ import annotations

import re
import sys

import pytest

from rxresponses import ResponseTextDeltaEvent
from rxresponses.cli.screen import Screen
from rxresponses.testing import Failure, Raw, ResponsesServer, Text
from tests.support.streams import Terminal

from .conftest import Ask
from .programs import Start

RESPONSE = {"id": "resp_1", "output": []}


class TestText:
    def test_a_terminal_gets_no_control_characters(
        self, ask: Ask, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        server.reply("red: \x1b[31m\r\n\tbell: \x07")
        assert ask()[0] == 0
        assert terminal.getvalue() == "red: \ufffd[31m\n\tbell: \ufffd\n"

    def test_a_pipe_gets_the_text_as_it_is(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply("red: \x1b[31m")
        assert ask() == (0, "red: \x1b[31m\n", "")

    def test_characters_that_the_output_cannot_encode(self, start: Start, server: ResponsesServer) -> None:
        server.reply(Text(deltas=["caf\u00e9 ", "\ud83c", "\udf89", " \ud83c"]))
        program = start("ask", "--url", server.url, "Say hello", PYTHONIOENCODING="ascii")
        assert program.end() == (0, "caf? ? ?\n", "")


class TestEvents:
    def test_a_line_for_each_event(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply(Text(deltas=["Hello\n", "world"]))
        code, out, err = ask("--events")
        assert (code, err) == (0, "")
        lines = [re.fullmatch(r" *(\d+\.\d{3})  default   (\S+) *(.*)", line) for line in out.splitlines()]
        cells = [line.groups() for line in lines if line is not None]
        assert len(cells) == len(lines)
        assert [kind for _, kind, _ in cells] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
        summaries = [summary for _, _, summary in cells]
        assert summaries[2] == "message"
        assert summaries[4:6] == [r'"Hello\n"', '"world"']
        assert re.fullmatch(r"\d+ tokens in, 2 out", summaries[-1])
        offsets = [float(offset) for offset, _, _ in cells]
        assert offsets == sorted(offsets)

    def test_strange_events(self, ask: Ask, server: ResponsesServer) -> None:
        long = "x" * 500
        server.reply(
            Raw(
                [
                    {"type": "response.created", "response": RESPONSE},
                    {"type": "response.invented\x1b[31m"},
                    {"type": "response.output_text.delta", "delta": 7},
                    {"type": "response.output_text.delta", "delta": long},
                    {"type": "response.incomplete", "response": {**RESPONSE, "incomplete_details": {"reason": "why"}}},
                ]
            )
        )
        code, out, _ = ask("--events")
        assert code == 0
        first, stranger, broken, delta, last = out.splitlines()
        assert first.split()[1:] == ["default", "response.created", "resp_1"]
        assert "response.invented\ufffd[31m" in stranger
        assert "delta" in broken.split("response.output_text.delta", 1)[1]  # the reason names the field
        assert delta.endswith("x…")
        assert len(delta) < 200
        assert last.endswith("why")

    def test_a_named_lane(self, capsys: pytest.CaptureFixture[str]) -> None:
        Screen().event_line(1.25, ResponseTextDeltaEvent(delta="Hi", stream_id="main"))
        assert capsys.readouterr().out.split() == ["1.250", "main", "response.output_text.delta", '"Hi"']

    def test_colours_on_a_terminal(self, ask: Ask, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setenv("TERM", "xterm-256color")
        server.reply([Text(deltas=["[bold]Hello"]), Failure(after=5)])
        assert ask("--events")[0] == 1
        delta = next(line for line in terminal.getvalue().splitlines() if "output_text.delta" in line)
        assert "\x1b[36mresponse.output_text.delta" in delta
        assert '"[bold]' in terminal.getvalue()  # the text is no markup
        assert "\x1b[1;31merror" in terminal.getvalue()

    def test_without_rich(self, ask: Ask, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setitem(sys.modules, "rich.console", None)  # importing it is an ImportError
        assert ask("--events")[0] == 0
        assert "response.completed" in terminal.getvalue()
        assert "\x1b" not in terminal.getvalue()
