"""Fixtures of the tests of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rxresponses.cli.main import main
from rxresponses.testing import ResponsesServer

from .programs import Program, Start


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


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
