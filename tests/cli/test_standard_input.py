"""Standard input as a document beside a prompt."""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from rxresponses.cli import standard_input
from rxresponses.cli.standard_input import read_document
from tests.support.streams import Terminal

from .conftest import Stdin


def test_a_file_is_read_from_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_text("skip this")
    with (tmp_path / "text").open() as file:
        os.lseek(file.fileno(), 5, os.SEEK_SET)
        monkeypatch.setattr(sys, "stdin", file)
        assert read_document() == "this"
        assert read_document() == ""


@pytest.mark.parametrize("path", [os.devnull, "/dev/zero"])
def test_devices_are_not_read(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    with open(path) as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert read_document() == ""


def test_no_file_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as file:
        pass
    monkeypatch.setattr(sys, "stdin", file)  # closed
    assert read_document() == ""


def test_a_slow_writer_is_waited_for_to_the_end(stdin: Stdin, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first byte there is no bound."""
    monkeypatch.setattr(standard_input, "_PATIENCE", 60)
    notes: list[str] = []

    def note(message: str) -> None:
        notes.append(message)
        if len(notes) == 1:  # nothing came for `_QUIET` seconds
            stdin.write(b"be")
            monkeypatch.setattr(standard_input, "_PATIENCE", 0)
            threading.Thread(target=write_rest).start()

    def write_rest() -> None:
        stdin.write(b"gin and end")
        stdin.close()

    monkeypatch.setattr(standard_input, "_QUIET", 0.01)
    monkeypatch.setattr(standard_input, "write_line", note)
    assert read_document() == "begin and end"
    assert notes == [
        "waiting up to 60 s for standard input, a pipe (</dev/null: there is no input)",
        "standard input is added to the prompt; </dev/null leaves it out",
    ]


def test_a_terminal_that_shows_the_note_has_more_patience(stdin: Stdin, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(standard_input, "_QUIET", 0)
    monkeypatch.setattr(standard_input, "_PATIENCE_OF_A_TERMINAL", 0.01)
    assert read_document() == ""
    assert "waiting up to 0.01 s" in terminal.getvalue()


def test_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input of programs that a server starts."""
    ours, theirs = socket.socketpair()
    with ours, theirs, open(theirs.fileno(), closefd=False) as file:
        ours.sendall(b"text")
        ours.shutdown(socket.SHUT_WR)
        monkeypatch.setattr(sys, "stdin", file)
        assert read_document() == "text"


def test_a_pipe_that_does_not_block(stdin: Stdin) -> None:
    """Some programs set a pipe so, and hand it to the programs that they start."""
    os.set_blocking(stdin.stream.fileno(), False)

    def write() -> None:
        stdin.write(b"text")
        stdin.close()

    threading.Timer(0.01, write).start()
    assert read_document() == "text"


def test_a_pipe_that_cannot_be_read(stdin: Stdin, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int, size: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    assert read_document() == ""
