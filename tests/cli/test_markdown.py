"""Answers in Markdown on a terminal."""

from __future__ import annotations

import io
import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.markdown import Markdown

from rxresponses.cli.blocks import begin_of_last_block
from rxresponses.cli.markdown import MarkdownStream
from tests.effort import examples

CODE = "".join(f"line{number}\n" for number in range(100))
TEXT = f"""# Title

Some *text* with a [link](http://example.com/x) and :warning: and [bold]no markup[/bold],
and a second line.

- one
- two
  - three

1. first

| a | b |
|---|---|
| 1 | 2 |

```python
{CODE}```

> quote

---

The end."""

PIECES = [
    "a",
    "b ",
    "\n",
    "\n\n",
    "- ",
    "1. ",
    "# ",
    "> ",
    "```",
    "*",
    "<b>",
    "\\",
    "    ",
    "\t",
    "[x](y)",
    "---\n",
    "===\n",
    "é",
    "\u2028",
    "&amp;",
    "~~",
]
PIECES += ["|", "|-|-|\n"]


def console(*, is_terminal: bool = False) -> Console:
    """Return a console of 60 columns and 20 rows."""
    file = io.StringIO()
    return Console(file=file, force_terminal=is_terminal, width=60, height=20, _environ={"TERM": "xterm"})


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def stream(console: Console, pieces: str | list[str], step: float = 1.0) -> None:
    """Show an answer; the clock moves by a step at each look at it."""
    seconds = itertools.count()
    answer = MarkdownStream(console, lambda: step * next(seconds))
    for piece in pieces:
        answer.add(piece)
    answer.end()


def lines_of(text: str) -> list[str]:
    """Return the lines that have text."""
    return [line.rstrip() for line in text.splitlines() if line.strip()]


class TestWhatIsWritten:
    """A console that is no terminal gets what is written for good, and nothing that is drawn over."""

    def test_nothing_is_lost_or_written_twice(self) -> None:
        streamed, whole = console(), console()
        stream(streamed, TEXT)
        whole.print(Markdown(TEXT, hyperlinks=False))
        assert lines_of(written(streamed)) == lines_of(written(whole))
        assert written(streamed).count("line77") == 1

    def test_one_blank_line_between_blocks(self) -> None:
        target = console()
        stream(target, "\n\none\n\n\n- two\n\n\n---\n\nthree\n\n")
        assert [line.rstrip() for line in written(target).splitlines()] == [
            "one",
            "",
            " • two",
            "",
            "-" * 60,
            "",
            "three",
        ]

    def test_text_is_no_markup_and_controls_nothing(self) -> None:
        target = console()
        stream(target, ["[red]x[/red] :warning: \x1b[31m\u202e [a](http://b.c)\r", "\nnext\r"])
        assert written(target).split() == [
            "[red]x[/red]",
            ":warning:",
            "\ufffd[31m\ufffd",
            "a",
            "(http://b.c)",
            "next\ufffd",
        ]

    def test_a_second_text(self) -> None:
        target = console()
        answer = MarkdownStream(target)
        for text in ("one", "", "two"):
            answer.add(text)
            answer.end()
        assert [line.rstrip() for line in written(target).splitlines()] == ["one", "two"]


class TestOnATerminal:
    def test_no_more_than_the_screen_is_drawn_anew(self) -> None:
        target = console(is_terminal=True)
        stream(target, [TEXT[start : start + 20] for start in range(0, len(TEXT), 20)])
        ups = [len(run) // len("\x1b[1A\x1b[2K") for run in re.findall("(?:\x1b\\[1A\x1b\\[2K)+", written(target))]
        assert max(ups) == 20 - 2 - 1

    def test_a_block_that_is_written_is_drawn_no_more(self) -> None:
        target = console(is_terminal=True)
        stream(target, ["# Title\n", "\nnext\n", "\nlast"])
        assert written(target).count("Title") == 2  # drawn, and written

    def test_a_block_is_shown_while_it_grows(self) -> None:
        target = console(is_terminal=True)
        answer = MarkdownStream(target, itertools.count().__next__)
        answer.add("Hello")
        assert "Hello" in written(target)
        answer.end()

    def test_drawing_takes_a_share_of_the_time_only(self) -> None:
        target = console(is_terminal=True)
        now = 0.0
        answer = MarkdownStream(target, lambda: now)

        def drawn() -> str:
            text = written(target)
            assert isinstance(target.file, io.StringIO)
            target.file.seek(0)
            target.file.truncate()
            return text

        answer.add("one ")
        assert "one" in drawn()
        answer.add("two ")
        answer.tick()
        assert drawn() == ""
        now = 0.1
        answer.tick()
        assert "one two" in drawn()
        answer.tick()  # nothing new
        assert drawn() == ""
        answer.end()

    def test_an_answer_that_was_not_begun(self) -> None:
        target = console(is_terminal=True)
        answer = MarkdownStream(target)
        answer.tick()
        answer.end()
        assert written(target) == ""


class TestBlocks:
    @pytest.mark.parametrize(
        ("text", "last"),
        [
            ("", ""),
            ("one", "one"),
            ("one\n\ntwo", "one\n\ntwo"),  # the incomplete line may still become anything
            ("one\n\ntwo\n", "two\n"),
            ("one\n# two\n", "# two\n"),
            ("one\n#", "one\n#"),
            ("- one\n\n- two\n", "- one\n\n- two\n"),
            ("one\n\n```\n\n# two\n\n", "```\n\n# two\n\n"),
            ("a\n|b|c|\n|-|-|\n", "|b|c|\n|-|-|\n"),
            ("one\n\n\n", "one\n\n\n"),
        ],
    )
    def test_the_last_block(self, text: str, last: str) -> None:
        assert text[begin_of_last_block(text) :] == last

    @settings(max_examples=examples(200))
    @given(st.lists(st.sampled_from(PIECES)))
    def test_any_text_is_shown(self, pieces: list[str]) -> None:
        target = console(is_terminal=True)
        stream(target, pieces)
        assert written(target).count("\x1b[?25l") == written(target).count("\x1b[?25h")  # the cursor is back
