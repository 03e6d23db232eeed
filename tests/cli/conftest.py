"""Fixtures of the tests of the command line."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rxresponses.cli.main import main
from rxresponses.testing import ResponsesServer, fallback

from .programs import Program, Start


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the embedded server that answers without a key send its events at once."""
    monkeypatch.setattr(fallback, "_EVENT_INTERVAL", 0.0)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start programs; those that still run at the end of the test are killed."""
    programs: list[Program] = []

    def start(*arguments: str, **more: Any) -> Program:
        programs.append(Program(*arguments, **more))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()


class Ask:
    """Run `rxresponses ask` in this process; return its exit code, standard output and standard error."""

    def __init__(self, server: ResponsesServer, capsys: pytest.CaptureFixture[str]) -> None:
        self._url = server.url
        self._capsys = capsys

    def __call__(self, *args: str, prompt: str = "Say hello") -> tuple[int, str, str]:
        code = main(["ask", "--url", self._url, *args, prompt])
        out, err = self._capsys.readouterr()
        return code, out, err


@pytest.fixture
def ask(server: ResponsesServer, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Ask the embedded server."""
    return Ask(server, capsys)


class Stdin:
    """Standard input of this process as a pipe, whose other end the test has."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self.stream = os.fdopen(reading, encoding="utf-8")

    def write(self, data: bytes) -> None:
        os.write(self._writing, data)

    def close(self) -> None:
        """End the input, which also lets a thread go that still reads."""
        writing, self._writing = self._writing, -1  # first: a test's thread may close it too
        if writing >= 0:
            os.close(writing)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stdin]:
    stdin = Stdin()
    monkeypatch.setattr(sys, "stdin", stdin.stream)
    yield stdin
    stdin.close()
    for thread in threading.enumerate():
        if thread.name == "rxresponses stdin":
            thread.join()
    stdin.stream.close()


class Batch:
    """Run `rxresponses batch` in this process, with its files in one folder."""

    def __init__(self, folder: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.requests = folder / "in.jsonl"
        self.results = folder / "out.jsonl"
        self.arguments = ["batch", str(self.requests), "-o", str(self.results), "--url", url]
        self._capsys = capsys

    def ask(self, *requests: object) -> None:
        self.requests.write_text("".join(json.dumps(request) + "\n" for request in requests))

    def __call__(self, *more: str) -> tuple[int, str]:
        """Return the exit code and standard error."""
        code = main([*self.arguments, *more])
        out, err = self._capsys.readouterr()
        assert out == ""
        return code, err

    @property
    def lines(self) -> dict[int, dict[str, Any]]:
        """The results by line number; no line has two."""
        lines = [json.loads(line) for line in self.results.read_text().splitlines()]
        assert len({line["line"] for line in lines}) == len(lines)
        return {line["line"]: line for line in lines}

    @property
    def answers(self) -> dict[int, str]:
        return {number: text_of(line) for number, line in self.lines.items() if "response" in line}


def text_of(line: dict[str, Any]) -> str:
    text: str = line["response"]["output"][0]["content"][0]["text"]
    return text.removeprefix("This is the embedded test server, not a model. You asked: ")


@pytest.fixture
def batch(tmp_path: Path, server: ResponsesServer, capsys: pytest.CaptureFixture[str]) -> Batch:
    return Batch(tmp_path, server.url, capsys)
