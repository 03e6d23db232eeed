"""Fixtures of the whole suite."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from rxresponses import ResponsesClient, ResponsesWebSocket
from rxresponses.testing import ResponsesServer

from .support.clients import WITH_LANES, fast_retries, no_thread_left

pytest_plugins = ["tests.effort", "tests.processes", "tests.scenarios"]


@pytest.fixture(autouse=True)
def _no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take keys, ids and addresses of real services out of the environment."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[ResponsesServer]:
    """An embedded server."""
    with ResponsesServer() as server:
        yield server


@pytest.fixture
def socket(server: ResponsesServer) -> Iterator[ResponsesWebSocket]:
    """A socket to the embedded server on the background thread, which must end with the socket."""
    with no_thread_left(), ResponsesWebSocket(server.url) as socket:
        yield socket


@pytest.fixture
def client(server: ResponsesServer) -> Iterator[ResponsesClient]:
    """A client of the embedded server that tries again after milliseconds."""
    with no_thread_left(), ResponsesClient(server.url, options=WITH_LANES, pool=fast_retries()) as client:
        yield client


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """Handle Ctrl-C even if the tests run in the background, where the programs that they start would ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
