"""The lines of a chat, and the file that keeps them."""

from __future__ import annotations

import builtins
import io
import stat
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rxresponses.cli.line_reader import LineReader, default_history
from tests.support.streams import Terminal


class Typed(io.StringIO):
    """Standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


class Readline(types.ModuleType):
    """Takes the place of `readline`, and of the terminal that it reads from."""

    def __init__(self, *lines: str) -> None:
        super().__init__("readline")
        self.lines = list(lines)
        self.prompts: list[str] = []
        self.history: list[str] = []
        self.bound: list[str] = []
        self.completer: Callable[[str, int], str | None] | None = None
        self.set_completer = lambda completer: setattr(self, "completer", completer)
        self.set_completer_delims = self.set_history_length = lambda _: None
        self.parse_and_bind = self.bound.append

    def read_history_file(self, path: Path) -> None:
        self.history += path.read_text().splitlines()

    def append_history_file(self, count: int, path: Path) -> None:
        with path.open("a") as file:
            file.writelines(f"{line}\n" for line in self.history[-count:])

    def input(self, prompt: str) -> str:
        self.prompts.append(prompt)
        if not self.lines:
            raise EOFError
        self.history.append(self.lines[0])
        return self.lines.pop(0)


class OtherReadline(Readline):
    """A module that can only write the whole file, as that of libedit."""

    append_history_file = None  # type: ignore[assignment]

    def write_history_file(self, path: Path) -> None:
        path.write_text("".join(f"{line}\n" for line in self.history))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[Readline], None]:
    """Set a terminal up; pytest sets standard output between a fixture and its test."""

    def set_up(readline: Readline) -> None:
        monkeypatch.setattr(sys, "stdin", Typed())
        monkeypatch.setattr(sys, "stdout", Terminal())
        monkeypatch.setitem(sys.modules, "readline", readline)
        monkeypatch.setattr(builtins, "input", readline.input)

    return set_up


def read_all(reader: LineReader) -> list[str]:
    return list(iter(lambda: reader.read("> "), None))


class TestATerminal:
    @pytest.mark.parametrize("kind", [Readline, OtherReadline])
    def test_lines_are_kept_for_later_chats(
        self, terminal: Callable[[Readline], None], tmp_path: Path, kind: type[Readline]
    ) -> None:
        path = tmp_path / "state" / "rxresponses" / "history"
        readline = kind("one", " ", "two")
        terminal(readline)
        reader = LineReader(path)
        assert reader.is_interactive
        assert read_all(reader) == ["one", " ", "two"]
        assert readline.prompts == ["> "] * 4
        assert [line for line in path.read_text().splitlines() if line.strip()] == ["one", "two"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        later = Readline()
        terminal(later)
        LineReader(path)
        assert "two" in later.history

    def test_a_history_that_others_could_read_is_made_private(
        self, terminal: Callable[[Readline], None], tmp_path: Path
    ) -> None:
        path = tmp_path / "history"
        path.write_text("secret\n")
        path.chmod(0o644)
        terminal(Readline())
        LineReader(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text() == "secret\n"

    def test_without_history(self, terminal: Callable[[Readline], None], tmp_path: Path) -> None:
        terminal(Readline("one"))
        assert read_all(LineReader(None)) == ["one"]
        assert list(tmp_path.iterdir()) == []

    def test_a_history_that_cannot_be_kept_disturbs_nothing(
        self, terminal: Callable[[Readline], None], tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        terminal(Readline("one", "two"))
        assert read_all(LineReader(tmp_path / "file" / "history")) == ["one", "two"]

    def test_commands_are_completed(self, terminal: Callable[[Readline], None]) -> None:
        readline = Readline()
        terminal(readline)
        LineReader(None)
        assert readline.completer is not None
        assert [readline.completer("/h", number) for number in range(3)] == ["/help", "/history", None]
        assert readline.completer("h", 0) is None

    def test_without_readline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = Terminal()
        monkeypatch.setitem(sys.modules, "readline", None)
        monkeypatch.setattr(sys, "stdin", Typed("one\n"))
        monkeypatch.setattr(sys, "stdout", Terminal())
        monkeypatch.setattr(sys, "stderr", terminal)
        assert read_all(LineReader(None)) == ["one"]
        assert terminal.getvalue() == "> > "

    def test_the_prompt_is_not_in_a_file(self, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        """Standard output is one, and the prompt goes to standard error."""
        monkeypatch.setattr(sys, "stdin", Typed("one\n"))
        assert read_all(LineReader(None)) == ["one"]
        assert capsys.readouterr() == ("", "> > ")


class TestAPipe:
    def test_lines(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        data = io.BytesIO(b"one\r\n\ncaf\xe9\nlast")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data, encoding="utf-8", newline=""))
        reader = LineReader(tmp_path / "history")
        assert not reader.is_interactive
        assert read_all(reader) == ["one", "", "caf\ufffd", "last"]
        assert capsys.readouterr() == ("", "")
        assert list(tmp_path.iterdir()) == []


class TestTheDefaultFile:
    def test_in_the_state_folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        for folder in ("", "relative"):
            monkeypatch.setenv("XDG_STATE_HOME", folder)
            assert default_history() == tmp_path / ".local" / "state" / "rxresponses" / "chat_history"
        monkeypatch.setenv("XDG_STATE_HOME", "/state")
        assert default_history() == Path("/state/rxresponses/chat_history")
