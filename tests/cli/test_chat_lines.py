"""What the lines of a chat mean."""

from __future__ import annotations

import pytest

from rxresponses.cli.chat_lines import COMMANDS, HELP, Command, Entry, Lines, Message, Mistake


def read(*lines: str) -> list[Entry]:
    reader = Lines()
    return [entry for entry in map(reader.add, lines) if entry is not None]


class TestMessages:
    @pytest.mark.parametrize(
        ("lines", "text"),
        [
            (["Hello"], "Hello"),
            (["  Hello "], "  Hello "),
            (["one\\", "two\\", "", "x"], "one\ntwo\n"),
            (["C:\\\\", "x"], "C:\\\\"),
            (["//etc is a folder"], "/etc is a folder"),
            (["one\\", "/two"], "one\n/two"),
            (["pasted\nlines"], "pasted\nlines"),
            (['"""one', "", "two", 'three"""'], "one\n\ntwo\nthree"),
            (['"""', "one", "two\\", '"""'], "one\ntwo\\"),
            (['  """one"""  '], "one"),
            (['"""', "/help", '"""'], "/help"),
            (['"""one', "two", '"""'], "one\ntwo"),
            (["/a command\\", "goes on"], "/a command\ngoes on"),
        ],
    )
    def test_text(self, lines: list[str], text: str) -> None:
        assert read(*lines)[0] == Message(text)

    @pytest.mark.parametrize("lines", [[""], ["  "], ["\\", ""], ['"""', "", '"""'], ['""""""'], []])
    def test_blank_lines_are_no_message(self, lines: list[str]) -> None:
        assert read(*lines) == []

    def test_two_messages(self) -> None:
        assert read('"""', "one", '"""', "two") == [Message("one"), Message("two")]

    def test_open_lines(self) -> None:
        lines = Lines()
        for line in ("one\\", '"""', '"""one'):
            assert not lines.are_open
            lines.add(line)
            assert lines.are_open
            lines.clear()
        assert lines.end() is None

    def test_the_end_of_the_input_ends_a_message(self) -> None:
        lines = Lines()
        assert lines.add('"""one') is None
        assert lines.add("two") is None
        assert lines.end() == Message("one\ntwo")
        assert not lines.are_open


class TestCommands:
    @pytest.mark.parametrize(
        ("line", "command"),
        [
            ("/help", Command("help")),
            ("/fork", Command("fork")),
            ("/fork  idea ", Command("fork", "idea")),
            ("/save my notes.json", Command("save", "my notes.json")),
            ("/quit", Command("quit")),
            ("/exit", Command("quit")),
            ("/q", Command("quit")),
        ],
    )
    def test_commands(self, line: str, command: Command) -> None:
        assert read(line) == [command]

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("/etc/passwd: what is it?", "no command /etc/passwd:"),
            ("/", "no command /;"),
            ("/HELP", "no command /HELP"),
            ("/usage now", "/usage takes no argument"),
            ("/load", "/load FILE"),
        ],
    )
    def test_mistakes(self, line: str, said: str) -> None:
        (mistake,) = read(line)
        assert isinstance(mistake, Mistake)
        assert said in mistake.text

    def test_the_help_names_all_commands(self) -> None:
        assert all(f"/{name} " in HELP for name in COMMANDS)
        assert max(map(len, HELP.splitlines())) < 100
