"""`rxresponses watch`: find a program, and open its page."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import pytest

from rxresponses import ResponsesWebSocket, serve_inspector
from rxresponses.cli.main import main
from rxresponses.inspector.runtime_files import write_file


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "rxresponses"


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    urls: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: urls.append(url))
    return urls


@pytest.fixture
def sender() -> Iterator[ResponsesWebSocket]:
    with ResponsesWebSocket("ws://127.0.0.1:9", api_key="none") as sender:
        yield sender


def test_the_page_is_opened(
    sender: ResponsesWebSocket, folder: Path, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with serve_inspector(sender) as inspector:
        assert main(["watch"]) == 0
        assert capsys.readouterr().out == f"{inspector.url}\n"
        (file,) = folder.iterdir()
        assert opened == [file.as_uri()]  # not the URL, which other users would see among the arguments of the browser
        assert main(["watch", str(os.getpid()), "--no-browser"]) == 0
        assert len(opened) == 1


def test_no_program(opened: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch"]) == 2
    assert (
        "no running program has an inspector: call rxresponses.serve_inspector(client) in it" in capsys.readouterr().err
    )
    assert main(["watch", "123"]) == 2
    assert "process 123 does not run, or has not an inspector" in capsys.readouterr().err
    assert opened == []


def test_several_programs(
    sender: ResponsesWebSocket, folder: Path, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    import dataclasses

    with serve_inspector(sender) as inspector, serve_inspector(sender, announce=False) as other:
        assert inspector._file is not None
        second = dataclasses.replace(inspector._file, pid=1, title="other.py", url=other.url, file=folder / "1-1.html")
        write_file(second)
        assert main(["watch"]) == 2
        error = capsys.readouterr().err
        assert "name the process" in error
        assert "1 (other.py, since " in error
        assert inspector.url not in error
        assert main(["watch", "1"]) == 0
        assert opened == [second.file.as_uri()]
