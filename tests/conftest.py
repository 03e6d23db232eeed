"""Fixtures of the whole suite."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from rxresponses import ResponsesClient, ResponsesWebSocket
from rxresponses.testing import ResponsesServer

from .support.clients import LANES, no_thread_left, quickly

pytest_plugins = ["tests.effort", "tests.processes", "tests.scenarios"]


@pytest.fixture(autouse=True)
def _no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may find a real key or address in the environment."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[ResponsesServer]:
    """An embedded server."""
    with ResponsesServer() as server:
        yield server


@pytest.fixture
def socket(server: ResponsesServer) -> Iterator[ResponsesWebSocket]:
    """A socket to the embedded server, on the background thread, which must end with it."""
    with no_thread_left(), ResponsesWebSocket(server.url) as socket:
        yield socket


@pytest.fixture
def client(server: ResponsesServer) -> Iterator[ResponsesClient]:
    """A client that tries again at once."""
    with no_thread_left(), ResponsesClient(server.url, options=LANES, pool=quickly()) as client:
        yield client


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """Where the tests run in the background, Ctrl-C is ignored, and would be by each program that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
