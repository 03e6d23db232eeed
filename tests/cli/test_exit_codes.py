"""The exit code says what is in the files, whatever becomes of standard error, the input and the output in the run."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rxresponses.batch.lines import open_input
from rxresponses.cli.main import main
from rxresponses.errors import ConfigurationError
from rxresponses.testing import Failure, ResponsesServer
from rxresponses.testing.request import Request
from tests.support.streams import Terminal, Unwritable

from .programs import PATIENCE, usage_error

COUNT = 30


class Files:
    """The files of a batch of `COUNT` prompts."""

    def __init__(self, folder: Path, url: str) -> None:
        self.requests, self.results = folder / "in.jsonl", folder / "out.jsonl"
        self.requests.write_text("".join(f'"question {number}"\n' for number in range(1, COUNT + 1)))
        self.arguments = ["batch", str(self.requests), "-o", str(self.results), "--url", url, "--concurrency", "4"]

    @property
    def answered(self) -> set[int]:
        lines = [json.loads(line) for line in self.results.read_bytes().splitlines()]
        assert len({line["line"] for line in lines}) == len(lines)
        return {line["line"] for line in lines if "response" in line}


@pytest.fixture
def files(tmp_path: Path, server: ResponsesServer) -> Files:
    return Files(tmp_path, server.url)


def in_shell(arguments: list[str], rest: str) -> tuple[int, bytes, bytes]:
    """Run the command with redirections; return its own exit code, standard output and standard error."""
    words = " ".join(f"'{word}'" for word in [sys.executable, "-m", "rxresponses", *arguments])
    program = subprocess.run(["bash", "-c", f"{words} {rest}"], capture_output=True, timeout=PATIENCE)
    return program.returncode, program.stdout, program.stderr


class TestStandardError:
    @pytest.mark.parametrize(
        "rest",
        [
            "2>&1 | head -n 1 >/dev/null; exit ${PIPESTATUS[0]}",
            "2>/dev/full",
            "<&- >&- 2>&-",
        ],
    )
    def test_scenario_75_a_batch_goes_on_without_it(self, files: Files, server: ResponsesServer, rest: str) -> None:
        server.reply(*[Failure("context_length_exceeded", after=0)] * 9)  # notes
        code, out, _ = in_shell(files.arguments, rest)
        assert (code, out) == (1, b"")
        assert len(files.answered) == COUNT - 9
        code, out, _ = in_shell([*files.arguments, "--retry-failed"], rest)
        assert (code, out) == (0, b"")
        assert files.answered == set(range(1, COUNT + 1))

    @pytest.mark.parametrize("rest", ["2>&-", "2>/dev/full"])
    def test_scenario_75_notes_never_go_to_standard_output(self, rest: str) -> None:
        assert in_shell(["ask", "Hi"], rest)[:2] == (
            0,
            b"This is the embedded test server, not a model. You asked: Hi\n",
        )
        assert in_shell(["ask", "--url", "ftp://x", "Hi"], rest)[:2] == (2, b"")
        assert in_shell(["ask", "--timeout", "soon", "Hi"], rest)[:2] == (2, b"")

    @pytest.mark.parametrize("stderr", [lambda: Unwritable(32), lambda: _closed()])
    def test_scenario_75_in_this_process(
        self, files: Files, monkeypatch: pytest.MonkeyPatch, stderr: Callable[[], io.StringIO]
    ) -> None:
        monkeypatch.setattr(sys, "stderr", stderr())
        assert main(files.arguments) == 0
        assert files.answered == set(range(1, COUNT + 1))

    def test_scenario_75_a_bar_on_a_terminal_that_went_away(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Gone(Terminal):
            def write(self, text: str, /) -> int:
                raise OSError(5, "Input/output error")

        monkeypatch.setattr(sys, "stderr", Gone())
        monkeypatch.setenv("TERM", "xterm-256color")
        assert main(files.arguments) == 0
        assert files.answered == set(range(1, COUNT + 1))


def _closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


def at_line(server: ResponsesServer, number: int, act: Callable[[], object]) -> None:
    """Do something when the server gets the request of a line for the first time."""
    acts = [act]

    def reply(request: Request) -> str:
        if acts:
            acts.pop()()
        return "Hello"

    server.on(f"question {number}$", reply)


class TestChangedFiles:
    """Another program changes a file of the batch during the run."""

    @staticmethod
    def run(files: Files) -> int:
        files.arguments[-1] = "1"  # line after line
        return main(files.arguments)

    def test_scenario_75_a_shortened_input(
        self, files: Files, server: ResponsesServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        at_line(server, 2, lambda: os.truncate(files.requests, 0))
        lines = files.requests.read_bytes()
        # The input is read in blocks, so the lines of the first block would still be answered.
        files.requests.write_bytes(lines + b'"%s"\n' % (b"x" * 10_000) * 5)
        assert self.run(files) == 1
        assert " to do: the same command goes on with them" in capsys.readouterr().err
        files.requests.write_bytes(lines + b'"%s"\n' % (b"x" * 10_000) * 5)
        assert main([*files.arguments, "--retry-failed"]) == 0  # a line that was cut is no request
        assert files.answered == set(range(1, COUNT + 6))

    def test_scenario_75_a_longer_input(self, files: Files, server: ResponsesServer) -> None:
        more = files.requests.read_bytes() + b'"%s"\n' % (b"x" * 10_000) * 5  # more than one read of the file
        at_line(server, COUNT, lambda: files.requests.write_bytes(more))
        code = self.run(files)
        assert (code == 0) == (len(files.answered) == COUNT + 5)

    @pytest.mark.parametrize("change", ["remove", "replace"])
    def test_scenario_75_an_output_that_is_gone(
        self, files: Files, server: ResponsesServer, capsys: pytest.CaptureFixture[str], change: str
    ) -> None:
        def act() -> None:
            files.results.unlink()
            if change == "replace":
                files.results.write_text("")

        at_line(server, 5, act)
        assert self.run(files) == 1
        assert len(server.requests) <= 7  # no more is paid for
        err = capsys.readouterr().err
        assert f"0 of {COUNT} answered, 0 failed" in err
        assert "was removed or replaced during the run" in err
        assert main(files.arguments) == 0
        assert files.answered == set(range(1, COUNT + 1))

    @pytest.mark.parametrize("left", [0.0, 0.3, 0.7])
    def test_scenario_75_a_shortened_output_has_no_holes(
        self, files: Files, server: ResponsesServer, capsys: pytest.CaptureFixture[str], left: float
    ) -> None:
        def act() -> None:
            size = files.results.stat().st_size
            os.truncate(files.results, int(size * left))

        at_line(server, 9, act)
        assert self.run(files) == 1
        assert b"\0" not in files.results.read_bytes()
        missing = COUNT - len(files.answered)
        assert 0 < missing <= 9
        assert f"{missing} to do: the same command goes on with them" in capsys.readouterr().err
        assert main(files.arguments) == 0
        assert files.answered == set(range(1, COUNT + 1))

    def test_scenario_75_an_output_shortened_by_a_line_break(self, files: Files, server: ResponsesServer) -> None:
        at_line(server, 9, lambda: os.truncate(files.results, files.results.stat().st_size - 1))
        assert self.run(files) == 0
        assert files.answered == set(range(1, COUNT + 1))


class TestFifo:
    def test_scenario_75_without_a_writer(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        with pytest.raises(ConfigurationError, match="is no regular file"):
            open_input(str(fifo))
        assert main(["batch", str(fifo), "-o", str(tmp_path / "out")]) == 2
        (tmp_path / "in").write_text('"one"\n')
        assert main(["batch", str(tmp_path / "in"), "-o", str(fifo)]) == 2
        assert capsys.readouterr().err.count("is no regular file") == 2


def test_scenario_75_wrong_usage_without_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", Unwritable(28))
    assert usage_error(capsys, "ask", "--timeout", "soon", "x") == ""


def test_scenario_75_an_output_that_is_a_circle_of_links(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files.results.symlink_to(files.results.with_name("other"))
    files.results.with_name("other").symlink_to(files.results)
    assert main(files.arguments) == 2
    assert "cannot write the results" in capsys.readouterr().err
