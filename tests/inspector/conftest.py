"""A server, a client of it, and a folder for the files of running programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rxresponses import ResponsesClient
from rxresponses.testing import ResponsesServer

from .client import KEY


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where running programs write their files."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "rxresponses"


@pytest.fixture
def server() -> Iterator[ResponsesServer]:
    with ResponsesServer(api_key=KEY) as server:
        yield server


@pytest.fixture
def client(server: ResponsesServer) -> Iterator[ResponsesClient]:
    with ResponsesClient(server.url, api_key=KEY) as client:
        yield client
