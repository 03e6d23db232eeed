"""Fixtures of the tests of sockets and clients."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest

from rxresponses import ResponsesClient
from rxresponses.testing import ResponsesServer

from ..support.clients import WITH_LANES, no_thread_left


@pytest.fixture
def nothing_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that no warning is logged: no unhandled error, and no error of a task that was never retrieved."""
    yield
    gc.collect()
    records = [*caplog.get_records("call"), *caplog.records]
    assert [record for record in records if record.levelno >= logging.WARNING] == []


@pytest.fixture
def default_client(server: ResponsesServer) -> Iterator[ResponsesClient]:
    """A client with the default pool, of a server that is known to have lanes."""
    with no_thread_left(), ResponsesClient(server.url, options=WITH_LANES) as client:
        yield client
