"""`rxresponses chat` as a program at a terminal: the line editor, Markdown, and the keys."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rxresponses.testing import FunctionCall, Hold, ResponsesServer, Text

from .programs import PATIENCE

TOOLS = """
from rxresponses import tool

@tool(needs_approval=True)
def delete(path: str) -> str:
    return f"{path} is deleted"
"""


class AtATerminal:
    """`python -m rxresponses` with a terminal of 24 rows and 80 columns."""

    def __init__(self, *arguments: str, **env: str) -> None:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        # Ctrl-C at a terminal reaches the programs of the session that it controls.
        code = (
            "import fcntl, os, runpy, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
            "sys.argv[0] = 'rxresponses'; runpy.run_module('rxresponses', run_name='__main__')"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", **env},
        )
        os.close(theirs)
        self._seen = b""

    def read_until(self, wanted: str) -> str:
        """Return what the terminal got since the last call, up to and with a text."""
        end = time.monotonic() + PATIENCE
        while wanted.encode() not in self._seen:
            ready = select.select([self._ours], [], [], max(end - time.monotonic(), 0))[0]
            assert ready, f"{wanted!r} did not come: {self._seen!r}"
            try:
                self._seen += os.read(self._ours, 4096)
            except OSError:  # the program has ended
                pytest.fail(f"{wanted!r} did not come: {self._seen!r}")
        seen, _, self._seen = self._seen.partition(wanted.encode())
        return (seen + wanted.encode()).decode()

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def terminate(self) -> None:
        self._process.terminate()

    def end(self) -> int:
        return self._process.wait(PATIENCE)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)


@pytest.fixture
def terminal(server: ResponsesServer, tmp_path: Path) -> Iterator[AtATerminal]:
    (tmp_path / "tools.py").write_text(TOOLS)
    arguments = ["chat", "--url", server.url, "--tools", str(tmp_path / "tools.py")]
    terminal = AtATerminal(*arguments, XDG_STATE_HOME=str(tmp_path))
    yield terminal
    terminal.close()


def test_a_chat_at_a_terminal(terminal: AtATerminal, server: ResponsesServer, tmp_path: Path) -> None:
    server.reply("# Title\n\nSome *text*.", [Text(deltas=["Hello ", "world ", "and "]), Hold(server.gate(), after=7)])
    server.reply(FunctionCall("delete", {"path": "x"}), "Done.")
    prompt = "\x1b[?2004h> "
    terminal.read_until("talking with gpt-5.2; /help lists the commands, Ctrl-D leaves")
    terminal.read_until(prompt)
    terminal.type("One\r")
    shown = terminal.read_until(prompt)
    assert "Some \x1b[3mtext\x1b[0m." in shown
    assert "# Title" not in shown
    terminal.type("\x1b[200~Two\nlines\x1b[201~\r")  # pasted
    terminal.read_until("and")
    terminal.type("\x03")
    terminal.read_until("stopped; the conversation stays as it was before this message")
    terminal.read_until(prompt)
    terminal.type("\x1b[A\x1b[A now\r")  # the line before the latest one
    terminal.read_until('run delete {"path":"x"}? (y: yes, a: always, else no) ')
    terminal.type("y\r")
    assert "tool: delete -> x is deleted" in terminal.read_until(prompt)
    terminal.type("\x04")
    assert terminal.end() == 0
    inputs = [request["input"] for request in server.requests]
    assert inputs[:3] == ["One", "Two\nlines", "One now"]
    kept = (tmp_path / "rxresponses" / "chat_history").read_text()
    assert kept.splitlines()[0] == "One"
    assert "y" not in kept.splitlines()


def test_sigterm_gives_the_terminal_its_cursor_back(terminal: AtATerminal, server: ResponsesServer) -> None:
    server.reply([Text(deltas=["Hello ", "world "]), Hold(server.gate(), after=6)])
    terminal.read_until("\x1b[?2004h> ")
    terminal.type("One\r")
    terminal.read_until("\x1b[?25l")  # the cursor is hidden while the answer is drawn
    terminal.read_until("world")
    terminal.terminate()
    terminal.read_until("\x1b[?25h")
    assert terminal.end() == 128 + signal.SIGTERM
